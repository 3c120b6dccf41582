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

	"github.com/dembrane/webhooks/services/dispatcher/internal/limiter"
)

// Deps is what hints are made of.
type Deps struct {
	Conn *nats.Conn
	// WebhookOf names the webhook that an endpoint belongs to. It is the key of what is
	// told of the endpoint, so it has to be a valid one.
	WebhookOf func(endpoint string) string
	Log       *zap.Logger
}

// Limits is the limiter that hears what others say.
type Limits interface {
	Pause(endpoint string, until time.Time, cause limiter.Cause)
	SetReplicas(n int)
}

// Hints is one dispatcher among others. It is safe for concurrent use.
type Hints struct {
	conn      *nats.Conn
	webhookOf func(string) string
	log       *zap.Logger
	id        string // of this dispatcher, for as long as it runs

	mu     sync.Mutex
	untold map[string]limiter.Hint // by endpoint
	told   map[string]time.Time    // when the last one of an endpoint was, for as long as the next has to wait
	news   chan struct{}
}

// New returns hints that neither tell nor hear anything before [Hints.Run].
func New(deps Deps) *Hints {
	return &Hints{
		conn: deps.Conn, webhookOf: deps.WebhookOf, log: deps.Log, id: ulid.Make().String(),
		untold: map[string]limiter.Hint{}, told: map[string]time.Time{}, news: make(chan struct{}, 1),
	}
}

// Run tells others, and has the limiter hear what they tell, until ctx is done. Then
// it says good-bye. It returns only then.
func (h *Hints) Run(ctx context.Context, limits Limits) error {
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return h.meet(ctx, limits.SetReplicas) })
	parts.Go(func() error { return h.tell(ctx) })
	parts.Go(func() error { return h.hear(ctx, limits.Pause) })
	return parts.Wait() //nolint:wrapcheck // each part says what it did
}
