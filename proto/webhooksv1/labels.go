// Package webhooksv1 is the contract on NATS, generated from proto/dembrane/webhooks/v1.
package webhooksv1

import "strings"

// Label is the outcome as logs, metrics and the delivery log write it:
// "delivered", "retry", "exhausted", "gone", "deleted", "disabled", "expired",
// "erased".
func (o Outcome) Label() string { return label(outcomeLabels, o) }

// Label is the reason as logs, metrics and the delivery log write it, such as
// "timeout" or "address_forbidden"; "none" when there is nothing to explain.
func (r Reason) Label() string {
	if r == Reason_REASON_UNSPECIFIED {
		return "none"
	}
	return label(reasonLabels, r)
}

// Label is the trigger as logs, metrics and the delivery log write it: "event",
// "test", "resend" or "replay".
func (t Trigger) Label() string { return label(triggerLabels, t) }

// Label is the phase as the delivery log writes it, such as "connect"; empty when
// the attempt did not end in one.
func (p Phase) Label() string {
	if p == Phase_PHASE_UNSPECIFIED {
		return ""
	}
	return label(phaseLabels, p)
}

// Label is the cause as the delivery log writes it, such as "certificate_expired";
// empty when it was nothing in particular.
func (c Cause) Label() string {
	if c == Cause_CAUSE_UNSPECIFIED {
		return ""
	}
	return label(causeLabels, c)
}

// ParseOutcome reads a label; false when there is no such outcome.
func ParseOutcome(label string) (Outcome, bool) { return parse(outcomeLabels, label) }

// ParseReason reads a label; false when there is no such reason.
func ParseReason(label string) (Reason, bool) {
	if label == "none" {
		return Reason_REASON_UNSPECIFIED, true
	}
	return parse(reasonLabels, label)
}

// ParseTrigger reads a label; false when there is no such trigger.
func ParseTrigger(label string) (Trigger, bool) { return parse(triggerLabels, label) }

// ParsePhase reads a label; false when there is no such phase.
func ParsePhase(label string) (Phase, bool) { return parse(phaseLabels, label) }

// ParseCause reads a label; false when there is no such cause.
func ParseCause(label string) (Cause, bool) { return parse(causeLabels, label) }

// parse finds a value that is not the zero one.
func parse[T enum](known map[T]string, label string) (T, bool) {
	for value, name := range known {
		if name == label && value != 0 {
			return value, true
		}
	}
	return 0, false
}

// Every attempt is labelled several times, and String looks names up by reflection.
var (
	outcomeLabels = labels[Outcome](Outcome_name, "OUTCOME_") //nolint:gochecknoglobals // never changed
	reasonLabels  = labels[Reason](Reason_name, "REASON_")    //nolint:gochecknoglobals // never changed
	phaseLabels   = labels[Phase](Phase_name, "PHASE_")       //nolint:gochecknoglobals // never changed
	causeLabels   = labels[Cause](Cause_name, "CAUSE_")       //nolint:gochecknoglobals // never changed
	triggerLabels = labels[Trigger](Trigger_name, "TRIGGER_") //nolint:gochecknoglobals // never changed
)

// enum is an enum of the contract.
type enum interface {
	~int32
	String() string
}

func labels[T enum](names map[int32]string, prefix string) map[T]string {
	all := make(map[T]string, len(names))
	for number, name := range names {
		all[T(number)] = strings.ToLower(strings.TrimPrefix(name, prefix))
	}
	return all
}

// label of a value that this build does not know is its number.
func label[T enum](known map[T]string, value T) string {
	if name, ok := known[value]; ok {
		return name
	}
	return value.String()
}
