package app

import (
	"context"
	"errors"
	"sync/atomic"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// setUp prepares the store and the streams, each as long as it takes.
func (a *App) setUp(ctx context.Context, webhooks *store.Store, owner *topology.Owner) error {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error {
		return a.insist(ctx, "store", &a.prepared, func(ctx context.Context) error {
			return webhooks.Prepare(ctx)
		})
	})
	both.Go(func() error {
		return a.insist(ctx, "streams", &a.projectable, func(ctx context.Context) error {
			bounded, cancel := context.WithTimeout(ctx, setUpTimeout)
			defer cancel()
			return owner.Ensure(bounded)
		})
	})
	if err := both.Wait(); err != nil {
		return err
	}
	if a.prepared.Load() && a.projectable.Load() {
		close(a.ready)
		a.log.Info("ready", zap.String("url", a.URL()))
	}
	return nil
}

// buildIndexes takes as long as the database does: nothing waits for them.
func (a *App) buildIndexes(ctx context.Context, webhooks *store.Store) error {
	return a.insist(ctx, "indexes", new(atomic.Bool), func(ctx context.Context) error {
		return errors.Join(webhooks.BuildIndexes(ctx, a.config.AttemptsMaxAge),
			webhooks.BuildOutcomeIndexes(ctx, a.kept()))
	})
}
