package registration

// Status is the state of a registration that its host chooses. `enabled` is not
// stored beside it: it is what [Status.Enabled] says, so the two never disagree.
type Status string

// The states. The words are those of the dashboard.
const (
	// Published: deliveries are made.
	Published Status = "published"
	// Draft: none are made.
	Draft Status = "draft"
	// Archived: none are made, and the dashboard hides it.
	Archived Status = "archived"
)

// Enabled reports whether deliveries are made.
func (s Status) Enabled() bool { return s == Published }

// Reconcile works out the status that a request asks for. Each of enabled and
// status may be nil, which leaves it open; current is the status so far.
func Reconcile(enabled *bool, status *string, current Status) (Status, error) {
	if status == nil {
		return fromEnabled(enabled, current), nil
	}
	wanted := Status(*status)
	switch wanted {
	case Published, Draft, Archived:
	default:
		return "", bounds("status", "The status must be published, draft or archived.")
	}
	if enabled != nil && *enabled != wanted.Enabled() {
		return "", &Fault{
			Field: "status", Kind: KindContradiction,
			Message: "enabled and status contradict each other: published means enabled, draft and archived mean not. Send one of them.",
		}
	}
	return wanted, nil
}

func fromEnabled(enabled *bool, current Status) Status {
	switch {
	case enabled == nil || *enabled == current.Enabled():
		return current
	case *enabled:
		return Published
	default:
		return Draft
	}
}
