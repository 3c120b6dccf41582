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
			[]string{"unspecified", "delivered", "retry", "exhausted", "gone", "deleted", "disabled", "expired"},
		},
		"reason": {
			webhooksv1.Reason(0).Descriptor().Values(),
			func(n protoreflect.EnumNumber) string { return webhooksv1.Reason(n).Label() },
			[]string{
				"none", "status", "redirect", "throttled", "timeout", "dns", "address_forbidden", "connect", "certificate",
				"tls", "connection_closed", "protocol", "registration", "internal", "receiver_failing",
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
