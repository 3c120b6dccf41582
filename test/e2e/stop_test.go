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
	"github.com/dembrane/webhooks/test/internal/receiver"
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
	r := crowdDoes(t, receiver.Hold(mended))
	owed := r.book(project, webhooks)
	for i := range webhooks {
		s.create(t, project, fields{"url": r.URL + "/" + strconv.Itoa(i), "events": event.Types()})
	}
	s.settle(t)
	for range events {
		require.NoError(t, s.publishTo(t.Context(), owed))
	}
	eventually(t, "all are under way", func() bool { return r.count() == underWay })

	began := time.Now()
	s.signal(t, syscall.SIGTERM)
	eventually(t, "the api has stopped", func() bool { return !s.answers(t) })
	late, cancel := context.WithTimeout(t.Context(), grace/2)
	defer cancel()
	wanted := underWay
	if s.publishTo(late, owed) == nil { // the broker is the last to stop
		wanted += webhooks
	}
	require.Zero(t, s.exit())
	assert.Less(t, time.Since(began), grace+10*time.Second, "the grace, and what it takes to write down what was under way")
	assert.Equal(t, underWay, r.count(), "nothing new was taken")

	close(mended)
	again := spawn(t, s.folder, limits)

	again.wantSettled(t)
	assert.Equal(t, wanted, r.count())
	for _, l := range owed.Lines() {
		assert.Zero(t, l.Attempts&^(1<<1), "%s: what was cut off has used up an attempt", l.Delivery)
	}
	assert.Equal(t, underWay+wanted, r.posts(), "what was cut off came once more, and nothing else did")
}
