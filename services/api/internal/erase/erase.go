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
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/lease"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// leaseLength is how long an erasure is left to a replica that does not renew its
	// lease on it.
	leaseLength = 10 * time.Second
	// followEvery is how often a request looks whether its erasure is done.
	followEvery = 50 * time.Millisecond
	// maxRunning bounds the erasures that one process works on at once.
	maxRunning = 8
)

// Deps is what erasing needs.
type Deps struct {
	Store *store.Store
	JS    jetstream.JetStream
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
	runner *lease.Runner
}

// New returns a service. Nothing is erased until [Service.Run].
func New(deps Deps) *Service {
	if deps.Scrub == nil {
		deps.Scrub = func(context.Context) error { return nil }
	}
	s := &Service{Deps: deps, events: eventlog.New(deps.JS), reader: topology.NewEventReader(deps.JS)}
	s.runner = lease.New(lease.Deps{
		Open: s.open, Length: leaseLength, AtOnce: maxRunning, Log: deps.Log.With(zap.String("work", "erasing")),
	})
	return s
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
	s.runner.Wake()
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
	s.runner.Run(ctx)
	return nil
}

// open returns what is to be erased.
func (s *Service) open(ctx context.Context) ([]lease.Task, error) {
	all, err := s.Store.OpenErasures(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what it was
	}
	tasks := make([]lease.Task, len(all))
	for i, e := range all {
		j := &job{Service: s, erasure: e, log: s.Log.With(names(e)...)}
		tasks[i] = lease.Task{ID: e.ID, Seen: e.Lease, Swap: j.swapLease, Work: j.run, Log: j.log}
	}
	return tasks, nil
}
