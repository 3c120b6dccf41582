package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/test/internal/ledger"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// publishers is how many publishes are under way at once; while no broker
	// answers, it is how many events wait.
	publishers = 64
	// publishTimeout is how long a stage of the pipeline would go on trying: longer
	// than any outage here.
	publishTimeout = 2 * time.Minute
)

// pacer publishes events all the time, as pipeline stages do: each publish waits
// for its acknowledgement and is repeated until it comes.
type pacer struct {
	// stop ends it and waits for what is under way.
	stop func()

	held     atomic.Bool
	underWay atomic.Int64
}

// load starts a pacer. It ends with t.
func (s *stack) load(t run.T, b *ledger.Book) *pacer {
	p := &pacer{}
	pacing, cancel := context.WithCancel(t.Context())
	var refused atomic.Int64
	var last atomic.Pointer[error]
	var publishing errgroup.Group
	publishing.SetLimit(1 + publishers)
	publishing.Go(func() error {
		ticker := time.NewTicker(time.Second / time.Duration(s.plan.rate))
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-pacing.Done():
				return nil
			case <-ticker.C:
			}
			p.underWay.Add(1)
			if p.held.Load() {
				p.underWay.Add(-1)
				continue
			}
			publishing.Go(func() error { //nolint:contextcheck // publishes outlast the pace
				defer p.underWay.Add(-1)
				if err := s.publish(t.Context(), b, s.projects[i%len(s.projects)]); err != nil {
					refused.Add(1)
					last.Store(&err)
				}
				return nil
			})
		}
	})
	p.stop = sync.OnceFunc(func() {
		cancel()
		_ = publishing.Wait() // what was refused was counted
		if n := refused.Load(); n > 0 {
			t.Logf("%d events were not acknowledged, the last one: %v", n, *last.Load())
		}
	})
	t.Cleanup(p.stop)
	return p
}

// hold publishes nothing until resume is called, and returns when nothing is owed
// any more, nor on its way to the delivery log.
func (x *strike) hold(t run.T) (resume func()) {
	x.pacer.held.Store(true)
	run.Until(t, x.plan.patience, "everything is settled and recorded", func(ctx context.Context) error {
		if n := x.pacer.underWay.Load(); n > 0 {
			return fmt.Errorf("%d events are being published", n)
		}
		return x.Recorded(ctx)
	})
	return func() { x.pacer.held.Store(false) }
}

// publish publishes one event of the project. Once that is acknowledged, it is
// owed.
func (s *stack) publish(ctx context.Context, b *ledger.Book, p project) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	id := b.Begin()
	e := payload.Sample(event.ConversationTranscribed, &webhooksv1.Project{Id: p.id}, id, time.Now())
	if err := s.Publisher.Publish(ctx, e); err != nil {
		return err
	}
	b.Owe(id, p.hooks...)
	return nil
}
