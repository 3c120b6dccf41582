package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/services/standalone/app"
	"github.com/dembrane/webhooks/test/internal/inside"
	"github.com/dembrane/webhooks/test/internal/receiver"
	"github.com/dembrane/webhooks/test/internal/run"
)

func TestARestartForgetsNothing(t *testing.T) {
	t.Parallel()
	s := start(t, retryLater())
	r := receiverAnswers(t, 500)
	w := s.register(t, r)
	e := started()
	s.publish(t, e)
	s.wantAttempts(t, w, retry)
	token := s.at.Token

	s.stop()
	again := startIn(t, s.folder, retryLater())

	again.wantAttempts(t, w, retry, delivered)
	wantOneDelivery(t, r.next(t), r.next(t))
	assert.Equal(t, token, again.at.Token)
	assert.Equal(t, w.URL, again.get(t, w).URL)
	// What is registered and stored goes on working.
	again.publish(t, e) // a duplicate, still
	next := started()
	again.publish(t, next)
	assert.Equal(t, next.GetId(), r.next(t).Event)
	again.wantAttempts(t, w, retry, delivered, delivered)
}

func TestAProcessKilledBeforeTheAnswerSendsAgain(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	s := spawn(t, t.TempDir(), nil)
	s.shortAckWait(t)
	r := receiverDoes(t, receiver.Hold(released))
	w := s.register(t, r)
	e := started()
	s.publish(t, e)
	first := r.next(t)

	s.signal(t, syscall.SIGKILL)
	require.Equal(t, -1, s.exit())
	close(released)
	again := spawn(t, s.folder, nil)
	again.shortAckWait(t)

	second := r.next(t)
	assert.Equal(t, e.GetId(), second.Event)
	assert.Equal(t, first.Delivery, second.Delivery)
	assert.Equal(t, first.Header.Get("webhook-id"), second.Header.Get("webhook-id"))
	assert.Equal(t, string(first.Body), string(second.Body))
	assert.Equal(t, 1, second.Attempt, "nobody knows of the first one")
	again.wantAttempts(t, w, delivered)
}

func TestAProcessKilledAfterSomeWebhooksWereServedServesTheRest(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	defer close(released)
	s := spawn(t, t.TempDir(), nil)
	s.shortAckWait(t)
	served, waiting := receiverAnswers(t), receiverDoes(t, receiver.Hold(released))
	one, other := s.register(t, served), s.register(t, waiting)
	s.publish(t, started())
	first, held := served.next(t), waiting.next(t)
	s.wantAttempts(t, one, delivered)

	s.signal(t, syscall.SIGKILL)
	require.Equal(t, -1, s.exit())
	again := spawn(t, s.folder, nil)
	again.shortAckWait(t)

	assert.Equal(t, held.Delivery, waiting.next(t).Delivery)
	again.wantAttempts(t, other, delivered)
	// The one that was served may get it once more, and can tell that it has it.
	assert.Equal(t, first.Delivery, served.next(t).Delivery)
	again.wantAttempts(t, one, delivered, delivered)
	served.wantNothingMore(t)
}

func TestAStopWaitsForAttemptsUnderWay(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	s := spawn(t, t.TempDir(), nil)
	r := receiverDoes(t, receiver.Hold(released))
	w := s.register(t, r)
	s.publish(t, started())
	r.next(t)

	s.signal(t, syscall.SIGTERM)
	eventually(t, "the api has stopped", func() bool { return !s.answers(t) })
	close(released)

	require.Zero(t, s.exit())
	again := spawn(t, s.folder, nil)
	again.wantAttempts(t, w, delivered)
	again.settle(t) // what was left would have come first
	r.wantNothingMore(t)
}

func TestAStopHandsBackWhatItCannotWaitFor(t *testing.T) {
	t.Parallel()
	s := spawn(t, t.TempDir(), settings{"SHUTDOWN_GRACE": "500ms"})
	const webhooks, events = 10, 2 // an unknown receiver gets two attempts at once
	const underWay = webhooks * events
	answers := make([]receiver.Answer, underWay)
	for i := range answers {
		answers[i] = receiver.Silence
	}
	r := receiverDoes(t, answers...)
	var registered []webhook
	for range webhooks {
		registered = append(registered, s.register(t, r))
	}
	deliveries := map[string]bool{}
	for range events {
		s.publish(t, started())
	}
	for range underWay {
		deliveries[r.next(t).Delivery] = true
	}

	began := time.Now()
	s.signal(t, syscall.SIGTERM)
	require.Zero(t, s.exit())
	assert.Less(t, time.Since(began), 10*time.Second)

	again := spawn(t, s.folder, nil)
	restarted := time.Now()
	for range underWay {
		a := r.next(t)
		assert.True(t, deliveries[a.Delivery])
		assert.Equal(t, 1, a.Attempt, "an attempt that was cut off does not count")
	}
	assert.Less(t, time.Since(restarted), 20*time.Second, "without waiting for what a killed process would still hold")
	for _, w := range registered {
		again.wantAttempts(t, w, delivered, delivered)
	}
	r.wantNothingMore(t)
}

func TestAFolderHasOneStandaloneAtATime(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	c, err := app.LoadConfig(quick(s.folder, nil))
	require.NoError(t, err)

	_, err = app.New(c, "0.0.0-e2e", zap.NewNop())

	require.ErrorIs(t, err, app.ErrInUse)
	s.stop()
	startIn(t, s.folder, nil)
}

// shortAckWait makes the broker give again after a second what a process had when
// it was killed. It is half a minute otherwise, longer than any attempt lasts.
func (s *system) shortAckWait(t *testing.T) {
	t.Helper()
	for _, c := range inside.Dispatching() {
		run.Until(t, patience, c.Consumer+" waits a second", func(ctx context.Context) error {
			return s.SetAckWait(ctx, c, time.Second)
		})
	}
}

// A process is killed while it works on what was parked: at most one range of the
// webhook is repeated, with the same ids and bodies.
func TestACrashWithinARangeRepeatsAtMostThatRange(t *testing.T) {
	t.Parallel()
	const events, mostInARange = 1000, 256
	s := spawn(t, t.TempDir(), lasting(nil))
	s.shortAckWait(t)
	var open atomic.Bool
	r := crowdDoes(t, func(header http.Header, gone <-chan struct{}, a receiver.Arrival) int {
		if !open.Load() {
			return receiver.RetryAfter(http.StatusTooManyRequests, "5")(header, gone, a)
		}
		return receiver.Thinks(2*time.Millisecond)(header, gone, a)
	})
	all := r.book(project, 1)
	s.create(t, project, fields{"url": r.URL, "events": event.Types()})
	s.settle(t)
	require.NoError(t, s.floods(t.Context(), all, events))
	run.Until(t, patience, "all of it is parked", func(ctx context.Context) error {
		parked, err := s.Later(ctx)
		if err == nil && parked < events {
			err = fmt.Errorf("%d of %d are parked", parked, events)
		}
		return err
	})
	before := all.Sums().Posts
	open.Store(true)
	eventually(t, "it is in the middle", func() bool { return all.Sums().Posts > before+events/3 })

	s.signal(t, syscall.SIGKILL)
	require.Equal(t, -1, s.exit())
	again := spawn(t, s.folder, lasting(nil))
	again.shortAckWait(t)

	again.wantSettled(t)
	missing := 0
	for _, l := range all.Lines() {
		if !l.Delivered {
			missing++
		}
	}
	assert.Zero(t, missing)
	assert.LessOrEqual(t, all.Sums().Repeated, mostInARange)
}
