package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/receiver"
	"github.com/dembrane/webhooks/test/internal/run"
)

// The longest way: a receiver fails until deliveries are given up, is mended, and gets
// what it missed, in three clicks from the overview. With and without scripts.
func TestAFailingReceiverIsMendedAndGetsWhatItMissed(t *testing.T) {
	t.Parallel()
	need(t, shared.missing)
	for name, noScript := range map[string]bool{"with-scripts": false, "without-scripts": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			project := "mended-" + name
			var works atomic.Bool
			url := shared.receiver.Add(receiver.Hook{Path: "/" + project, Unnoted: true, Answer: func(http.Header, <-chan struct{}, receiver.Arrival) int {
				if works.Load() {
					return http.StatusNoContent
				}
				return http.StatusNotFound
			}})
			w, err := host().Create(t.Context(), project, apiclient.Fields{"name": "Archive", "url": url, "events": event.Types()})
			require.NoError(t, err)
			publish(t, project, 5)

			as := phone
			as.NoScript = noScript
			b := open(t, project, as)
			gallery{webhooks: map[string]apiclient.Webhook{"archive": w}}.await(t, "archive", "failing")
			givenUp(t, w, 5)
			b.visit("")
			b.sees("Failing")
			b.sees("404")
			works.Store(true)
			// A test that succeeds is what minutes of waiting are: the breaker closes.
			_, err = host().Call(t.Context(), http.MethodPost, w.Path()+"/test", apiclient.Fields{}, http.StatusOK)
			require.NoError(t, err)
			b.press("Send what was missed") // one: it is counted since it began to fail
			b.sees("missing")
			b.press("Send all 5 now") // two
			b.sees("on its way")
			b.until("Done")
			b.visit("/" + w.ID + "/replays?since=failing&only=missed")
			b.sees("Nothing is missing")
			b.visit("/" + w.ID + "/deliveries?status=delivered")
			assert.Contains(t, b.text("main"), "Sent later")
			b.wantQuiet()
		})
	}
}

// A webhook that was stopped, because its receiver said that it is gone, is switched on
// and gets what it missed: in two clicks.
func TestAStoppedWebhookIsMendedAndGetsWhatItMissed(t *testing.T) {
	t.Parallel()
	need(t, shared.missing)
	var works atomic.Bool
	url := shared.receiver.Add(receiver.Hook{Path: "/stopped-once", Unnoted: true, Answer: func(http.Header, <-chan struct{}, receiver.Arrival) int {
		if works.Load() {
			return http.StatusNoContent
		}
		return http.StatusGone
	}})
	w, err := host().Create(t.Context(), "stopped-once", apiclient.Fields{"name": "Archive", "url": url, "events": event.Types()})
	require.NoError(t, err)
	publish(t, "stopped-once", 2)
	run.Until(t, patience, "it is stopped", isIn(w, "disabled"))
	works.Store(true)
	b := open(t, "stopped-once", phone)
	b.visit("")
	b.sees("Stopped")
	b.press("Send what was missed")     // one
	b.press("Switch on and send all 2") // two
	b.sees("on its way")
	b.until("Done · 2 arrived")
	b.visit("")
	b.sees("Working")
	b.wantQuiet()
}

// How far sending is, is read out in quarters, and what became of it; not every delivery.
func TestTheProgressOfAReplayIsReadOut(t *testing.T) {
	w := newWebhook(t, "read-out", receiver.Status(http.StatusNoContent))
	replays, began := shared.system.Attempts.Database().Collection("replays"), time.Now().UTC()
	id := ulidAt(began)
	_, err := replays.InsertOne(t.Context(), map[string]any{
		"_id": id, "project_id": "read-out", "webhook_id": w.ID, "created_by": "Sanne", "since": began.Add(-time.Hour), "until": began,
		"only": "missed", "events": []string{}, "max_per_second": 0.0, "state": "running", "message": "", "cursor": int64(1), "ranges": int64(1),
		"due_at": began, "total": int64(8), "sent": int64(8), "delivered": int64(0), "failed": int64(0), "created_at": began, "updated_at": began,
	})
	require.NoError(t, err)
	b := open(t, "read-out", desktop)
	b.visit("/" + w.ID + "/replays")
	b.sees("0 of 8")
	said := `document.getElementById("said").textContent`
	for _, step := range []struct {
		shown, told string
		now         map[string]any
	}{
		{"1 of 8", "", map[string]any{"delivered": int64(1)}},
		{"2 of 8", "Sending: 25%", map[string]any{"delivered": int64(2)}},
		{"3 of 8", "Sending: 25%", map[string]any{"delivered": int64(3)}},
		{"5 of 8", "Sending: 50%", map[string]any{"delivered": int64(4), "failed": int64(1)}},
		{"7 arrived", "Done: 7 arrived", map[string]any{"delivered": int64(7), "state": "done", "ended_at": time.Now().UTC()}},
	} {
		_, err := replays.UpdateOne(t.Context(), map[string]any{"_id": id}, map[string]any{"$set": step.now})
		require.NoError(t, err)
		b.lookAgain()
		b.sees(step.shown)
		if step.told == "" {
			assert.Empty(t, evaluate[string](b, said))
			continue
		}
		b.isToldSoon(step.told)
	}
	b.wantQuiet()
}

// givenUp waits until so many deliveries of a webhook are given up.
func givenUp(t *testing.T, w apiclient.Webhook, count int) {
	t.Helper()
	run.Until(t, patience, "deliveries are given up", func(ctx context.Context) error {
		answer, err := host().Call(ctx, http.MethodGet, w.Path()+"/deliveries?status=failed", nil, http.StatusOK)
		select { // the API has a limit
		case <-time.After(time.Second / 4):
		case <-ctx.Done():
		}
		if found := strings.Count(string(answer), `"failed"`); err == nil && found < count {
			err = fmt.Errorf("%d are", found)
		}
		return err
	})
}

// A replay to a receiver that takes nothing is stopped.
func TestAReplayIsStopped(t *testing.T) {
	t.Parallel()
	need(t, shared.missing)
	w := newWebhook(t, "stopped", receiver.Status(http.StatusServiceUnavailable))
	publish(t, "stopped", 3)
	givenUp(t, w, 3)
	b := open(t, "stopped", desktop)
	b.visit("/" + w.ID + "/replays?since=day&only=all")
	b.press("Send all 3 now")
	b.sees("Stop")
	b.sees("when it arrives, the rest follows by itself")
	b.press("Stop")
	b.sees("Stopped")
	b.wantQuiet()
}
