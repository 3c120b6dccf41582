// Package projection copies registrations from MongoDB into the bucket that
// dispatchers watch.
//
// The database is the truth; the bucket may be late, lost, or put back in time.
// One webhook is projected by reading its key, then its document, and writing
// the key only if it is still as it was read. Because the document is read after
// the key, whoever wins has the newer state, and an older revision can never
// overwrite a newer one, whichever of several replicas writes.
//
//	write ──▶ Project ──▶ bucket          at once, best effort
//	pending ─▶ Project ──▶ bucket         every few seconds, what was left over
//	all ─────▶ Project ──▶ bucket ──▶ key "projected"
//	                                      at start, every few minutes, and when the
//	                                      bucket is not the one it was
package projection

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// projectTimeout bounds the projection of one webhook.
	projectTimeout = 2 * time.Second
	// tries is how often one webhook is tried against concurrent writers; what
	// remains is left to the reconciler.
	tries = 20
)

// webhooks is what the projection needs of the store.
type webhooks interface {
	// Load returns tombstones, too, and store.ErrNotFound without any trace.
	Load(ctx context.Context, id string) (store.Webhook, error)
	Each(ctx context.Context, visit func(store.Webhook) error) error
	Pending(ctx context.Context, limit int64) ([]string, error)
	Settle(ctx context.Context, id string, revision int64) error
	Raise(ctx context.Context, id string, from, above int64) error
	Purge(ctx context.Context, before time.Time, limit int64) (int, error)
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
	log      *zap.Logger
	metrics  *Metrics

	mu sync.Mutex
	kv jetstream.KeyValue
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
		options: deps.Options, log: deps.Log, metrics: deps.Metrics,
	}
}

// Project brings one webhook up to date in the bucket, at once. A failure is
// logged and left to the reconciler: what the database holds will be projected,
// so whoever just wrote it has nothing to do. It outlives its caller's context.
func (p *Projector) Project(ctx context.Context, projectID, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), projectTimeout)
	defer cancel()
	began := time.Now()
	err := p.project(ctx, projectID, id)
	p.metrics.projected(err, time.Since(began))
	if err != nil {
		p.log.Warn("projection is late: it will be tried again",
			zap.String(observe.KeyProject, projectID), zap.String(observe.KeyWebhook, id), zap.Error(err))
	}
}

func (p *Projector) project(ctx context.Context, projectID, id string) error {
	kv, err := p.bucket(ctx)
	if err != nil {
		return err
	}
	key := topology.KeyRegistration(projectID, id)
	for range tries {
		done, err := p.step(ctx, kv, key, id)
		if errors.Is(err, errOvertaken) {
			continue
		}
		if err != nil {
			p.forget()
			return fmt.Errorf("project webhook %s: %w", id, err)
		}
		if done {
			return nil
		}
	}
	return fmt.Errorf("project webhook %s: %w", id, errOvertaken)
}

// step compares the key with the document once, in this order, and does what
// brings them closer. It reports true when they agree.
func (p *Projector) step(ctx context.Context, kv jetstream.KeyValue, key, id string) (bool, error) {
	was, err := read(ctx, kv, key)
	if err != nil {
		return false, err
	}
	w, err := p.store.Load(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return true, p.bury(ctx, kv, key, was)
	}
	if err != nil {
		return false, fmt.Errorf("load webhook: %w", err)
	}
	want := w.Registration()
	held := was.value.GetRevision()
	switch {
	case held > want.GetRevision(), held == want.GetRevision() && !proto.Equal(was.value, want):
		// Only a database that was put back in time can be behind what was
		// derived from it. It is still the truth: it gets a revision that wins.
		p.log.Warn("database is behind the bucket: raising the revision",
			zap.String(observe.KeyWebhook, id), zap.Int64("revision", w.Revision), zap.Uint64("bucket_revision", held))
		err := p.store.Raise(ctx, id, w.Revision, int64(held)) //nolint:gosec // made by this service
		return false, err
	case held < want.GetRevision():
		if err := write(ctx, kv, key, was, want); err != nil {
			return false, err
		}
	}
	if w.Pending {
		return true, p.store.Settle(ctx, id, w.Revision)
	}
	return true, nil
}

// bury writes a tombstone over a registration that the database has purged or
// has never had, so that a bucket put back in time brings nothing back to life.
func (p *Projector) bury(ctx context.Context, kv jetstream.KeyValue, key string, was entry) error {
	if was.sequence == 0 || was.value.GetDeleted() {
		return nil
	}
	p.log.Warn("bucket holds a webhook that the database does not know: burying it", zap.String("key", key))
	projectID, id, _ := strings.Cut(key, ".")
	return write(ctx, kv, key, was, &webhooksv1.Registration{
		Id:        id,
		ProjectId: projectID,
		Revision:  was.value.GetRevision() + 1,
		Deleted:   true,
	})
}

// bucket returns the bucket without asking the server for it every time.
func (p *Projector) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kv != nil {
		return p.kv, nil
	}
	kv, err := p.js.KeyValue(ctx, topology.BucketWebhooks)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	p.kv = kv
	return kv, nil
}

func (p *Projector) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kv = nil
}
