package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/receiver"
	"github.com/dembrane/webhooks/test/internal/run"
)

// busyWebhook has a week behind it: many deliveries by day, few by night, one day
// with an outage. The dispatcher's records of it are made up; what becomes of them is
// not.
func busyWebhook(t *testing.T, project string) apiclient.Webhook {
	t.Helper()
	w := newWebhook(t, project, receiver.Status(http.StatusOK))
	random := rand.New(rand.NewPCG(7, 7))
	now := time.Now()
	batch := &webhooksv1.AttemptBatch{}
	for hours := 167; hours > 0; hours-- {
		at := now.Add(-time.Duration(hours) * time.Hour)
		count := random.IntN(3)
		if 8 <= at.Hour() && at.Hour() < 18 {
			count = 2 + random.IntN(9)
		}
		for i := range count {
			batch.Attempts = append(batch.Attempts, weekAttempt(w, at.Add(time.Duration(i)*time.Second), random, 60 < hours && hours < 72))
		}
	}
	data, err := proto.Marshal(batch)
	require.NoError(t, err)
	_, err = shared.system.Streams.Publish(t.Context(), topology.SubjectAttempts, data)
	require.NoError(t, err)
	awaitAttempts(t, w, 300)
	return w
}

// awaitAttempts waits until the statistics of a webhook have that many attempts.
func awaitAttempts(t *testing.T, w apiclient.Webhook, count int) {
	t.Helper()
	run.Until(t, patience, "attempts are counted", func(ctx context.Context) error {
		answer, err := host().Call(ctx, http.MethodGet, w.Path()+"/statistics", nil, http.StatusOK)
		if err != nil {
			return fmt.Errorf("read statistics: %w", err)
		}
		var statistics struct {
			Week struct {
				Attempts int `json:"attempts"`
			} `json:"last_7_days"`
		}
		if err := json.Unmarshal(answer, &statistics); err != nil {
			return fmt.Errorf("read statistics: %w", err)
		}
		if statistics.Week.Attempts < count {
			return fmt.Errorf("there are %d", statistics.Week.Attempts)
		}
		return nil
	})
}

// unfold opens the details with this heading.
func (b *tab) unfold(heading string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.Search(fmt.Sprintf(`//summary[*[normalize-space(.)=%q]]`, heading))))
}

// weekAttempt is one attempt of that week.
func weekAttempt(w apiclient.Webhook, at time.Time, random *rand.Rand, isOutage bool) *webhooksv1.Attempt {
	a := &webhooksv1.Attempt{
		Id: ulid.MustNewDefault(at).String(), ProjectId: w.ProjectID, WebhookId: w.ID, DeliveryId: "dlv_" + ulid.Make().String(),
		EventId: "evt_" + ulid.Make().String(), EventType: "conversation.summarized", Number: 1, Trigger: webhooksv1.Trigger_TRIGGER_EVENT,
		StartedAt: timestamppb.New(at), DurationUs: 40_000 + random.Int64N(120_000), Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: 200,
	}
	switch chance := random.IntN(100); {
	case isOutage && chance < 40, chance < 2:
		a.Outcome, a.Reason, a.StatusCode = webhooksv1.Outcome_OUTCOME_RETRY, webhooksv1.Reason_REASON_STATUS, 503
	case isOutage && chance < 60:
		a.Outcome, a.Reason, a.StatusCode, a.DurationUs = webhooksv1.Outcome_OUTCOME_RETRY, webhooksv1.Reason_REASON_TIMEOUT, 0, 15_000_000
	case chance < 8:
		a.DurationUs *= 20
	}
	return a
}

// The statistics of a receiver that fails, in numbers, in pictures and as a table,
// also without scripts.
func TestStatisticsOfAReceiverThatFails(t *testing.T) {
	w := newWebhook(t, "statistics", receiver.Status(http.StatusNotFound))
	publish(t, "statistics", 3)
	awaitAttempts(t, w, 3)
	as := desktop
	as.NoScript = true
	b := open(t, "statistics", as)
	b.visit("/" + w.ID)
	b.press("Statistics")
	b.sees("Why attempts failed, in 7 days The receiver answered that it did not work")
	b.sees("0%")
	assert.Equal(t, 1, evaluate[int](b, `document.querySelectorAll(".plot rect.bad").length`))
	b.unfold("The same as a table")
	b.sees("Half within")
	assert.Contains(t, b.text("#by-hour tbody tr"), "today")
	b.wantQuiet()
}
