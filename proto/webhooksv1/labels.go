// Package webhooksv1 is the contract on NATS, generated from proto/dembrane/webhooks/v1.
package webhooksv1

import "strings"

// Label is the outcome as logs, metrics and the delivery log write it:
// "delivered", "retry", "exhausted", "gone", "deleted", "disabled", "expired".
func (o Outcome) Label() string { return label(o.String(), "OUTCOME_") }

// Label is the reason as logs, metrics and the delivery log write it, such as
// "timeout" or "address_forbidden"; "none" when there is nothing to explain.
func (r Reason) Label() string {
	if r == Reason_REASON_UNSPECIFIED {
		return "none"
	}
	return label(r.String(), "REASON_")
}

// Label is the trigger as logs, metrics and the delivery log write it: "event",
// "test", "resend" or "replay".
func (t Trigger) Label() string { return label(t.String(), "TRIGGER_") }

func label(name, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(name, prefix))
}
