package health_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/health"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	delivered = webhooksv1.Outcome_OUTCOME_DELIVERED
	retried   = webhooksv1.Outcome_OUTCOME_RETRY
)

// said are the types of the events that were published, in their order.
func (w *world) said() []string {
	types := []string{}
	for _, e := range w.published {
		types = append(types, e.GetType())
	}
	return types
}

func (w *world) update(tracker *health.Tracker, made store.Webhook, outcome webhooksv1.Outcome, status uint32) {
	w.t.Helper()
	<-time.After(2 * time.Millisecond) // attempts of the same millisecond tell no order
	require.NoError(w.t, tracker.Update(w.t.Context(), []*webhooksv1.Attempt{attemptOf(made, outcome, status)}))
}

func TestAWebhookThatFailsIsAnnouncedOnce(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	one, other := w.tracker(w.store), w.tracker(w.store)

	w.update(one, made, delivered, 200)
	w.update(other, made, delivered, 200) // so it knows the webhook from before
	assert.Empty(t, w.said())
	w.update(one, made, retried, 404)
	w.update(one, made, retried, 404)
	w.update(other, made, retried, 404)
	require.Equal(t, []string{"webhook.failing"}, w.said(), "by two replicas")
	failing := w.published[0].GetWebhook()
	assert.Equal(t, made.ID, failing.GetId())
	assert.Equal(t, "CRM", failing.GetName())
	assert.Equal(t, "example.org", failing.GetHost())
	assert.Equal(t, "failing", failing.GetState())
	assert.EqualValues(t, 404, failing.GetStatusCode())
	assert.NotNil(t, failing.GetFailingSince())
	assert.NotContains(t, failing.GetMessage(), "/hook", "what is behind the host is not told")
	assert.Equal(t, "p1", w.published[0].GetProject().GetId())

	w.update(other, made, delivered, 200)
	w.update(one, made, delivered, 200)
	assert.Equal(t, []string{"webhook.failing", "webhook.recovered"}, w.said())

	w.update(one, made, retried, 500)
	w.update(one, made, delivered, 200)
	w.update(one, made, retried, 500)
	assert.Len(t, w.said(), 2, "at most one in 15 minutes")

	stored, err := w.store.Load(t.Context(), made.ID)
	require.NoError(t, err)
	stored.Told.FailingAt = stored.Told.FailingAt.Add(-16 * time.Minute)
	require.NoError(t, w.store.Tell(t.Context(), made.ID, stored.Told))
	w.update(w.tracker(w.store), made, retried, 500)
	assert.Equal(t, []string{"webhook.failing", "webhook.recovered", "webhook.failing"}, w.said(), "it still fails by then")
	assert.NotEqual(t, w.published[0].GetId(), w.published[2].GetId())
}

func TestAnEventThatCannotBePublishedHoldsUpNoRecord(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	tracker := w.tracker(w.store)
	w.refuses = errors.New("the stream is full")

	w.update(tracker, made, retried, 500)
	w.refuses = nil
	w.update(tracker, made, retried, 500)
	assert.Empty(t, w.said(), "it is not tried all the time")
	w.update(w.tracker(w.store), made, retried, 500)

	assert.Equal(t, []string{"webhook.failing"}, w.said(), "it is said as soon as it can be")
}

func TestAWebhookThatIsSwitchedOffIsAnnounced(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	tracker := w.tracker(w.store)

	w.update(tracker, made, webhooksv1.Outcome_OUTCOME_GONE, 410)
	w.update(tracker, made, webhooksv1.Outcome_OUTCOME_GONE, 410)

	require.Equal(t, []string{"webhook.failing", "webhook.disabled"}, w.said())
	disabled := w.published[1].GetWebhook()
	assert.Equal(t, "disabled", disabled.GetState())
	assert.Equal(t, "gone", disabled.GetReason())
	assert.EqualValues(t, 410, disabled.GetStatusCode())
}

// What a receiver says may repeat an event, which can be erased; the message about the
// webhook stays.
func TestNothingThatAReceiverSaidIsAnnounced(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	tracker := w.tracker(w.store)
	a := attemptOf(made, retried, 302)
	a.Reason = webhooksv1.Reason_REASON_REDIRECT
	a.Detail = "The receiver answered 302 to /a-secret."
	a.Response = &webhooksv1.Response{Headers: []*webhooksv1.Header{{Name: "Location", Value: "/a-secret"}}, Body: []byte("a-secret")}
	require.NoError(t, tracker.Update(t.Context(), []*webhooksv1.Attempt{a}))
	require.Equal(t, []string{"webhook.failing"}, w.said())
	assert.Contains(t, w.published[0].GetWebhook().GetMessage(), "302")
	assert.NotContains(t, w.published[0].String(), "a-secret")
}
