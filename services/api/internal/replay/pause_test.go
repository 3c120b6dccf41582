package replay

import (
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// A replay waits while its webhook is disabled, and sends the rest when it is enabled.
func TestAReplayPausesWhileItsWebhookIsDisabled(t *testing.T) {
	w := newWorld(t)
	s, stop := w.run(w.store, func(*Service) {})
	defer stop()
	id := w.start(s)
	w.until("the window is full", func() bool { return w.waiting(id) == minWindow })

	w.sets(registration.Draft)

	paused := w.untilIs(id, store.ReplayPaused, func() {})
	assert.Contains(t, paused.Message, "switched on again")
	assert.Equal(t, minWindow, w.waiting(id), "nothing more is written down")
	_, err := s.Start(t.Context(), w.webhook, ulid.Make().String(), "somebody", Request{Since: time.Now().Add(-time.Hour), Only: All})
	require.ErrorIs(t, err, store.ErrReplayRunning, "it is still the one that runs")
	w.sets(registration.Published)
	done := w.untilIs(id, store.ReplayDone, w.deliver)
	assert.Empty(t, done.Message)
	assert.EqualValues(t, events, done.Delivered)
	slices.Sort(w.came)
	assert.Len(t, slices.Compact(w.came), events)
}

// What dispatchers hand back while the webhook is disabled is not on its way: it takes no
// room from what is sent when it is enabled again.
func TestWhatWasHandedBackTakesNoRoom(t *testing.T) {
	w := newWorld(t)
	s, stop := w.run(w.store, func(*Service) {})
	defer stop()
	id := w.start(s)
	w.until("the window is full", func() bool { return w.waiting(id) == minWindow })

	w.sets(registration.Draft)
	w.untilIs(id, store.ReplayPaused, w.handBack)
	w.sets(registration.Published)

	done := w.untilIs(id, store.ReplayDone, w.deliver)
	assert.EqualValues(t, events, done.Delivered)
	slices.Sort(w.came)
	assert.Len(t, slices.Compact(w.came), events)
}

// sets changes the status of the webhook.
func (w *world) sets(status registration.Status) {
	w.t.Helper()
	_, err := w.store.Change(w.t.Context(), project, w.webhook.ID, func(x *store.Webhook) error {
		x.Status = status
		return nil
	})
	require.NoError(w.t, err)
}

// What waited for its next attempt when a replay had ended is counted later, in a list,
// too: nobody is told that nothing arrived, when all of it has.
func TestWhatAReplayLeftWaitingIsCountedInALaterList(t *testing.T) {
	w := newWorld(t)
	ended := time.Now().UTC()
	_, err := w.store.StartReplay(t.Context(), store.Replay{
		ID: "r1", ProjectID: project, WebhookID: w.webhook.ID, State: store.ReplayDone, Sent: 2, CreatedAt: ended, EndedAt: &ended,
	})
	require.NoError(t, err)
	outcome := func(sequence uint64, number uint32, outcome webhooksv1.Outcome) *webhooksv1.Attempt {
		return &webhooksv1.Attempt{
			Id: ulid.Make().String(), ProjectId: project, WebhookId: w.webhook.ID, EventSequence: sequence, Number: number, Outcome: outcome,
			Trigger: webhooksv1.Trigger_TRIGGER_REPLAY, ReplayId: "r1",
		}
	}
	require.NoError(t, w.store.AppendOutcomes(t.Context(), []*webhooksv1.Attempt{
		outcome(1, 1, webhooksv1.Outcome_OUTCOME_RETRY), outcome(2, 1, webhooksv1.Outcome_OUTCOME_RETRY),
		outcome(1, 2, webhooksv1.Outcome_OUTCOME_DELIVERED), outcome(2, 2, webhooksv1.Outcome_OUTCOME_EXHAUSTED),
	}))
	list, err := New(Deps{Store: w.store, JS: w.js, Log: zap.NewNop()}).List(t.Context(), w.webhook.ID)
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, []int64{1, 1}, []int64{list[0].Delivered, list[0].Failed})
}
