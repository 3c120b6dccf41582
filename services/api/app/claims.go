package app

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// claimsInterval is how often expired idempotency keys are deleted.
	claimsInterval = 10 * time.Minute
	// claimsPage bounds what one step deletes, and claimsPause is the pause between
	// two steps, so that the database has room for others.
	claimsPage  = 500
	claimsPause = time.Second
)

// expireClaims deletes the idempotency keys of days gone by, until ctx is done.
func (a *App) expireClaims(ctx context.Context, webhooks *store.Store) error {
	for ctx.Err() == nil {
		wait := claimsInterval
		deleted, err := webhooks.ExpireClaims(ctx, time.Now().Add(-store.ClaimAge), claimsPage)
		switch {
		case err != nil && ctx.Err() == nil:
			a.log.Warn("expired idempotency keys stay for now", zap.Error(err))
		case deleted >= claimsPage:
			wait = claimsPause
		}
		retry.Pause(ctx, wait)
	}
	return nil
}
