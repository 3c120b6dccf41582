package webhooksv1_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Labels are in metrics, in the delivery log and in what hosts filter by: each
// is spelled out here so that none changes unnoticed, and a new value of an
// enum fails until it has one.
func TestEveryEnumValueHasItsLabel(t *testing.T) {
	tests := map[string]struct {
		values protoreflect.EnumValueDescriptors
		label  func(protoreflect.EnumNumber) string
		want   []string
	}{
		"outcome": {
			webhooksv1.Outcome(0).Descriptor().Values(),
			func(n protoreflect.EnumNumber) string { return webhooksv1.Outcome(n).Label() },
			[]string{"unspecified", "delivered", "retry", "exhausted", "gone", "deleted", "disabled", "expired", "erased"},
		},
		"reason": {
			webhooksv1.Reason(0).Descriptor().Values(),
			func(n protoreflect.EnumNumber) string { return webhooksv1.Reason(n).Label() },
			[]string{
				"none", "status", "redirect", "throttled", "timeout", "dns", "address_forbidden", "connect", "certificate",
				"tls", "connection_closed", "protocol", "registration", "internal", "receiver_failing",
			},
		},
		"phase": {
			webhooksv1.Phase(0).Descriptor().Values(),
			func(n protoreflect.EnumNumber) string { return webhooksv1.Phase(n).Label() },
			[]string{"", "dns", "connect", "tls", "send", "wait"},
		},
		"cause": {
			webhooksv1.Cause(0).Descriptor().Values(),
			func(n protoreflect.EnumNumber) string { return webhooksv1.Cause(n).Label() },
			[]string{
				"", "name_not_found", "refused", "ipv6_only", "certificate_host", "certificate_authority", "certificate_expired",
				"certificate_early", "certificate_usage", "tls_none", "tls_too_old", "tls_client_certificate", "tls_ciphers",
				"tls_renegotiation", "tls_name", "tls_no_http", "tls_receiver", "request_refused", "accepted", "not_posted",
				"chat_gone", "chat_channel", "chat_prohibited", "chat_form", "script_login",
			},
		},
		"trigger": {
			webhooksv1.Trigger(0).Descriptor().Values(),
			func(n protoreflect.EnumNumber) string { return webhooksv1.Trigger(n).Label() },
			[]string{"unspecified", "event", "test", "resend", "replay"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := make([]string, 0, len(test.want))
			for i := range test.values.Len() {
				assert.EqualValues(t, i, test.values.Get(i).Number(), "numbers have no gaps")
				got = append(got, test.label(test.values.Get(i).Number()))
			}
			assert.Equal(t, test.want, got)
		})
	}
}
