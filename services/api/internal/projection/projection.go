// Package projection copies registrations from MongoDB into the bucket that
// dispatchers watch.
//
// The database is the truth; the bucket may be late, lost, or put back in time.
// One webhook is projected by reading its key, then its document, and writing
// the key only if it is still as it was read. Because the document is read after
// the key, whoever wins has the newer state, and an older revision can never
// overwrite a newer one, whichever of several replicas writes.
//
//	write ──▶ Project ──▶ bucket          at once; its answer says whether it is there
//	pending ─▶ bucket ──▶ RANGES          every few seconds, what was left over, and
//	                                      the events that it missed meanwhile
//	all ─────▶ bucket ──▶ key "projected" at start, every few minutes, and when the
//	                                      bucket is not the one it was
package projection

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/ranges"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// projectTimeout bounds the projection of one webhook.
	projectTimeout = 2 * time.Second
	// lookTimeout bounds a look at the bucket.
	lookTimeout = 10 * time.Second
	// leftOverTimeout bounds one that was left over: it may have missed many events.
	leftOverTimeout = time.Minute
	// tries is how often one webhook is tried against concurrent writers; what
	// remains is left to the reconciler.
	tries = 20
)

// webhooks is what the projection needs of the store.
type webhooks interface {
	// Load returns tombstones, too, and store.ErrNotFound without any trace.
	Load(ctx context.Context, id string) (store.Webhook, error)
	// LoadLinearizable is Load by a server that is certainly the primary.
	LoadLinearizable(ctx context.Context, id string) (store.Webhook, error)
	Each(ctx context.Context, visit func(store.Webhook) error) error
	Pending(ctx context.Context, limit int64) ([]string, error)
	Settle(ctx context.Context, id string, revision int64) error
	Raise(ctx context.Context, id string, from, above int64) error
	Purge(ctx context.Context, before time.Time, limit int64) (int, error)
	StartFrom(ctx context.Context, projectID, id string, revision int64, from time.Time) error
}

// Options says how often the projector looks for work.
type Options struct {
	// Reconcile is the interval between looks for what was left over.
	Reconcile time.Duration
	// Rebuild is the interval between comparisons of everything.
	Rebuild time.Duration
}

// Projector is safe for concurrent use.
type Projector struct {
	store    webhooks
	js       jetstream.JetStream
	settings topology.Settings
	options  Options
	events   *eventlog.Log
	ranges   *ranges.Writer
	log      *zap.Logger
	metrics  *Metrics
}

// Deps is what a projector needs.
type Deps struct {
	Store    webhooks
	JS       jetstream.JetStream
	Settings topology.Settings
	Options  Options
	Log      *zap.Logger
	Metrics  *Metrics
}

// New makes a projector. [Projector.Run] reconciles; [Projector.Project] works
// without it.
func New(deps Deps) *Projector {
	return &Projector{
		store: deps.Store, js: deps.JS, settings: deps.Settings,
		options: deps.Options, events: eventlog.New(deps.JS), ranges: ranges.NewWriter(deps.JS), log: deps.Log, metrics: deps.Metrics,
	}
}

// Project brings one webhook up to date in the bucket, at once, and reports
// whether it is there. A failure is logged and left to the reconciler: what the
// database holds will be projected, so whoever just wrote it has nothing to do. It
// outlives its caller's context.
func (p *Projector) Project(ctx context.Context, projectID, id string) (inForce bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), projectTimeout)
	defer cancel()
	began := time.Now()
	var done projected
	pace := retry.Pace{First: 50 * time.Millisecond, Longest: 500 * time.Millisecond}
	err := retry.Until(ctx, pace, nil, func(ctx context.Context) error {
		now, err := p.project(ctx, projectID, id, atOnce)
		done.there = now.there
		if now.there { // what is left over is the reconciler's
			err = nil
		}
		return err
	})
	p.metrics.projected(err, time.Since(began))
	if err != nil {
		p.log.Warn("projection is late: it will be tried again",
			zap.String(observe.KeyProject, projectID), zap.String(observe.KeyWebhook, id), zap.Error(err))
	}
	return done.there
}

// urgency is who projects.
type urgency int

const (
	// atOnce is for whoever has just changed the webhook, and answers when it is done.
	atOnce urgency = iota
	// later is for whoever finds what was left over.
	later
)

// projected is what became of one webhook.
type projected struct {
	// there says that the bucket holds what the database does, and wrote that it
	// did not before.
	there, wrote bool
}

func (p *Projector) project(ctx context.Context, projectID, id string, u urgency) (projected, error) {
	key := topology.KeyRegistration(projectID, id)
	var done projected
	for range tries {
		next, err := p.step(ctx, key, id, u, &done)
		if errors.Is(err, errOvertaken) {
			continue
		}
		if err != nil {
			return done, fmt.Errorf("project webhook %s: %w", id, err)
		}
		if next == settled {
			return done, nil
		}
	}
	return done, fmt.Errorf("project webhook %s: %w", id, errOvertaken)
}

// outcome says whether there is more to do.
type outcome bool

const (
	settled outcome = true
	again   outcome = false
)

// step compares the key with the document once, in this order, and does what
// brings them closer.
func (p *Projector) step(ctx context.Context, key, id string, u urgency, done *projected) (outcome, error) {
	was, err := p.read(ctx, key)
	if err != nil {
		return again, err
	}
	w, err := p.store.Load(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return settled, p.bury(ctx, key, was)
	}
	if err != nil {
		return again, fmt.Errorf("load webhook: %w", err)
	}
	want := w.Registration()
	held := was.value.GetRevision()
	switch {
	case held > want.GetRevision(), held == want.GetRevision() && !proto.Equal(was.value, want):
		// Only a database that was put back in time can be behind what was
		// derived from it. It is still the truth: it gets a revision that wins.
		p.log.Warn("database is behind the bucket: raising the revision",
			zap.String(observe.KeyWebhook, id), zap.Int64("revision", w.Revision), zap.Uint64("bucket_revision", held))
		return again, p.store.Raise(ctx, id, w.Revision, int64(held)) //nolint:gosec // made by this service
	case held == want.GetRevision():
		done.there = true
	case u == later && fresh(w, time.Now()):
		return settled, nil // whoever has changed it is about to project it
	default:
		starting, err := p.start(ctx, w, u)
		if err != nil || starting {
			return again, err
		}
		if err := p.write(ctx, key, was, want); err != nil {
			return again, err
		}
		*done = projected{there: true, wrote: true}
		was.created = time.Time{} // now, by the server's clock
	}
	if !w.Pending {
		return settled, nil
	}
	return settled, p.settle(ctx, w, was, u)
}

// bury writes a tombstone over a registration that the database has purged or
// has never had, so that a bucket put back in time brings nothing back to life.
func (p *Projector) bury(ctx context.Context, key string, was entry) error {
	if was.sequence == 0 || was.value.GetDeleted() {
		return nil
	}
	projectID, id, _ := strings.Cut(key, ".")
	// A server that is not the primary any more, and does not know it, lacks what was
	// made since. It must not bury it.
	if _, err := p.store.LoadLinearizable(ctx, id); !errors.Is(err, store.ErrNotFound) {
		if err == nil {
			err = errOvertaken
		}
		return fmt.Errorf("make sure that it is unknown: %w", err)
	}
	p.log.Warn("bucket holds a webhook that the database does not know: burying it", zap.String("key", key))
	return p.write(ctx, key, was, &webhooksv1.Registration{
		Id:        id,
		ProjectId: projectID,
		Revision:  was.value.GetRevision() + 1,
		Deleted:   true,
	})
}
