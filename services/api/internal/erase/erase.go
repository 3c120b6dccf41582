// Package erase removes events for good: one, or all of a project.
//
//	Erase ──▶ MongoDB: what is to be erased, up to which sequence ──▶ runner
//	runner ─▶ EVENTS, REJECTED: overwritten, one by one
//	       ─▶ DELIVERIES, RANGES: what is due later for it ends as "erased"
//	       ─▶ waits until ATTEMPTS is recorded
//	       ─▶ the delivery log: what receivers answered is taken out
//	recorder: what is recorded later of an erased event is recorded without an answer
//
// The order matters. The wish is stored first, and every recorder looks for new ones
// before it writes: so what has been recorded when ATTEMPTS is drained is found in
// the log, and what comes after that carries nothing. Every step may be done again,
// also by several at once: a process that is killed leaves the wish, and another
// replica, or the next start, takes it up.
package erase

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// lease is how long a replica works on an erasure without renewing that; another
	// one takes it over then.
	lease = 10 * time.Second
	// renewEvery is how often it does.
	renewEvery = 3 * time.Second
	// lookEvery is how often erasures are looked for that nobody works on.
	lookEvery = 2 * time.Second
	// followEvery is how often a request looks whether its erasure is done.
	followEvery = 50 * time.Millisecond
	// maxRunning bounds the erasures that one process works on at once.
	maxRunning = 8
	// expireEvery and expirePage pace the deletion of what is over.
	expireEvery = 10 * time.Minute
	expirePage  = 1000
)

// Deps is what erasing needs.
type Deps struct {
	Store *store.Store
	JS    jetstream.JetStream
	// Kept is how long an erasure is remembered, for what is recorded late.
	Kept time.Duration
	// Scrub makes the database's files forget what was overwritten; nil where they are
	// not ours.
	Scrub func(context.Context) error
	Log   *zap.Logger
}

// Service erases. It is safe for concurrent use.
type Service struct {
	Deps

	events *eventlog.Log
	reader *topology.EventReader
	// owner names this process among the replicas.
	owner string
	// wake tells the loop of [Service.Run] that there is something to do.
	wake chan struct{}

	mu      sync.Mutex
	running map[string]bool
}

// New returns a service. Nothing is erased until [Service.Run].
func New(deps Deps) *Service {
	if deps.Scrub == nil {
		deps.Scrub = func(context.Context) error { return nil }
	}
	return &Service{
		Deps: deps, events: eventlog.New(deps.JS), reader: topology.NewEventReader(deps.JS),
		owner: ulid.Make().String(), wake: make(chan struct{}, 1), running: map[string]bool{},
	}
}

// Erase erases an event of the project, or all when the id is empty, as far as they
// are stored by now. It waits for that, but no longer than patience: an erasure that
// is returned without being done goes on by itself. While one is under way, erasing
// again waits for that one.
func (s *Service) Erase(ctx context.Context, projectID, eventID, caller string, patience time.Duration) (store.Erasure, error) {
	through, err := s.lastSequence(ctx)
	if err != nil {
		return store.Erasure{}, err
	}
	wanted := store.Erasure{ProjectID: projectID, EventID: eventID, By: caller, Through: int64(through)} //nolint:gosec // a sequence
	begun, err := s.Store.BeginErasure(ctx, wanted)
	if err != nil {
		return store.Erasure{}, err //nolint:wrapcheck // it says what it was
	}
	s.Log.Info("erasing events", append(names(begun), zap.String("caller", caller))...)
	select {
	case s.wake <- struct{}{}:
	default:
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		e, err := s.Store.LoadErasure(ctx, projectID, eventID)
		if err != nil || e.Done || waiting.Err() != nil {
			return e, err //nolint:wrapcheck // it says what it was
		}
		retry.Pause(waiting, followEvery)
	}
}

// names say in a line of the log what is erased.
func names(e store.Erasure) []zap.Field {
	what := e.EventID
	if what == "" {
		what = "all"
	}
	return []zap.Field{zap.String(observe.KeyProject, e.ProjectID), zap.String(observe.KeyEvent, what)}
}

// lastSequence is the last one in EVENTS, by a leader that the other servers know.
func (s *Service) lastSequence(ctx context.Context) (uint64, error) {
	stream, err := s.JS.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return 0, fmt.Errorf("look at %s: %w", topology.StreamEvents, err)
	}
	info := stream.CachedInfo()
	if !topology.Led(info.Cluster) {
		return 0, fmt.Errorf("look at %s: its leader hears of too few replicas to be believed", topology.StreamEvents)
	}
	return info.State.LastSeq, nil
}

// Run works on erasures until ctx is done; what is not finished by then is taken up
// by another replica, or the next start.
func (s *Service) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { s.expire(ctx) })
	failing := false
	for ctx.Err() == nil {
		err := s.look(ctx, &parts)
		if err != nil && !failing && ctx.Err() == nil {
			s.Log.Warn("erasing waits: what is to be erased cannot be looked up", zap.Error(err))
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

// look takes up the erasures that nobody works on.
func (s *Service) look(ctx context.Context, parts *sync.WaitGroup) error {
	all, err := s.Store.OpenErasures(ctx)
	if err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	for _, seen := range all {
		if time.Now().Before(seen.Until) || !s.begin(seen.ID) {
			continue
		}
		taken, ok, err := s.Store.TakeErasure(ctx, seen, s.owner, time.Now().Add(lease))
		if err != nil || !ok {
			s.forget(seen.ID)
			if err != nil {
				return err //nolint:wrapcheck // it says what it was
			}
			continue
		}
		parts.Go(func() { s.hold(ctx, taken) })
	}
	return nil
}

func (s *Service) begin(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[id] || len(s.running) >= maxRunning {
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

// hold works on an erasure for as long as the lease can be renewed.
func (s *Service) hold(ctx context.Context, e store.Erasure) {
	defer s.forget(e.ID)
	held, release := context.WithCancel(ctx)
	defer release()
	j := &job{Service: s, erasure: e, log: s.Log.With(names(e)...)}
	var renewing sync.WaitGroup
	renewing.Go(func() {
		defer release()
		j.renew(held)
	})
	// It returns when held is done, which is no fault: another replica goes on.
	err := retry.Until(held, retry.Pace{First: 100 * time.Millisecond, Longest: 10 * time.Second},
		func(err error, _ time.Duration) { j.log.Warn("erasing is interrupted: going on", zap.Error(err)) }, j.run)
	release()
	renewing.Wait()
	if err != nil && ctx.Err() != nil { // this process stops
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewEvery)
		defer cancel()
		if _, _, err := s.Store.TakeErasure(back, j.erasure, "", time.Now()); err != nil {
			j.log.Info("erasing was not handed over: it goes on a little later", zap.Error(err))
		}
	}
}

// renew renews the lease until ctx is done or somebody else has it.
func (j *job) renew(ctx context.Context) {
	for {
		retry.Pause(ctx, renewEvery)
		if ctx.Err() != nil {
			return
		}
		taken, ok, err := j.Store.TakeErasure(ctx, j.counted(), j.owner, time.Now().Add(lease))
		switch {
		case err == nil && ok:
			j.mu.Lock()
			j.erasure.Until = taken.Until
			j.mu.Unlock()
		case err == nil, time.Now().After(j.erasure.Until):
			return
		}
	}
}

// expire forgets erasures of which nothing can come any more, until ctx is done.
func (s *Service) expire(ctx context.Context) {
	for ctx.Err() == nil {
		wait := expireEvery
		deleted, err := s.Store.ExpireErasures(ctx, time.Now().Add(-s.Kept), expirePage)
		switch {
		case err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrNotFound):
			s.Log.Warn("old erasures stay for now", zap.Error(err))
		case deleted >= expirePage:
			wait = time.Second
		}
		retry.Pause(ctx, wait)
	}
}
