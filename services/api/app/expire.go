package app

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/services/api/internal/deliverylog"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// expireEvery is how often what is over is looked for, unless it says otherwise.
	expireEvery = 10 * time.Minute
	// expirePage bounds what one step deletes, and expirePause is the pause between
	// two steps, so that the database has room for others.
	expirePage  = 500
	expirePause = time.Second
	// keptLonger is how much longer outcomes, replays and erasures are kept than events:
	// the clocks differ, events are not deleted to the second, and what is recorded late
	// is recorded with them.
	keptLonger = 24 * time.Hour
)

// kept is how long outcomes, replays and erasures are.
func (a *App) kept() time.Duration { return a.config.EventsMaxAge + keptLonger }

// expiring is a kind of thing that is deleted some time.
type expiring struct {
	what  string
	every time.Duration
	// step deletes some of what is over, and reports whether there is more.
	step func(ctx context.Context) (more bool, err error)
	// due is when the next step is.
	due time.Time
}

// expiring is everything that is.
func (a *App) expiring(webhooks *store.Store, recorder *deliverylog.Recorder) []expiring {
	older := func(age time.Duration, delete func(ctx context.Context, before time.Time, limit int64) (int, error)) func(context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) {
			deleted, err := delete(ctx, time.Now().Add(-age), expirePage)
			return deleted >= expirePage, err
		}
	}
	keep := deliverylog.Retention{MaxAge: a.config.AttemptsMaxAge, MaxBytes: a.config.LogMaxBytes}
	return []expiring{
		{what: "idempotency keys", every: expireEvery, step: older(store.ClaimAge, webhooks.ExpireClaims)},
		{what: "outcomes", every: expireEvery, step: older(a.kept(), webhooks.ExpireOutcomes)},
		{what: "replays", every: expireEvery, step: older(a.kept(), webhooks.ExpireReplays)},
		{what: "erasures", every: expireEvery, step: older(a.kept(), webhooks.ExpireErasures)},
		{what: "attempts", every: keep.Interval(), step: func(ctx context.Context) (bool, error) { return recorder.Expire(ctx, keep) }},
		{
			what: "attempts in no log", every: keep.SweepInterval(), due: time.Now().Add(keep.SweepInterval()),
			step: func(ctx context.Context) (bool, error) { return recorder.Sweep(ctx, keep) },
		},
	}
}

// expire deletes what is over, in steps that leave the database room for others, until
// ctx is done.
func (a *App) expire(ctx context.Context, kinds []expiring) error {
	for ctx.Err() == nil {
		next := time.Now().Add(expireEvery)
		for i := range kinds {
			kind := &kinds[i]
			if !time.Now().Before(kind.due) {
				more, err := kind.step(ctx)
				if err != nil && ctx.Err() == nil {
					a.log.Warn("what is over stays for now", zap.String("what", kind.what), zap.Error(err))
				}
				kind.due = time.Now().Add(kind.every)
				if more {
					kind.due = time.Now().Add(expirePause)
				}
			}
			if kind.due.Before(next) {
				next = kind.due
			}
		}
		retry.Pause(ctx, time.Until(next))
	}
	return nil
}
