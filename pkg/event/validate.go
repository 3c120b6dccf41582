package event

import (
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// limitNumericID is the first whole number that a double cannot tell from its
// neighbour: 2^53 is also what 2^53+1 is read as.
const limitNumericID = 1 << 53

const idRule = "use 1 to 64 letters, digits, _ or -"

// Validate reports whether an event may be delivered. The error is [ErrInvalid]
// with one sentence for every fault, separated by "; ". It quotes nothing that
// participants wrote, so it may be logged and stored.
//
// Fields that a type usually carries may be missing: a transcript, a summary, a
// duration. They are delivered as null.
func Validate(e *webhooksv1.Event) error {
	if e == nil {
		return fmt.Errorf("%w: there is no event", ErrInvalid)
	}
	var f faults
	f.id("id", e.GetId())
	f.eventType(e.GetType())
	f.occurredAt(e.GetOccurredAt())
	if e.GetProject() == nil {
		f.add("project is missing: say at least its id")
	} else {
		f.id("project.id", e.GetProject().GetId())
	}
	f.subject(e)
	if len(f) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrInvalid, strings.Join(f, "; "))
}

type faults []string

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

func (f *faults) id(field, id string) {
	switch {
	case id == "":
		f.add("%s is missing: %s", field, idRule)
	case len(id) > MaxIDBytes:
		f.add("%s is %d bytes long: %s", field, len(id), idRule)
	case !ValidID(id):
		f.add("%s has a character that is not allowed: %s", field, idRule)
	}
}

func (f *faults) eventType(name string) {
	switch {
	case Known(name):
	case name == "":
		f.add("type is missing: use one of %s", strings.Join(Types(), ", "))
	case name == Test:
		f.add("type %s cannot be published: a host asks for it with the test call", Test)
	default:
		f.add("type %q is not known: use one of %s", clip(name, maxName), strings.Join(Types(), ", "))
	}
}

func (f *faults) occurredAt(at *timestamppb.Timestamp) {
	switch {
	case at == nil:
		f.add("occurred_at is missing: say when it happened, and %s", timeRule)
	case !at.IsValid():
		f.add("occurred_at is not a time between the years 1 and 9999: check seconds and nanos")
	}
}

// subject checks what the event is about. An unknown type has no rule for it,
// and has been reported already.
func (f *faults) subject(e *webhooksv1.Event) {
	switch e.GetType() {
	case ConversationStarted, ConversationTranscribed, ConversationSummarized:
		if e.GetConversation() == nil {
			f.add("conversation is missing: %s is about a conversation", e.GetType())
			return
		}
		f.conversation(e.GetConversation())
	case ReportGenerated:
		if e.GetReport() == nil {
			f.add("report is missing: %s is about a report", e.GetType())
			return
		}
		f.reportID(e.GetReport().GetId())
	case WebhookFailing, WebhookDisabled, WebhookRecovered:
		if e.GetWebhook() == nil {
			f.add("webhook is missing: %s is about a webhook", e.GetType())
			return
		}
		f.webhook(e.GetWebhook())
	}
}

func (f *faults) conversation(c *webhooksv1.Conversation) {
	if c.GetId() == "" {
		f.add("conversation.id is missing: receivers need it to find the conversation")
	}
	if d := c.GetDuration(); math.IsNaN(d) || math.IsInf(d, 0) {
		f.add("conversation.duration must be a finite number of seconds: leave it out if it is not known")
	}
}

func (f *faults) webhook(w *webhooksv1.Webhook) {
	f.id("webhook.id", w.GetId())
	if since := w.GetFailingSince(); since != nil && !since.IsValid() {
		f.add("webhook.failing_since is not a time between the years 1 and 9999: check seconds and nanos")
	}
}

func (f *faults) reportID(id *structpb.Value) {
	switch kind := id.GetKind().(type) {
	case *structpb.Value_StringValue:
		if kind.StringValue == "" {
			f.add("report.id is empty: receivers need it to find the report")
		}
	case *structpb.Value_NumberValue:
		n := kind.NumberValue
		if n != math.Trunc(n) || math.Abs(n) >= limitNumericID {
			f.add("report.id is not a whole number below 2^53: publish it as a string so that no digit is lost")
		}
	case nil, *structpb.Value_NullValue:
		f.add("report.id is missing: receivers need it to find the report")
	default:
		f.add("report.id must be a string or a whole number: publish it as a string")
	}
}
