package payload_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

var sampleAt = time.Date(2026, 1, 20, 12, 0, 0, 123_456_000, time.FixedZone("", 3600))

func TestSamplesShowEveryField(t *testing.T) {
	for _, eventType := range append(event.Subscribable(), event.Test) {
		t.Run(eventType, func(t *testing.T) {
			e := payload.Sample(eventType, nil, "evt_sample", sampleAt)
			assert.Equal(t, eventType, e.GetType())
			assert.Equal(t, "evt_sample", e.GetId())
			if eventType != event.Test {
				require.NoError(t, event.Validate(e))
			}
			body := render(e)
			if eventType != event.WebhookRecovered { // it is failing since no time, for no reason
				assert.NotContains(t, body, "null")
			}
			assert.NotContains(t, body, `""`)
			assert.Contains(t, body, "sample")
			assert.Contains(t, body, `"timestamp":"2026-01-20T11:00:00.123456+00:00"`)
			assert.Equal(t, eventType == event.ReportGenerated, e.GetReport() != nil)
			assert.Equal(t, event.IsOwn(eventType), e.GetWebhook() != nil)
			assert.Equal(t, eventType != event.ReportGenerated && !event.IsOwn(eventType), e.GetConversation() != nil)
			wantCanonical(t, []byte(body))
		})
	}
}

func TestSampleBelongsToItsProject(t *testing.T) {
	project := &webhooksv1.Project{Id: "p1", Name: new("Buurt"), Language: new("nl")}
	e := payload.Sample(event.ReportGenerated, project, "evt_1", sampleAt)
	assert.True(t, proto.Equal(project, e.GetProject()))
	assert.NotSame(t, project, e.GetProject(), "the caller's project must not be shared")
	assert.Equal(t, "nl", e.GetReport().GetLanguage())
	assert.Contains(t, render(e), `"dashboardUrl":"https://dashboard.example.org/nl-NL/projects/p1/report"`)
}

func TestSamplesAreAlike(t *testing.T) {
	one, two := payload.Sample(event.Test, nil, "evt_1", sampleAt), payload.Sample(event.Test, nil, "evt_1", sampleAt)
	assert.Equal(t, render(one), render(two))
}
