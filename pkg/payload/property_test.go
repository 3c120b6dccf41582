package payload_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func optional[T any](t *rapid.T, g *rapid.Generator[T], label string) *T {
	return rapid.Ptr(g, true).Draw(t, label)
}

func drawConversation(t *rapid.T) *webhooksv1.Conversation {
	text := rapid.String()
	return &webhooksv1.Conversation{
		Id:                     rapid.StringN(1, -1, -1).Draw(t, "id"),
		CreatedAt:              text.Draw(t, "created_at"),
		UpdatedAt:              text.Draw(t, "updated_at"),
		ParticipantName:        optional(t, text, "participant_name"),
		Duration:               optional(t, rapid.Float64Min(0), "duration"),
		Source:                 optional(t, text, "source"),
		IsFinished:             rapid.Bool().Draw(t, "is_finished"),
		IsAllChunksTranscribed: optional(t, rapid.Bool(), "is_all_chunks_transcribed"),
		Tags:                   rapid.SliceOf(text).Draw(t, "tags"),
		EmailsCsv:              text.Draw(t, "emails_csv"),
		Transcript:             optional(t, text, "transcript"),
		Summary:                optional(t, text, "summary"),
	}
}

func drawReport(t *rapid.T) *webhooksv1.Report {
	id := structpb.NewStringValue(rapid.StringN(1, -1, -1).Draw(t, "id"))
	if rapid.Bool().Draw(t, "numeric") {
		id = structpb.NewNumberValue(float64(rapid.Int64Range(-1<<53+1, 1<<53-1).Draw(t, "number")))
	}
	text := rapid.String()
	return &webhooksv1.Report{
		Id: id, Status: text.Draw(t, "status"), Language: text.Draw(t, "language"), DateCreated: text.Draw(t, "date_created"),
	}
}

func drawWebhook(t *rapid.T) *webhooksv1.Webhook {
	text := rapid.String()
	w := &webhooksv1.Webhook{
		Id: rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`).Draw(t, "webhook id"), Name: text.Draw(t, "name"), Host: text.Draw(t, "host"),
		State: text.Draw(t, "state"), StatusCode: rapid.Uint32Range(0, 599).Draw(t, "status code"),
		Reason: text.Draw(t, "reason"), Message: text.Draw(t, "message"),
	}
	if rapid.Bool().Draw(t, "failing") {
		w.FailingSince = timestamppb.New(time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "since"), 0))
	}
	return w
}

func drawEvent(t *rapid.T) *webhooksv1.Event {
	id := rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`)
	e := &webhooksv1.Event{
		Id:   id.Draw(t, "event id"),
		Type: rapid.SampledFrom(event.Subscribable()).Draw(t, "type"),
		OccurredAt: timestamppb.New(time.Unix(
			rapid.Int64Range(-62135596800, 253402300799).Draw(t, "seconds"),
			rapid.Int64Range(0, 999_999_999).Draw(t, "nanos"))),
		Project: &webhooksv1.Project{
			Id:          id.Draw(t, "project id"),
			WorkspaceId: optional(t, rapid.String(), "workspace"),
			Name:        optional(t, rapid.String(), "name"),
			Language:    optional(t, rapid.String(), "language"),
		},
	}
	switch {
	case e.GetType() == event.ReportGenerated:
		e.Subject = &webhooksv1.Event_Report{Report: drawReport(t)}
	case event.IsOwn(e.GetType()):
		e.Subject = &webhooksv1.Event_Webhook{Webhook: drawWebhook(t)}
	default:
		e.Subject = &webhooksv1.Event_Conversation{Conversation: drawConversation(t)}
	}
	return e
}

// Both encodings carry an event without loss, and every valid event has one
// canonical body.
func TestEveryValidEventHasOneCanonicalBody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t)
		require.NoError(t, event.Validate(e))
		body := render(e)
		wantCanonical(t, []byte(body))
		assert.Equal(t, body, render(e))
		for _, contentType := range []string{event.JSON, event.Protobuf} {
			data, err := event.Encode(contentType, e)
			require.NoError(t, err)
			again, err := event.Decode(contentType, data)
			require.NoError(t, err)
			require.True(t, proto.Equal(e, again), contentType)
			assert.Equal(t, body, render(again))
		}
	})
}

// Whatever is published is refused with a reason or has a canonical body; it
// never makes the dispatcher panic.
func FuzzPublishedBytesAreRefusedOrRenderCanonically(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "events", "*.json"))
	require.NoError(f, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(event.JSON, data)
		e, err := event.Decode(event.JSON, data)
		require.NoError(f, err)
		binary, err := event.Encode(event.Protobuf, e)
		require.NoError(f, err)
		f.Add(event.Protobuf, binary)
	}
	f.Add("", []byte(`null`))
	f.Add("", []byte(`{"report":{"id":1e400}}`))
	f.Fuzz(func(t *testing.T, contentType string, data []byte) {
		e, err := event.Decode(contentType, data)
		if err != nil || event.Validate(e) != nil {
			return
		}
		body := payload.Renderer{AdminBaseURL: base}.Append(nil, e)
		wantCanonical(t, body)
		assert.Equal(t, body, payload.Renderer{AdminBaseURL: base}.Append(nil, e))
	})
}
