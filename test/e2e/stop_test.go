package e2e_test

import (
	"context"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
)

func TestCase38AStopWithFiveHundredAttemptsUnderWayUsesUpNone(t *testing.T) {
	const (
		webhooks, events = 250, 2 // an unknown receiver gets two attempts at once
		underWay         = webhooks * events
		grace            = time.Second
	)
	limits := lasting(settings{
		"SHUTDOWN_GRACE": grace.String(), "MAX_WEBHOOKS_PER_PROJECT": strconv.Itoa(webhooks), "API_RATE_PER_SECOND": "0",
	})
	s := spawn(t, t.TempDir(), limits)
	mended := make(chan struct{})
	r := crowdDoes(t, hold(mended))
	for i := range webhooks {
		s.create(t, project, fields{"url": r.url + "/" + strconv.Itoa(i), "events": event.Types()})
	}
	s.settle(t)
	for range events {
		s.publish(t, started())
	}
	eventually(t, "all are under way", func() bool { return r.count() == underWay })

	began := time.Now()
	s.signal(syscall.SIGTERM)
	eventually(t, "the api has stopped", func() bool { return !s.answers(t) })
	late, cancel := context.WithTimeout(t.Context(), grace/2)
	defer cancel()
	owed := underWay
	if s.publisher.Publish(late, started()) == nil { // the broker is the last to stop
		owed += webhooks
	}
	require.Zero(t, s.exit())
	assert.Less(t, time.Since(began), grace+10*time.Second, "the grace, and what it takes to write down what was under way")
	assert.Equal(t, underWay, r.count(), "nothing new was taken")

	close(mended)
	again := spawn(t, s.folder, limits)

	again.wantSettled(t)
	assert.Equal(t, owed, r.count())
	r.mu.Lock()
	defer r.mu.Unlock()
	posts := 0
	for key, attempts := range r.numbers {
		posts += len(attempts)
		for _, number := range attempts {
			assert.Equal(t, "1", number, "%s: what was cut off has used up an attempt", key)
		}
	}
	assert.Equal(t, underWay+owed, posts, "what was cut off came once more, and nothing else did")
}
