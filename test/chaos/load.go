package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

const (
	// publishers is how many publishes are under way at once; while no broker
	// answers, it is how many events wait.
	publishers = 64
	// publishTimeout is how long a stage of the pipeline would go on trying.
	publishTimeout = time.Minute
)

// load publishes events all the time, as pipeline stages do: each publish waits
// for its acknowledgement and is repeated until it comes.
type load struct {
	stack   *stack
	book    *book
	ctx     context.Context //nolint:containedctx // of publishes, which outlast the load
	stop    func()
	refused atomic.Int64
	problem atomic.Pointer[error]
}

// startLoad publishes until the load's stop is called, which waits for what is
// under way.
func startLoad(ctx context.Context, s *stack, b *book) *load {
	pacing, cancel := context.WithCancel(ctx)
	l := &load{stack: s, book: b, ctx: ctx}
	var running sync.WaitGroup
	due := make(chan struct{})
	running.Go(func() {
		defer close(due)
		ticker := time.NewTicker(time.Second / time.Duration(s.plan.rate))
		defer ticker.Stop()
		for {
			select {
			case <-pacing.Done():
				return
			case <-ticker.C:
			}
			select {
			case <-pacing.Done():
				return
			case due <- struct{}{}:
			}
		}
	})
	var next atomic.Int64
	for range publishers {
		running.Go(func() {
			for range due {
				l.publish(s.projects[int(next.Add(1))%len(s.projects)])
			}
		})
	}
	l.stop = func() {
		cancel()
		running.Wait()
	}
	return l
}

func (l *load) publish(p project) {
	if err := l.stack.publish(l.ctx, l.book, p); err != nil {
		l.refused.Add(1)
		l.problem.Store(&err)
	}
}

// publish publishes one event of the project. Once that is acknowledged, it is
// owed.
func (s *stack) publish(ctx context.Context, b *book, p project) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	id := b.begin()
	e := payload.Sample(event.ConversationTranscribed, &webhooksv1.Project{Id: p.id}, id, time.Now())
	if err := s.publisher.Publish(ctx, e); err != nil {
		return err
	}
	b.owe(id, p.hooks)
	return nil
}
