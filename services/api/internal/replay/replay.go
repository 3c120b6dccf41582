// Package replay sends again what a host asks for again: one delivery, or
// everything of a span of time.
//
//	Resend ──▶ one delivery, due now
//	Start  ──▶ MongoDB: the replay, and that it runs ──▶ runner
//	runner ──▶ EVENTS, account: what is to be sent ──▶ RANGES, a few at a time
//	recorder ─▶ pages of outcomes ──▶ runner: how many arrived, so how many may follow
//
// There is no second way to deliver: what is written down are the same ranges and
// deliveries that are parked and retried, with the trigger "replay", which lets
// live deliveries of the endpoint go first.
//
// A replay is a document with a cursor. Any replica of the api may run it; one does
// at a time, for as long as it renews its lease. A range is written under a name
// that follows from its number, and then the cursor is moved on, so that a process
// that is killed in between repeats one range at most.
package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/api/internal/account"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/lease"
	"github.com/dembrane/webhooks/services/api/internal/ranges"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// What a replay is of.
const (
	// Failed is what was given up, or waits for its next attempt.
	Failed = "failed"
	// Missed is what was never delivered.
	Missed = "missed"
	// All is everything.
	All = "all"
)

const (
	// listLimit is how many replays are shown.
	listLimit = 100
	// listRefreshed is how many of them are counted again, the newest. What a replay left
	// waiting is settled within days, and few are made in that time.
	listRefreshed = 5
	// dryRunPatience bounds how long a dry run counts, and lookPatience how long it
	// waits for a delivery log that is late.
	dryRunPatience = 15 * time.Second
	lookPatience   = 5 * time.Second
	// assumedPerSecond is what an endpoint is assumed to take when nothing limits it.
	assumedPerSecond = 100
)

// ErrDisabled says that nothing is sent to the webhook, as it is disabled.
var ErrDisabled = errors.New("the webhook is disabled")

// Deps is what replays need.
type Deps struct {
	Store *store.Store
	JS    jetstream.JetStream
	Log   *zap.Logger
}

// Service makes and runs replays. It is safe for concurrent use.
type Service struct {
	store  *store.Store
	js     jetstream.JetStream
	events *eventlog.Log
	reader *topology.EventReader
	ranges *ranges.Writer
	log    *zap.Logger
	runner *lease.Runner

	mu        sync.Mutex
	refreshed map[string]time.Time // when a replay that has ended was counted last
}

// New returns a service. [Service.Run] runs replays; everything else works without
// it.
func New(deps Deps) *Service {
	s := &Service{
		store: deps.Store, js: deps.JS, events: eventlog.New(deps.JS), reader: topology.NewEventReader(deps.JS),
		ranges: ranges.NewWriter(deps.JS), log: deps.Log, refreshed: map[string]time.Time{},
	}
	s.runner = lease.New(lease.Deps{
		Open: s.open, Length: leaseLength, AtOnce: maxRunning, Log: deps.Log.With(zap.String("work", "replays")),
	})
	return s
}

// Request is what a host asks for.
type Request struct {
	Since time.Time
	// Until is the end; zero for now.
	Until time.Time
	Only  string
	// Events are the types; none for all that the webhook subscribes to.
	Events       []string
	MaxPerSecond float64
}

// Estimate is what a replay would send.
type Estimate struct {
	Count          int64
	Oldest, Newest time.Time
	Seconds        int64
	// Pending is how many are on their way already, and are not sent again for that.
	Pending int64
	// Complete says that all of it was counted; else there is more.
	Complete bool
}

// types are those to be read, of what the webhook subscribes to.
func types(w store.Webhook, asked []string) []string {
	if len(asked) == 0 {
		return w.Events
	}
	return slices.DeleteFunc(slices.Clone(asked), func(t string) bool { return !slices.Contains(w.Events, t) })
}

// DryRun counts what a replay would send, and sends nothing.
func (s *Service) DryRun(ctx context.Context, w store.Webhook, r Request) (Estimate, error) {
	if r.Until.IsZero() {
		var err error
		if r.Until, err = s.events.Clock(ctx); err != nil {
			return Estimate{}, err //nolint:wrapcheck // it says what it was
		}
	}
	way, err := account.Look(ctx, s.js, w, lookPatience)
	if err != nil && !errors.Is(err, account.ErrLate) {
		return Estimate{}, err //nolint:wrapcheck // it says what it was
	}
	counting, cancel := context.WithTimeout(ctx, dryRunPatience)
	defer cancel()
	estimate, err := s.count(counting, w, r, way)
	if err != nil && ctx.Err() == nil && counting.Err() != nil {
		err = nil // it is not complete
	}
	rate := float64(assumedPerSecond)
	for _, limit := range []float64{w.MaxPerSecond, r.MaxPerSecond} {
		if limit > 0 {
			rate = min(rate, limit)
		}
	}
	estimate.Seconds = int64(float64(estimate.Count)/rate + 1)
	if estimate.Count == 0 {
		estimate.Seconds = 0
	}
	return estimate, err
}

func (s *Service) count(ctx context.Context, w store.Webhook, r Request, way *account.Way) (Estimate, error) {
	var estimate Estimate
	of := account.New(s.store, w, way)
	query := eventlog.Query{ProjectID: w.ProjectID, Types: types(w, r.Events), Since: r.Since, Until: r.Until}
	if len(query.Types) == 0 {
		return Estimate{Complete: true}, nil
	}
	err := s.events.Each(ctx, query, func(e eventlog.Event) error {
		entry, err := of.Of(ctx, e)
		if err != nil {
			return err
		}
		if !wanted(w, r.Only, e, entry) {
			if onItsWay(entry) && w.Covers(e.Type, e.About) {
				estimate.Pending++
			}
			return nil
		}
		if estimate.Count == 0 {
			estimate.Oldest = e.Stored
		}
		estimate.Count++
		estimate.Newest = e.Stored
		return nil
	})
	estimate.Complete = err == nil
	if err != nil {
		return estimate, fmt.Errorf("count events: %w", err)
	}
	return estimate, nil
}

// wanted reports whether an event is to be sent. What is on its way is left alone,
// whatever is asked for: it would come twice.
func wanted(w store.Webhook, only string, e eventlog.Event, entry account.Entry) bool {
	if !w.Covers(e.Type, e.About) || onItsWay(entry) {
		return false
	}
	switch only {
	case Failed:
		return entry.State == account.Failed || entry.State == account.Pending
	case Missed:
		return entry.State != account.Delivered
	default:
		return true
	}
}

// onItsWay reports whether an event is delivered without a replay, and soon: it waits
// for its turn, not for its next attempt.
func onItsWay(entry account.Entry) bool { return entry.State == account.Pending && !entry.Scheduled }

// Start begins a replay under an id. It returns the one that is running and
// [store.ErrReplayRunning] when there is one, and [ErrDisabled] for a webhook that
// is disabled. Starting it again returns it as it is.
func (s *Service) Start(ctx context.Context, w store.Webhook, id, caller string, r Request) (store.Replay, error) {
	if !w.Status.Enabled() {
		return store.Replay{}, ErrDisabled
	}
	if r.Until.IsZero() {
		var err error
		if r.Until, err = s.events.Clock(ctx); err != nil {
			return store.Replay{}, err //nolint:wrapcheck // it says what it was
		}
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	// Times are kept to the millisecond: one more, so that nothing is left out.
	until := r.Until.UTC().Truncate(time.Millisecond).Add(time.Millisecond)
	wanted := store.Replay{
		ID: id, ProjectID: w.ProjectID, WebhookID: w.ID, CreatedBy: caller,
		Since: r.Since.UTC(), Until: until, Only: r.Only, Events: r.Events, MaxPerSecond: r.MaxPerSecond,
		State: store.ReplayRunning, CreatedAt: now, UpdatedAt: now,
	}
	started, err := s.store.StartReplay(ctx, wanted)
	if errors.Is(err, store.ErrReplayRunning) && started.State.Ended() {
		// Whoever ran it died before it let the next one begin, or is about to.
		if err = s.end(ctx, started); err == nil {
			started, err = s.store.StartReplay(ctx, wanted)
		}
	}
	if err != nil {
		return started, err //nolint:wrapcheck // it says what it was
	}
	s.runner.Wake()
	return started, nil
}

// Get returns a replay of the webhook, or [store.ErrReplayNotFound].
func (s *Service) Get(ctx context.Context, webhookID, id string) (store.Replay, error) {
	r, err := s.store.GetReplay(ctx, webhookID, id)
	if err != nil {
		return r, err //nolint:wrapcheck // it says what it was
	}
	return s.refresh(ctx, r)
}

// refresh counts again what some of a replay that has ended had waited for: its next
// attempt.
func (s *Service) refresh(ctx context.Context, r store.Replay) (store.Replay, error) {
	if !r.State.Ended() || r.Delivered+r.Failed >= r.Sent || !s.mayRefresh(r.ID) {
		return r, nil
	}
	p, err := s.progressOf(ctx, r)
	if err != nil {
		return r, err
	}
	if p.delivered != r.Delivered || p.failed != r.Failed {
		r.Delivered, r.Failed = p.delivered, p.failed
		if err := s.store.CountReplay(ctx, r.ID, r.Delivered, r.Failed); err != nil {
			return r, err //nolint:wrapcheck // it says what it was
		}
	}
	return r, nil
}

// refreshEvery is how often a replay that has ended is counted again at most.
const refreshEvery = 5 * time.Second

func (s *Service) mayRefresh(id string) bool {
	const most = 1000
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.refreshed[id]) < refreshEvery {
		return false
	}
	if len(s.refreshed) >= most {
		clear(s.refreshed)
	}
	s.refreshed[id] = time.Now()
	return true
}

// List returns the newest replays of a webhook.
func (s *Service) List(ctx context.Context, webhookID string) ([]store.Replay, error) {
	list, err := s.store.ListReplays(ctx, webhookID, listLimit)
	for i := range list[:min(len(list), listRefreshed)] {
		if err == nil {
			list[i], err = s.refresh(ctx, list[i])
		}
	}
	return list, err //nolint:wrapcheck // it says what it was
}
