package hints

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/services/dispatcher/internal/limiter"
)

// flood asks for turns at one endpoint all the time, until ctx is done, and counts
// those to go.
func (d *dispatcher) flood(ctx context.Context, perSecond float64, posts *atomic.Int64) {
	for ctx.Err() == nil {
		turn := d.Wait(ctx, limiter.Request{Endpoint: endpoint, MaxPerSecond: perSecond})
		if turn.Go() {
			posts.Add(1)
			d.Done(turn, limiter.Result{Took: time.Millisecond})
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// A webhook's max_per_second holds for all dispatchers together, also while one of
// them is replaced.
func TestARateIsSharedByAll(t *testing.T) {
	server := natstest.Start(t)
	one, two, three := start(t, server), start(t, server), start(t, server)
	eventually(t, counts(3), one, two, three)
	const perSecond = 15
	var posts atomic.Int64
	var all sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for _, d := range []*dispatcher{one, two, three} {
		all.Go(func() { d.flood(ctx, perSecond, &posts) })
	}
	began := time.Now()
	<-time.After(2 * time.Second)
	three.leave()
	four := start(t, server)
	all.Go(func() { four.flood(ctx, perSecond, &posts) })
	<-time.After(2 * time.Second)
	stop()
	all.Wait()
	allowed := perSecond * time.Since(began).Seconds()
	assert.InDelta(t, allowed, posts.Load(), 8, "one more for each to begin with, and what a change takes")
}

// Three dispatchers find out together that a receiver wants a pause.
func TestAHandfulOfPostsTeachesAllOfThem(t *testing.T) {
	server := natstest.Start(t)
	makeBucket(t, server)
	all := []*dispatcher{start(t, server), start(t, server), start(t, server)}
	eventually(t, counts(3), all...)
	until := time.Now().Add(time.Minute)
	var posts atomic.Int64
	var events sync.WaitGroup
	for event := range 50 {
		d := all[event%len(all)]
		events.Go(func() {
			turn := d.Wait(t.Context(), limiter.Request{Endpoint: endpoint})
			if turn.Go() {
				posts.Add(1)
				<-time.After(20 * time.Millisecond)
				d.Done(turn, limiter.Result{Took: 20 * time.Millisecond, Failed: true, PauseUntil: until})
				return
			}
			assert.False(t, turn.NotBefore.Before(until.Round(0)))
		})
	}
	events.Wait()
	assert.LessOrEqual(t, posts.Load(), int64(6), "two for each of them at most")
}
