package main

import (
	"context"
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
	// publishTimeout is how long a stage of the pipeline would go on trying.
	publishTimeout = time.Minute
)

// load publishes events all the time, as pipeline stages do: each publish waits for
// its acknowledgement and is repeated until it comes. What it returns stops that, and
// waits for what is under way.
func (s *stack) load(t run.T, b *ledger.Book) (stop func()) {
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
			publishing.Go(func() error { //nolint:contextcheck // publishes outlast the pace
				if err := s.publish(t.Context(), b, s.projects[i%len(s.projects)]); err != nil {
					refused.Add(1)
					last.Store(&err)
				}
				return nil
			})
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		_ = publishing.Wait() // what was refused was counted
		if n := refused.Load(); n > 0 {
			t.Logf("%d events were not acknowledged, the last one: %v", n, *last.Load())
		}
	})
	t.Cleanup(stop)
	return stop
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
