package app

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// expireEvery is how often what is over is deleted.
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

// expire deletes what is over, until ctx is done. Attempts are the recorder's affair.
func (a *App) expire(ctx context.Context, webhooks *store.Store) error {
	for ctx.Err() == nil {
		wait := expireEvery
		for _, each := range []struct {
			what   string
			age    time.Duration
			delete func(ctx context.Context, before time.Time, limit int64) (int, error)
		}{
			{"idempotency keys", store.ClaimAge, webhooks.ExpireClaims},
			{"outcomes", a.kept(), webhooks.ExpireOutcomes},
			{"replays", a.kept(), webhooks.ExpireReplays},
			{"erasures", a.kept(), webhooks.ExpireErasures},
		} {
			deleted, err := each.delete(ctx, time.Now().Add(-each.age), expirePage)
			switch {
			case err != nil && ctx.Err() == nil:
				a.log.Warn("what is over stays for now", zap.String("what", each.what), zap.Error(err))
			case deleted >= expirePage:
				wait = expirePause
			}
		}
		retry.Pause(ctx, wait)
	}
	return nil
}
