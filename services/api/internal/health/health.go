// Package health says how webhooks are doing: it turns attempts into the state of
// each webhook, disables those whose receiver is gone or has failed for days, and
// tells operators about both.
//
// A webhook that begins or ceases to fail is written down before its attempts are
// acknowledged. That one more attempt went as the last one did is remembered, and
// written a little later, once for many. All of it may be repeated without harm.
package health

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// flushInterval is how late the times in a webhook's health may be, unless many
	// are to be written.
	flushInterval = 2 * time.Second
	// idlePerWork keeps the flush below a fifth of the time, however slow the
	// database and however many webhooks.
	idlePerWork = 4
	// flushTimeout bounds the last flush, which a stop does not cut off.
	flushTimeout = 25 * time.Second
)

// webhooks is what health needs of the store. Its errors are all worth another
// try.
type webhooks interface {
	// Load returns tombstones, too, and store.ErrNotFound without any trace.
	Load(ctx context.Context, webhookID string) (store.Webhook, error)
	MergeHealth(ctx context.Context, webhookID string, known store.Health) (store.Health, error)
	Disable(ctx context.Context, projectID, webhookID string, revision int64, reason store.DisabledReason) (bool, error)
	Tell(ctx context.Context, webhookID string, told store.Told) error
	CountExhausted(ctx context.Context, webhookID string, since time.Time, limit int64) (int, error)
}

// Deps is what a tracker needs.
type Deps struct {
	Store webhooks
	NATS  *nats.Conn
	// Publish stores an event of our own in EVENTS.
	Publish func(ctx context.Context, e *webhooksv1.Event) error
	// Project is called with a webhook that was disabled.
	Project func(ctx context.Context, projectID, webhookID string)
	// Throttle is called after each piece of work that could have waited, with how
	// long that took, and returns when the next may begin; nil for at once.
	Throttle func(ctx context.Context, worked time.Duration)
	Log      *zap.Logger
	Metrics  *Metrics
}

// Tracker keeps the health of webhooks. [Tracker.Run] is called once.
type Tracker struct {
	store    webhooks
	nc       *nats.Conn
	project  func(ctx context.Context, projectID, webhookID string)
	throttle func(ctx context.Context, worked time.Duration)
	log      *zap.Logger
	metrics  *Metrics
	cache    *cache
	own      announcer
}

// New makes a tracker.
func New(deps Deps) *Tracker {
	if deps.Throttle == nil {
		deps.Throttle = func(context.Context, time.Duration) {}
	}
	return &Tracker{
		store: deps.Store, nc: deps.NATS, project: deps.Project, throttle: deps.Throttle,
		log: deps.Log, metrics: deps.Metrics, cache: newCache(deps.Store.Load, deps.Store.MergeHealth),
		own: announcer{publish: deps.Publish},
	}
}

// Run writes what has been put off until ctx is done, and then the rest. Nobody
// may call [Tracker.Update] any more by then.
func (t *Tracker) Run(ctx context.Context) {
	uncut := context.WithoutCancel(ctx) // a stop does not cut off a write
	for retry.Pause(ctx, flushInterval); ctx.Err() == nil; retry.Pause(ctx, flushInterval) {
		t.flush(uncut, func(worked time.Duration) bool {
			retry.Pause(ctx, idlePerWork*worked)
			t.throttle(ctx, worked)
			return ctx.Err() == nil
		})
	}
	last, cancel := context.WithTimeout(uncut, flushTimeout)
	defer cancel()
	t.flush(last, func(time.Duration) bool { return true })
}

func (t *Tracker) flush(ctx context.Context, pause func(worked time.Duration) bool) {
	if err := t.cache.flush(ctx, pause); err != nil {
		t.log.Warn("health of webhooks is late", zap.Error(err))
	}
}

// Update takes in attempts that are in the delivery log. It touches each webhook
// once, however many attempts it had. After an error it is called again with the
// same attempts.
func (t *Tracker) Update(ctx context.Context, list []*webhooksv1.Attempt) error {
	byWebhook := map[string][]*webhooksv1.Attempt{}
	for _, a := range list {
		if counts(a) {
			byWebhook[a.GetWebhookId()] = append(byWebhook[a.GetWebhookId()], a)
		}
	}
	for id, group := range byWebhook {
		sortByTime(group)
		change, err := t.cache.add(ctx, id, summary(group))
		if err != nil {
			return err
		}
		t.notifyTransition(change, group[len(group)-1])
		if err := t.announce(ctx, id, group[len(group)-1]); err != nil {
			return err
		}
		if err := t.disableGone(ctx, group); err != nil {
			return err
		}
		if err := t.disableFailing(ctx, id, group); err != nil {
			return err
		}
	}
	return nil
}

// counts reports whether an attempt says something about the receiver: a POST
// was made, and not because a person pressed "test".
func counts(a *webhooksv1.Attempt) bool {
	if a.GetTrigger() == webhooksv1.Trigger_TRIGGER_TEST {
		return false
	}
	switch a.GetOutcome() {
	case webhooksv1.Outcome_OUTCOME_DELIVERED, webhooksv1.Outcome_OUTCOME_RETRY,
		webhooksv1.Outcome_OUTCOME_EXHAUSTED, webhooksv1.Outcome_OUTCOME_GONE:
		return true
	case webhooksv1.Outcome_OUTCOME_UNSPECIFIED, webhooksv1.Outcome_OUTCOME_DELETED,
		webhooksv1.Outcome_OUTCOME_DISABLED, webhooksv1.Outcome_OUTCOME_EXPIRED, webhooksv1.Outcome_OUTCOME_ERASED:
		return false
	}
	return false
}

func sortByTime(attempts []*webhooksv1.Attempt) {
	slices.SortStableFunc(attempts, func(a, b *webhooksv1.Attempt) int {
		return a.GetStartedAt().AsTime().Compare(b.GetStartedAt().AsTime())
	})
}

// summary is what attempts, in the order of their time, say about their webhook.
func summary(attempts []*webhooksv1.Attempt) store.Health {
	var h store.Health
	for _, a := range attempts {
		h = h.Merge(healthOf(a))
	}
	return h
}

// healthOf is what one attempt that counts says about its webhook.
func healthOf(a *webhooksv1.Attempt) store.Health {
	at := a.GetStartedAt().AsTime().Truncate(time.Millisecond)
	h := store.Health{LastAttemptAt: &at, LastStatusCode: int(a.GetStatusCode())}
	if a.GetOutcome() == webhooksv1.Outcome_OUTCOME_DELIVERED {
		h.LastSuccessAt = &at
	} else {
		h.FailingSince = &at
	}
	return h
}
