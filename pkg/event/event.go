// Package event is what a pipeline stage publishes: the closed list of types,
// the two encodings, and the rules an event must keep.
//
// [Decode] reads the body of a message, [Validate] says whether it may be
// delivered. Whoever publishes does both before sending, and the dispatcher
// does both again after receiving: an event that fails either is rejected with
// the error's text and delivered to nobody, however often it is published.
package event

// The types of events. The list is closed: a new one is a new release.
const (
	// ConversationStarted says that a participant began a conversation.
	ConversationStarted = "conversation.started"
	// ConversationTranscribed says that a conversation's audio has its text. It
	// may happen more than once for one conversation.
	ConversationTranscribed = "conversation.transcribed"
	// ConversationSummarized says that a conversation has a summary. It may
	// happen more than once for one conversation.
	ConversationSummarized = "conversation.summarized"
	// ReportGenerated says that a report is ready.
	ReportGenerated = "report.generated"
	// WebhookFailing says that another webhook of the project began to fail. The
	// system publishes it, as it does the two below.
	WebhookFailing = "webhook.failing"
	// WebhookDisabled says that another webhook was switched off by the system.
	WebhookDisabled = "webhook.disabled"
	// WebhookRecovered says that another webhook works again.
	WebhookRecovered = "webhook.recovered"
	// Test is what a host's test delivery carries. It is made by the dispatcher
	// and cannot be published or subscribed to.
	Test = "webhook.test"
)

// MaxIDBytes is the longest event or project id.
const MaxIDBytes = 64

// Types returns the types that the pipeline publishes, in the order in which they
// happen. The caller owns the slice.
func Types() []string {
	return []string{ConversationStarted, ConversationTranscribed, ConversationSummarized, ReportGenerated}
}

// Own returns the types of events that the system publishes about webhooks. The
// caller owns the slice.
func Own() []string { return []string{WebhookFailing, WebhookDisabled, WebhookRecovered} }

// Subscribable returns every type that a webhook can subscribe to: first those of
// the pipeline. The caller owns the slice.
func Subscribable() []string { return append(Types(), Own()...) }

// IsOwn reports whether events of this type are about a webhook.
func IsOwn(eventType string) bool {
	switch eventType {
	case WebhookFailing, WebhookDisabled, WebhookRecovered:
		return true
	default:
		return false
	}
}

// Known reports whether events of this type can be published and subscribed to.
func Known(eventType string) bool {
	switch eventType {
	case ConversationStarted, ConversationTranscribed, ConversationSummarized, ReportGenerated:
		return true
	default:
		return IsOwn(eventType)
	}
}

// ValidID reports whether id can identify an event or a project:
// [A-Za-z0-9_-]{1,64}. Such an id is safe as a subject token, a key of the
// bucket, a header's value and a part of a path.
func ValidID(id string) bool {
	if id == "" || len(id) > MaxIDBytes {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
