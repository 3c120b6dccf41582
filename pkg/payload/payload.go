// Package payload renders an event as the body that receivers get.
//
// The body has one canonical form: keys sorted at every level, no spaces,
// everything outside printable ASCII as lower-case \uXXXX, and numbers that
// survive being parsed and written again. A receiver may therefore verify the
// signature over the raw bytes, as documented, or over what it parsed and
// dumped again, as receivers of the earlier backend do. The same event renders
// to the same bytes on every attempt.
package payload

import (
	"slices"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// skeleton is what a body takes, in bytes, besides its long texts.
const skeleton = 1 << 10

// Renderer renders bodies. It is a value without state; copies are safe for
// concurrent use.
type Renderer struct {
	// AdminBaseURL is where hosts find the dashboard, such as
	// "https://dashboard.example.org"; a trailing slash makes no difference.
	AdminBaseURL string
}

// Append appends the canonical body of an event to dst and returns the extended
// slice. It allocates only to grow dst. The event must be valid, see
// [event.Validate], or made by [Sample].
//
// All bodies have event, id, timestamp, project and dashboardUrl, and one of
// conversation, report and webhook. What an event leaves open is null; transcript and
// summary are there only with the types that carry them.
func (r Renderer) Append(dst []byte, e *webhooksv1.Event) []byte {
	conversation, report := e.GetConversation(), e.GetReport()
	dst = slices.Grow(dst, skeleton+len(conversation.GetTranscript())+len(conversation.GetSummary()))
	dst = append(dst, '{')
	if conversation != nil {
		dst = append(dst, `"conversation":`...)
		dst = appendConversation(dst, conversation, e.GetType())
		dst = append(dst, ',')
	}
	dst = append(dst, `"dashboardUrl":"`...)
	dst = r.appendDashboardURL(dst, e)
	dst = append(dst, `","event":`...)
	dst = appendString(dst, e.GetType())
	dst = append(dst, `,"id":`...)
	dst = appendString(dst, e.GetId())
	dst = append(dst, `,"project":`...)
	dst = appendProject(dst, e.GetProject())
	if report != nil {
		dst = append(dst, `,"report":`...)
		dst = appendReport(dst, report)
	}
	dst = append(dst, `,"timestamp":"`...)
	dst = appendTimestamp(dst, e.GetOccurredAt())
	dst = append(dst, '"')
	if w := e.GetWebhook(); w != nil {
		dst = append(dst, `,"webhook":`...)
		dst = appendWebhook(dst, w)
	}
	return append(dst, '}')
}

func appendConversation(dst []byte, c *webhooksv1.Conversation, eventType string) []byte {
	dst = append(dst, `{"created_at":`...)
	dst = appendString(dst, c.GetCreatedAt())
	dst = append(dst, `,"duration":`...)
	if c.Duration != nil {
		dst = appendNumber(dst, c.GetDuration())
	} else {
		dst = append(dst, `null`...)
	}
	dst = append(dst, `,"emails_csv":`...)
	dst = appendString(dst, c.GetEmailsCsv())
	dst = append(dst, `,"id":`...)
	dst = appendString(dst, c.GetId())
	dst = append(dst, `,"is_all_chunks_transcribed":`...)
	dst = appendOptionalBool(dst, c.IsAllChunksTranscribed)
	dst = append(dst, `,"is_finished":`...)
	dst = appendBool(dst, c.GetIsFinished())
	dst = append(dst, `,"participant_name":`...)
	dst = appendOptional(dst, c.ParticipantName)
	dst = append(dst, `,"source":`...)
	dst = appendOptional(dst, c.Source)
	if carriesSummary(eventType) {
		dst = append(dst, `,"summary":`...)
		dst = appendOptional(dst, c.Summary)
	}
	dst = append(dst, `,"tags":[`...)
	for i, tag := range c.GetTags() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, tag)
	}
	dst = append(dst, ']')
	if carriesTranscript(eventType) {
		dst = append(dst, `,"transcript":`...)
		dst = appendOptional(dst, c.Transcript)
	}
	dst = append(dst, `,"updated_at":`...)
	dst = appendString(dst, c.GetUpdatedAt())
	return append(dst, '}')
}

func appendProject(dst []byte, p *webhooksv1.Project) []byte {
	if p == nil {
		return append(dst, `null`...)
	}
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, p.GetId())
	dst = append(dst, `,"language":`...)
	dst = appendOptional(dst, p.Language)
	dst = append(dst, `,"name":`...)
	dst = appendOptional(dst, p.Name)
	return append(dst, '}')
}

func appendReport(dst []byte, r *webhooksv1.Report) []byte {
	dst = append(dst, `{"date_created":`...)
	dst = appendString(dst, r.GetDateCreated())
	dst = append(dst, `,"id":`...)
	switch id := r.GetId().GetKind().(type) {
	case *structpb.Value_NumberValue:
		dst = appendNumber(dst, id.NumberValue)
	default:
		dst = appendString(dst, r.GetId().GetStringValue())
	}
	dst = append(dst, `,"language":`...)
	dst = appendString(dst, r.GetLanguage())
	dst = append(dst, `,"status":`...)
	dst = appendString(dst, r.GetStatus())
	return append(dst, '}')
}

// appendTimestamp writes a time as Python's datetime.isoformat does: in UTC,
// with microseconds only if there are any. What is finer is cut off.
func appendTimestamp(dst []byte, at *timestamppb.Timestamp) []byte {
	t := at.AsTime()
	if t.Nanosecond() < 1000 {
		return t.AppendFormat(dst, "2006-01-02T15:04:05+00:00")
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05.000000+00:00")
}

func carriesTranscript(eventType string) bool {
	return eventType == event.ConversationTranscribed || carriesSummary(eventType)
}

func carriesSummary(eventType string) bool {
	return eventType == event.ConversationSummarized || eventType == event.Test
}
