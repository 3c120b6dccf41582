package replay

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// lease is how long a replica runs a replay without renewing that; another one
	// takes over then.
	lease = 15 * time.Second
	// renewEvery is how often it does.
	renewEvery = 4 * time.Second
	// lookEvery is how often replays are looked for that nobody runs.
	lookEvery = 2 * time.Second
	// maxRunning bounds the replays that one process runs at once.
	maxRunning = 50
	// abandonedAfter is how long a replay may be announced without being there: its
	// request broke off.
	abandonedAfter = time.Minute
	// expireEvery and expirePage pace the deletion of what is over.
	expireEvery = 10 * time.Minute
	expirePage  = 1000
	// keptLonger is how much longer outcomes are kept than events: the clocks differ,
	// and events are not deleted to the second.
	keptLonger = 24 * time.Hour
)

// Kept is how long outcomes are kept when events are retained for so long.
func Kept(retention time.Duration) time.Duration { return retention + keptLonger }

// Run runs replays until ctx is done, and hands them to other replicas then.
func (s *Service) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { s.expire(ctx) })
	parts.Go(func() { _ = s.ranges.Run(ctx, s.log) }) // it ends with ctx
	failing := false
	for ctx.Err() == nil {
		err := s.look(ctx, &parts)
		switch {
		case err != nil && !failing && ctx.Err() == nil:
			s.log.Warn("replays wait: they cannot be looked up", zap.Error(err))
		case err == nil && failing:
			s.log.Info("replays go on")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-time.After(lookEvery):
		}
	}
	return nil
}

// look takes over the replays that nobody runs.
func (s *Service) look(ctx context.Context, parts *sync.WaitGroup) error {
	all, err := s.store.RunningReplays(ctx)
	if err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	for _, seen := range all {
		if s.runs(seen.ReplayID) || time.Now().Before(seen.Until) {
			continue
		}
		taken, ok, err := s.store.TakeReplay(ctx, seen, s.owner, time.Now().Add(s.lease))
		if err != nil {
			return err //nolint:wrapcheck // it says what it was
		}
		if ok && s.begin(seen.ReplayID) {
			parts.Go(func() { s.hold(ctx, taken) })
		}
	}
	return nil
}

func (s *Service) runs(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[id] || len(s.running) >= maxRunning
}

func (s *Service) begin(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[id] {
		return false
	}
	s.running[id] = true
	return true
}

func (s *Service) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, id)
}

// hold runs a replay for as long as the lease can be renewed, and gives it back.
func (s *Service) hold(ctx context.Context, running store.RunningReplay) {
	defer s.forget(running.ReplayID)
	held, release := context.WithCancel(ctx)
	defer release()
	var renewing sync.WaitGroup
	renewed := running
	renewing.Go(func() {
		defer release()
		s.renew(held, &renewed)
	})
	log := s.log.With(zap.String("replay_id", running.ReplayID), zap.String("webhook_id", running.WebhookID))
	// It returns when held is done, which is no fault: another replica goes on.
	err := retry.Until(held, retry.Pace{First: 100 * time.Millisecond, Longest: 10 * time.Second},
		func(err error, _ time.Duration) { log.Warn("replay is interrupted: going on", zap.Error(err)) },
		func(ctx context.Context) error { return s.replay(ctx, running, log) })
	release()
	renewing.Wait()
	if err != nil && ctx.Err() != nil { // this process stops
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewEvery)
		defer cancel()
		if _, _, err := s.store.TakeReplay(back, renewed, "", time.Now()); err != nil {
			log.Info("replay was not handed over: another replica takes it over a little later", zap.Error(err))
		}
	}
}

// renew renews the lease until ctx is done or somebody else has it.
func (s *Service) renew(ctx context.Context, running *store.RunningReplay) {
	for {
		retry.Pause(ctx, s.renewEvery)
		if ctx.Err() != nil {
			return
		}
		taken, ok, err := s.store.TakeReplay(ctx, *running, s.owner, time.Now().Add(s.lease))
		switch {
		case err == nil && ok:
			*running = taken
		case err == nil, time.Now().After(running.Until):
			return
		}
	}
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

// expire deletes what is over, until ctx is done.
func (s *Service) expire(ctx context.Context) {
	for ctx.Err() == nil {
		wait := expireEvery
		before := time.Now().Add(-Kept(s.retention))
		for _, deletes := range []func(context.Context, time.Time, int64) (int, error){s.store.ExpireOutcomes, s.store.ExpireReplays} {
			deleted, err := deletes(ctx, before, expirePage)
			switch {
			case err != nil && ctx.Err() == nil:
				s.log.Warn("what is over stays for now", zap.Error(err))
			case deleted >= expirePage:
				wait = time.Second
			}
		}
		retry.Pause(ctx, wait)
	}
}
