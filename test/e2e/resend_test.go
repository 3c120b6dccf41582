package e2e_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// replay is a replay as the API shows it.
type replay struct {
	ID        string  `json:"id"`
	State     string  `json:"state"`
	Message   *string `json:"message"`
	Total     *int    `json:"total"`
	Queued    int     `json:"queued"`
	Delivered int     `json:"delivered"`
	Failed    int     `json:"failed"`
}

// replays asks for a replay.
func (s *system) replays(t *testing.T, w webhook, f fields) (r replay) {
	t.Helper()
	require.NoError(t, json.Unmarshal(s.call(t, http.MethodPost, w.Path()+"/replay", f, http.StatusAccepted), &r))
	return r
}

func (s *system) replayed(t *testing.T, w webhook, id string) (r replay) {
	t.Helper()
	require.NoError(t, json.Unmarshal(s.call(t, http.MethodGet, w.Path()+"/replays/"+id, nil, http.StatusOK), &r))
	return r
}

// wantReplay waits until a replay is in a state.
func (s *system) wantReplay(t *testing.T, w webhook, id, state string) (r replay) {
	t.Helper()
	// A replay goes after everything else, and its story among many others.
	within(t, 4*patience, "the replay is "+state, func() bool {
		<-time.After(200 * time.Millisecond) // a host is answered twenty times a second
		r = s.replayed(t, w, id)
		return r.State == state
	})
	return r
}

// owes is how many messages a stream holds.
func (s *system) owes(t *testing.T, stream string) uint64 {
	t.Helper()
	found, err := s.Streams.Stream(t.Context(), stream)
	require.NoError(t, err)
	return found.CachedInfo().State.Msgs
}

func TestAnEventIsSentAgainOnRequest(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	r, elsewhere := receiverAnswers(t), receiverAnswers(t)
	w := s.register(t, r)
	other := s.create(t, "another-project", fields{"url": elsewhere.url, "events": []string{"report.generated"}})
	e := started()
	s.publish(t, e)
	first := r.next(t)
	list := s.wantAttempts(t, w, delivered)
	path := w.Path() + "/deliveries/" + list[0].ID + "/resend"

	var next map[string]any
	require.NoError(t, json.Unmarshal(s.call(t, http.MethodPost, path, nil, http.StatusAccepted), &next))

	assert.Equal(t, e.GetId(), next["event_id"])
	assert.Equal(t, "resend", next["trigger"])
	second := r.next(t)
	assert.Equal(t, first.Delivery, second.Delivery)
	assert.Equal(t, string(first.Body), string(second.Body))
	list = s.wantAttempts(t, w, delivered, delivered)
	assert.Equal(t, "resend", list[1].Trigger)

	// What is not there, or somebody else's, is not found; what is off gets nothing.
	s.call(t, http.MethodPost, w.Path()+"/deliveries/01K2Z3V4W5X6Y7Z8A9B0C1D2E3/resend", nil, http.StatusNotFound)
	s.call(t, http.MethodPost, other.Path()+"/deliveries/"+list[0].ID+"/resend", nil, http.StatusNotFound)
	s.change(t, w, fields{"enabled": false})
	s.call(t, http.MethodPost, path, nil, http.StatusConflict)
	r.wantNothingMore(t)
}

func TestAnEventThatIsSentAgainIsNotTriedOnceMore(t *testing.T) {
	t.Parallel()
	s := start(t, settings{"RETRY_FIRST": "1h"})
	r := receiverAnswers(t, http.StatusInternalServerError)
	w := s.register(t, r)
	s.publish(t, started())
	r.next(t)
	list := s.wantAttempts(t, w, retry)
	require.EqualValues(t, 1, s.owes(t, topology.StreamDeliveries))

	s.call(t, http.MethodPost, w.Path()+"/deliveries/"+list[0].ID+"/resend", nil, http.StatusAccepted)

	r.next(t)
	s.wantAttempts(t, w, retry, delivered)
	eventually(t, "nothing is owed", func() bool { return s.owes(t, topology.StreamDeliveries) == 0 })
}

// The story of every outage: a receiver is broken for a while and mended. What it
// missed comes at once, each event once, and nothing of what it has.
func TestWhatAReceiverMissedComesOnceItIsMended(t *testing.T) {
	t.Parallel()
	began := time.Now()
	s := start(t, settings{"RETRY_FIRST": "1h", "RETRY_ATTEMPTS": "2"})
	r := receiverAnswers(t, 200, 200, 500, 500, 500)
	w := s.register(t, r)
	var missed []string
	for i := range 5 {
		e := started()
		s.publish(t, e)
		r.next(t)
		if i >= 2 {
			missed = append(missed, e.GetId())
		}
	}
	s.wantAttempts(t, w, delivered, delivered, retry, retry, retry)
	s.change(t, w, fields{"enabled": false})
	off := started()
	s.publish(t, off)
	missed = append(missed, off.GetId())
	s.settle(t)
	s.change(t, w, fields{"enabled": true})

	var estimate struct {
		Count    int  `json:"count"`
		Complete bool `json:"complete"`
	}
	body := s.call(t, http.MethodPost, w.Path()+"/replay", fields{"since": began, "only": "missed", "dry_run": true}, http.StatusOK)
	require.NoError(t, json.Unmarshal(body, &estimate))
	assert.Equal(t, len(missed), estimate.Count)
	assert.True(t, estimate.Complete)

	done := s.wantReplay(t, w, s.replays(t, w, fields{"since": began, "only": "missed"}).ID, "done")

	assert.Equal(t, len(missed), *done.Total)
	assert.Equal(t, len(missed), done.Delivered)
	var came []string
	for range missed {
		came = append(came, r.next(t).Event)
	}
	assert.ElementsMatch(t, missed, came)
	s.wantAttempts(t, w, delivered, delivered, retry, retry, retry, delivered, delivered, delivered, delivered)
	eventually(t, "nothing is owed", func() bool { return s.owes(t, topology.StreamDeliveries) == 0 })
	again := s.wantReplay(t, w, s.replays(t, w, fields{"since": began, "only": "missed"}).ID, "done")
	assert.Zero(t, *again.Total, "it has everything")
	r.wantNothingMore(t)
}

// What did not arrive is asked for again: what was given up and what waits for its
// next attempt. Not what the receiver has, and not what nobody has tried to send.
func TestAReplayOfWhatFailedSendsOnlyThat(t *testing.T) {
	t.Parallel()
	began := time.Now()
	s := start(t, settings{"RETRY_ATTEMPTS": "2"})
	before := started()
	s.publish(t, before)
	s.wantSettled(t) // nobody wanted it
	later := receiver.RetryAfter(http.StatusForbidden, "3600")
	broken := receiver.Status(http.StatusInternalServerError)
	r := receiverDoes(t, receiver.Status(http.StatusOK), broken, broken, later, receiver.Status(http.StatusGone))
	w := s.register(t, r)
	var list []attempt
	publish := func(outcomes ...string) (id string) {
		e := started()
		s.publish(t, e)
		for range len(outcomes) - len(list) {
			r.next(t)
		}
		list = s.wantAttempts(t, w, outcomes...)
		return e.GetId()
	}
	publish(delivered)
	failed := []string{
		publish(delivered, retry, exhausted),
		publish(delivered, retry, exhausted, retry),
		publish(delivered, retry, exhausted, retry, gone),
	}
	eventually(t, "it is off", func() bool { return !s.get(t, w).Enabled })
	s.settle(t)
	s.publish(t, started())
	eventually(t, "the one that came while it was off is settled", func() bool {
		left, err := s.Unsettled(t.Context())
		require.NoError(t, err)
		return left == 1 // the one that is to be tried again
	})
	s.change(t, w, fields{"enabled": true})

	counts := func(only string) int {
		var estimate struct{ Count int }
		body := s.call(t, http.MethodPost, w.Path()+"/replay", fields{"since": began, "only": only, "dry_run": true}, http.StatusOK)
		require.NoError(t, json.Unmarshal(body, &estimate))
		return estimate.Count
	}
	assert.Equal(t, 3, counts("failed"))
	assert.Equal(t, 5, counts("missed"), "these, and the two that were never tried")
	assert.Equal(t, 6, counts("all"))

	done := s.wantReplay(t, w, s.replays(t, w, fields{"since": began, "only": "failed"}).ID, "done")

	assert.Equal(t, 3, *done.Total)
	assert.Equal(t, 3, done.Delivered)
	var came []string
	for range failed {
		came = append(came, r.next(t).Event)
	}
	assert.ElementsMatch(t, failed, came)
	list = s.wantAttempts(t, w, delivered, retry, exhausted, retry, gone, delivered, delivered, delivered)
	for _, a := range list[5:] {
		assert.Equal(t, "replay", a.Trigger)
	}
	eventually(t, "the next attempt is off the schedule", func() bool { return s.owes(t, topology.StreamDeliveries) == 0 })
	assert.Zero(t, counts("failed"), "nothing has failed any more")
	assert.Equal(t, 2, counts("missed"))
	r.wantNothingMore(t)
}

func TestAWebhookThatIsMadeTodayAsksForLastWeek(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	began := time.Now()
	past := []string{}
	for range 300 { // more than one range
		e := started()
		s.publish(t, e)
		past = append(past, e.GetId())
	}
	s.publish(t, startedIn("another-project"))
	s.wantSettled(t) // nobody wanted them
	r := receiverAnswers(t)
	w := s.register(t, r)

	done := s.wantReplay(t, w, s.replays(t, w, fields{"since": began, "only": "missed"}).ID, "done")

	assert.Equal(t, len(past), done.Delivered)
	var came []string
	for range past {
		came = append(came, r.next(t).Event)
	}
	assert.ElementsMatch(t, past, came)
	r.wantNothingMore(t)
}
