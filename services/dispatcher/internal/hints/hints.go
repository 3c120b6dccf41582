// Package hints lets dispatchers tell each other what their limiters should know,
// so that the limits of a webhook hold for the webhook and not for each of them:
//
//	presence.go  how many dispatchers live, so that each takes its share of a
//	             max_per_second                                       (core NATS)
//	limits.go    which endpoints asked for a pause, or have an open breaker; a
//	             dispatcher that starts learns it, too                (the bucket LIMITS)
//
// A hint that is lost costs politeness, never a delivery: nothing waits for hints,
// and without NATS or the bucket each dispatcher goes by what it knows itself, until
// they are back.
package hints

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/services/dispatcher/internal/limiter"
)

// limits is the limiter that hears what others say.
type limits interface {
	Pause(endpoint string, until time.Time, cause limiter.Cause)
	SetReplicas(n int)
}

// Hints is one dispatcher among others. It is safe for concurrent use.
type Hints struct {
	conn *nats.Conn
	log  *zap.Logger
	id   string // of this dispatcher, for as long as it runs

	mu     sync.Mutex
	untold map[string]limiter.Hint // by endpoint
	told   map[string]time.Time    // when the last one of an endpoint was, for as long as the next has to wait
	news   chan struct{}
}

// New returns hints that neither tell nor hear anything before [Hints.Run].
func New(conn *nats.Conn, log *zap.Logger) *Hints {
	return &Hints{
		conn: conn, log: log, id: ulid.Make().String(),
		untold: map[string]limiter.Hint{}, told: map[string]time.Time{}, news: make(chan struct{}, 1),
	}
}

// Run tells others, and has the limiter hear what they tell, until ctx is done. Then
// it says good-bye. It returns only then.
func (h *Hints) Run(ctx context.Context, to limits) error {
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return h.meet(ctx, to.SetReplicas) })
	parts.Go(func() error { return h.tell(ctx) })
	parts.Go(func() error { return h.hear(ctx, to.Pause) })
	return parts.Wait() //nolint:wrapcheck // each part says what it did
}

// again does something that goes on for as long as ctx, and again when it fails.
func (h *Hints) again(ctx context.Context, failed string, do func(context.Context) error) error {
	err := retry.Until(ctx, retry.Pace{First: 100 * time.Millisecond, Longest: 2 * time.Second}, func(err error, _ time.Duration) {
		h.log.Debug(failed, zap.Error(err))
	}, do)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // a stop is no fault
	}
	return err //nolint:wrapcheck // says what it did
}
