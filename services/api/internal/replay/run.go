package replay

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/services/api/internal/lease"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// leaseLength is how long a replay is left to a replica that does not renew its lease
	// on it.
	leaseLength = 15 * time.Second
	// maxRunning bounds the replays that one process runs at once.
	maxRunning = 50
	// abandonedAfter is how long a replay may be announced without being there: its
	// request broke off.
	abandonedAfter = time.Minute
)

// Run runs replays until ctx is done, and hands them to other replicas then.
func (s *Service) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { _ = s.ranges.Run(ctx, s.log) }) // it ends with ctx
	s.runner.Run(ctx)
	return nil
}

// open returns the replays that run.
func (s *Service) open(ctx context.Context) ([]lease.Task, error) {
	all, err := s.store.RunningReplays(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what it was
	}
	tasks := make([]lease.Task, len(all))
	for i, running := range all {
		log := s.log.With(zap.String("replay_id", running.ReplayID), zap.String("webhook_id", running.WebhookID))
		tasks[i] = lease.Task{
			ID: running.ReplayID, Seen: running.Lease, Log: log,
			Swap: func(ctx context.Context, seen, next lease.Lease) (bool, error) {
				return s.store.SwapReplayLease(ctx, running, seen, next) //nolint:wrapcheck // it says what it was
			},
			Work: func(ctx context.Context) error { return s.replay(ctx, running, log) },
		}
	}
	return tasks, nil
}

// replay goes on with a replay. It returns nil when it has ended.
func (s *Service) replay(ctx context.Context, running store.RunningReplay, log *zap.Logger) error {
	r, err := s.store.LoadReplay(ctx, running.ReplayID)
	if errors.Is(err, store.ErrReplayNotFound) {
		id, err := ulid.ParseStrict(running.ReplayID)
		if err == nil && time.Since(ulid.Time(id.Time())) < abandonedAfter {
			return errors.New("the replay is not there yet")
		}
		return s.store.ReleaseReplay(ctx, running) //nolint:wrapcheck // it says what it was
	}
	if err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	if !r.State.Ended() {
		run := &run{Service: s, replay: r, log: log}
		if err := run.all(ctx); err != nil {
			return err
		}
	}
	if r, err = s.store.LoadReplay(ctx, running.ReplayID); err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	return s.end(ctx, r)
}
