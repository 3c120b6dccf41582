package e2e_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// past publishes events that nobody wants yet, and makes the webhook that missed
// them.
func (s *system) past(t *testing.T, r *crowd, events int) webhook {
	t.Helper()
	b := r.book("past", 1)
	b.project = project
	require.NoError(t, s.floods(t.Context(), b, events))
	s.wantSettled(t)
	s.wantSettled(t)
	w := s.create(t, project, fields{"url": r.URL, "events": event.Types()})
	s.settle(t)
	return w
}

func TestAReplayIsOneAtATimeAndKeepsToItsRate(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	began := time.Now()
	r := crowdDoes(t, receiver.Status(http.StatusOK))
	w := s.past(t, r, 60)

	asked := time.Now()
	first := s.replays(t, w, fields{"since": began, "max_per_second": 20})
	_, err := s.host().Call(t.Context(), http.MethodPost, w.Path()+"/replay", fields{"since": began}, http.StatusAccepted)
	require.ErrorContains(t, err, "409")
	require.ErrorContains(t, err, first.ID, "it names the one that runs")
	done := s.wantReplay(t, w, first.ID, "done")

	assert.Equal(t, 60, done.Delivered)
	assert.Equal(t, 60, r.posts())
	assert.Greater(t, time.Since(asked), 1900*time.Millisecond, "the last of three seconds has begun")
	s.wantReplay(t, w, s.replays(t, w, fields{"since": began}).ID, "done")
	assert.Equal(t, 60, r.posts())
}

func TestACancelledReplayStops(t *testing.T) {
	t.Parallel()
	const events = 3000
	s := start(t, nil)
	began := time.Now()
	r := crowdDoes(t, receiver.Thinks(20*time.Millisecond))
	w := s.past(t, r, events)
	id := s.replays(t, w, fields{"since": began}).ID
	eventually(t, "it is under way", func() bool { return r.posts() > 100 })

	s.call(t, http.MethodDelete, w.Path()+"/replays/"+id, nil, http.StatusNoContent)

	s.call(t, http.MethodDelete, w.Path()+"/replays/"+id, nil, http.StatusNoContent) // as often as one likes
	assert.Equal(t, "cancelled", s.replayed(t, w, id).State)
	s.wantSettled(t)
	sent := r.posts()
	assert.Less(t, sent, events, "it was cancelled in the middle")
	rest := s.wantReplay(t, w, s.replays(t, w, fields{"since": began}).ID, "done")
	assert.Equal(t, events, r.count(), "what was not sent can be asked for again")
	assert.Equal(t, events-sent, rest.Delivered)
	assert.Equal(t, events, r.posts(), "and nothing comes twice")
}

func TestAReplayWaitsWhileItsWebhookIsDisabled(t *testing.T) {
	t.Parallel()
	const events = 2000
	s := start(t, nil)
	began := time.Now()
	r := crowdDoes(t, receiver.Thinks(20*time.Millisecond))
	w := s.past(t, r, events)
	id := s.replays(t, w, fields{"since": began}).ID
	eventually(t, "it is under way", func() bool { return r.posts() > 100 })

	s.change(t, w, fields{"enabled": false})
	paused := s.wantReplay(t, w, id, "paused")
	assert.NotNil(t, paused.Message)
	assert.Less(t, r.count(), events)
	s.change(t, w, fields{"enabled": true})

	done := s.wantReplay(t, w, id, "done")
	assert.Equal(t, events, done.Delivered)
	assert.Zero(t, done.Failed)
	assert.Equal(t, events, r.count())
}

// Everything is killed in the middle, and goes on: nothing is lost, and at most one
// range comes twice.
func TestAReplaySurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	const events, oneRange = 4000, 256
	s := spawn(t, t.TempDir(), nil)
	s.shortAckWait(t)
	began := time.Now()
	r := crowdDoes(t, receiver.Thinks(5*time.Millisecond))
	w := s.past(t, r, events)
	id := s.replays(t, w, fields{"since": began}).ID
	folder := s.folder
	for _, reached := range []int{500, 1500} {
		eventually(t, "it is under way", func() bool { return r.count() > reached })
		s.signal(t, syscall.SIGKILL)
		require.Equal(t, -1, s.exit())
		s = spawn(t, folder, nil)
		s.shortAckWait(t)
	}

	done := s.wantReplay(t, w, id, "done")

	s.wantSettled(t)
	assert.Equal(t, events, r.count(), "something is lost")
	// What a killed dispatcher had sent and not recorded comes again as well: as much
	// as was under way.
	assert.LessOrEqual(t, r.posts()-events, 2*(oneRange+oneRange), "too much came twice")
	assert.Equal(t, events, done.Delivered)
}

// replaysOnce asks for a replay with an idempotency key.
func (s *system) replaysOnce(t *testing.T, w webhook, since time.Time, key string) (r replay) {
	t.Helper()
	body := strings.NewReader(`{"since":"` + since.UTC().Format(time.RFC3339Nano) + `"}`)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.at.API+w.Path()+"/replay", body)
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+s.at.Token)
	request.Header.Set("Idempotency-Key", key)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close() //nolint:errcheck // it is read to its end
	require.Equal(t, http.StatusAccepted, response.StatusCode)
	require.NoError(t, json.NewDecoder(response.Body).Decode(&r))
	return r
}

// The same request, sent again because its answer was lost, makes no second replay.
func TestAReplayIsStartedOnceForAKey(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	began := time.Now()
	r := crowdDoes(t, receiver.Status(http.StatusOK))
	w := s.past(t, r, 10)
	first := s.replaysOnce(t, w, began, "a-key")
	assert.Equal(t, first.ID, s.replaysOnce(t, w, began, "a-key").ID)
	s.wantReplay(t, w, first.ID, "done")
	assert.Equal(t, first.ID, s.replaysOnce(t, w, began, "a-key").ID, "also when it has ended")
	assert.Equal(t, 10, r.posts())
}
