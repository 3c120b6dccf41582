package payload

import (
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// The parts of a sample conversation. They are marked as a sample, and not all
// of them are ASCII, so that a receiver that cannot verify such a body finds
// out with its first test delivery.
const (
	sampleParticipant = "Zoë (sample)"
	sampleTranscript  = "This is a sample transcript, not a real conversation.\n" +
		"The café on the corner closed, and since then people hardly meet – that is what I notice most."
	sampleSummary = "## Sample summary\n\n- This is **not** a real conversation.\n" +
		"- Since the café closed, people hardly meet."
	sampleSeconds = 1789.34
)

// Sample returns an event of a type as hosts see it in a test delivery and in
// the copyable form: every optional field is set, so that the whole shape shows,
// and every text says that it is a sample. [event.Test] and the types of
// conversations carry a conversation, [event.ReportGenerated] a report, and the
// system's own events a webhook.
//
// The project is the webhook's own and is copied; without one the sample has a
// made-up project. The id becomes the event's id, at its time.
func Sample(eventType string, p *webhooksv1.Project, id string, at time.Time) *webhooksv1.Event {
	if p == nil {
		p = &webhooksv1.Project{
			Id:          "sample-project",
			WorkspaceId: new("sample-workspace"),
			Name:        new("Sample project"),
			Language:    new("en"),
		}
	}
	e := &webhooksv1.Event{
		Id:         id,
		Type:       eventType,
		OccurredAt: timestamppb.New(at),
		Project:    proto.CloneOf(p),
	}
	switch {
	case eventType == event.ReportGenerated:
		e.Subject = &webhooksv1.Event_Report{Report: sampleReport(p, at)}
	case event.IsOwn(eventType):
		e.Subject = &webhooksv1.Event_Webhook{Webhook: sampleWebhook(eventType, at)}
	default:
		e.Subject = &webhooksv1.Event_Conversation{Conversation: sampleConversation(eventType, at)}
	}
	return e
}

func sampleConversation(eventType string, at time.Time) *webhooksv1.Conversation {
	over := eventType != event.ConversationStarted
	c := &webhooksv1.Conversation{
		Id:                     "sample-conversation",
		CreatedAt:              sampleTime(at),
		UpdatedAt:              sampleTime(at),
		ParticipantName:        new(sampleParticipant),
		Duration:               proto.Float64(0),
		Source:                 new("PORTAL_AUDIO"),
		IsFinished:             over,
		IsAllChunksTranscribed: new(over),
		Tags:                   []string{"sample", "neighbourhood"},
		EmailsCsv:              "sample@example.org",
	}
	if over {
		c.CreatedAt = sampleTime(at.Add(-30 * time.Minute))
		c.Duration = new(sampleSeconds)
	}
	if carriesTranscript(eventType) {
		c.Transcript = new(sampleTranscript)
	}
	if carriesSummary(eventType) {
		c.Summary = new(sampleSummary)
	}
	return c
}

func sampleReport(p *webhooksv1.Project, at time.Time) *webhooksv1.Report {
	language := p.GetLanguage()
	if language == "" {
		language = "en"
	}
	return &webhooksv1.Report{
		Id:          structpb.NewStringValue("sample-report"),
		Status:      "archived",
		Language:    language,
		DateCreated: sampleTime(at),
	}
}

func sampleWebhook(eventType string, at time.Time) *webhooksv1.Webhook {
	w := &webhooksv1.Webhook{
		Id: "sample-webhook", Name: "Sample webhook", Host: "hooks.example.org",
		State: "failing", FailingSince: timestamppb.New(at), StatusCode: http.StatusNotFound, Reason: "status",
		Message: "This is a sample: since just now, the receiver at hooks.example.org answers 404.",
	}
	switch eventType {
	case event.WebhookDisabled:
		w.State, w.StatusCode, w.Reason = "disabled", http.StatusGone, "gone"
		w.Message = "This is a sample: the receiver at hooks.example.org answered 410, so the webhook was switched off."
	case event.WebhookRecovered:
		w.State, w.StatusCode, w.Reason, w.FailingSince = "ok", http.StatusOK, "", nil
		w.Message = "This is a sample: the receiver at hooks.example.org takes deliveries again."
	}
	return w
}

// sampleTime writes a time as the pipeline does: RFC 3339 in UTC with
// milliseconds.
func sampleTime(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
