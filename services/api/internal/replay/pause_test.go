package replay

import (
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
