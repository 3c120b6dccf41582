package main

import (
	"context"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// publishers is how many publishes are under way at once.
const publishers = 16

// load publishes events all the time and keeps which of them were acknowledged.
type load struct {
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu           sync.Mutex
	next         int
	acknowledged map[string]time.Time
}

// startLoad publishes until the load is stopped.
func startLoad(ctx context.Context, nc *nats.Conn, rate int) (*load, error) {
	p, err := publisher.New(nc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel, acknowledged: map[string]time.Time{}}
	due := make(chan struct{})
	l.running.Go(func() {
		defer close(due)
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			select {
			case <-ctx.Done():
				return
			case due <- struct{}{}:
			}
		}
	})
	for range publishers {
		l.running.Go(func() {
			for range due {
				l.publish(ctx, p)
			}
		})
	}
	return l, nil
}

func (l *load) publish(ctx context.Context, p *publisher.Publisher) {
	l.mu.Lock()
	l.next++
	id := "event-" + strconv.Itoa(l.next)
	l.mu.Unlock()
	e := payload.Sample(event.ConversationTranscribed, &webhooksv1.Project{Id: "project-" + strconv.Itoa(len(id))}, id, time.Now())
	if err := p.Publish(ctx, e); err != nil {
		return // what was not acknowledged is owed to nobody
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acknowledged[id] = time.Now()
}

// stop ends the load and returns when each event was acknowledged.
func (l *load) stop() map[string]time.Time {
	l.cancel()
	l.running.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acknowledged)
}
