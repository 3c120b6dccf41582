package deliverylog

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
)

// expirePage bounds what one step of the expiry deletes.
const expirePage = 5000

// Expire deletes attempts older than maxAge now and then, in steps that leave
// the database room for others, until ctx is done.
func (r *Recorder) Expire(ctx context.Context, maxAge time.Duration) error {
	// Often enough that the log is never much longer than promised.
	interval := min(max(maxAge/100, time.Minute), time.Hour)
	for ctx.Err() == nil {
		wait := interval
		deleted, err := r.store.Expire(ctx, time.Now().Add(-maxAge), expirePage)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			r.log.Warn("expired attempts stay for now", zap.Error(err))
		case deleted > 0:
			r.metrics.expired.Add(float64(deleted))
			r.log.Debug("expired attempts deleted", zap.Int("attempts", deleted))
			if deleted >= expirePage {
				wait = time.Second
			}
		}
		retry.Pause(ctx, wait)
	}
	return nil
}
