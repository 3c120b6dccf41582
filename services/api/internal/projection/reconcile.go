package projection

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// passTimeout bounds one complete comparison.
	passTimeout = 5 * time.Minute
	// pendingPage is how many left-over marks are looked at in one go.
	pendingPage = 500
	// tombstoneAge is how long a deleted webhook is remembered by the database.
	// The bucket remembers it for ever.
	tombstoneAge = 30 * 24 * time.Hour
	purgePage    = 500
	// reconcileShare keeps looking for left-overs below a fiftieth of the time, also
	// in a database that has to read everything for it.
	reconcileShare = 50
	// reconcileLatest is how late it may become for that.
	reconcileLatest = 20 * time.Second
)

// Run reconciles until ctx is done. It never gives up: whatever fails is tried
// again with the next tick.
func (p *Projector) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	loop := reconciler{Projector: p}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		began := time.Now()
		loop.tick(ctx)
		wait := p.options.Reconcile
		if !loop.failing {
			wait = max(wait, min(reconcileShare*time.Since(began), reconcileLatest))
		}
		timer.Reset(wait)
	}
}

// reconciler is what one run remembers from tick to tick.
type reconciler struct {
	*Projector

	known   bucketState
	rebuilt time.Time
	failing bool
}

func (r *reconciler) tick(ctx context.Context) {
	err := r.reconcile(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		r.forget()
	}
	// One line when it begins and one when it ends, however long it lasts.
	switch {
	case err != nil && !r.failing:
		r.log.Error("projection cannot be reconciled: it will be tried again", zap.Error(err))
	case err == nil && r.failing:
		r.log.Info("projection is reconciled again")
	}
	r.failing = err != nil
}

func (r *reconciler) reconcile(ctx context.Context) error {
	kv, state, err := r.look(ctx)
	if err != nil {
		return err
	}
	if r.rebuilt.IsZero() || r.known.replacedBy(state) || time.Since(r.rebuilt) >= r.options.Rebuild {
		began := time.Now()
		if err := r.rebuild(ctx, kv); err != nil {
			return err
		}
		r.rebuilt = began
	} else if err := r.leftOver(ctx); err != nil {
		return err
	}
	// What was written meanwhile counts as known only as far as it was seen.
	r.known = state
	return nil
}

// Complete compares everything once and corrects what differs. It is for whoever
// changed the database while no projector ran.
func (p *Projector) Complete(ctx context.Context) error {
	kv, _, err := p.look(ctx)
	if err != nil {
		return err
	}
	return p.rebuild(ctx, kv)
}

// leftOver projects what a crash or an outage left marked.
func (p *Projector) leftOver(ctx context.Context) error {
	ids, err := p.store.Pending(ctx, pendingPage)
	if err != nil {
		return fmt.Errorf("find pending webhooks: %w", err)
	}
	p.metrics.setPending(len(ids))
	var faults []error
	for _, id := range ids {
		if err := p.again(ctx, id); err != nil {
			faults = append(faults, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(faults...)
}

func (p *Projector) again(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, projectTimeout)
	defer cancel()
	w, err := p.store.Load(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load webhook %s: %w", id, err)
	}
	began := time.Now()
	err = p.project(ctx, w.ProjectID, id)
	p.metrics.projected(err, time.Since(began))
	return err
}

// rebuild compares everything and corrects what differs, then says so in the
// bucket. What is written while it runs is projected by its writer.
func (p *Projector) rebuild(ctx context.Context, kv jetstream.KeyValue) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	began := time.Now()
	held, err := p.digests(ctx, kv)
	if err != nil {
		return err
	}
	compared, corrected := 0, 0
	if err := p.store.Each(ctx, func(w store.Webhook) error {
		compared++
		data, err := encode(w.Registration())
		if err != nil {
			return err
		}
		key := topology.KeyRegistration(w.ProjectID, w.ID)
		digest, found := held[key]
		delete(held, key)
		if found && digest == sha256.Sum256(data) && !w.Pending {
			return nil
		}
		corrected++
		return p.project(ctx, w.ProjectID, w.ID)
	}); err != nil {
		return fmt.Errorf("project everything: %w", err)
	}
	// What is left has no document: purged, or from another database.
	for key := range held {
		projectID, id, _ := strings.Cut(key, ".")
		if err := p.project(ctx, projectID, id); err != nil {
			return fmt.Errorf("bury what is unknown: %w", err)
		}
	}
	if _, err := kv.Put(ctx, topology.KeyProjected, []byte(time.Now().UTC().Format(time.RFC3339))); err != nil {
		return fmt.Errorf("mark bucket as complete: %w", err)
	}
	p.metrics.rebuilt(time.Since(began))
	p.metrics.setPending(0)
	p.log.Info("every registration is in the bucket",
		zap.Int("webhooks", compared), zap.Int("corrected", corrected), zap.Duration("duration_ms", time.Since(began)))
	return p.purge(ctx)
}

// digests reads the whole bucket and keeps 32 bytes of each registration.
func (p *Projector) digests(ctx context.Context, kv jetstream.KeyValue) (map[string][sha256.Size]byte, error) {
	watcher, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("read bucket: %w", err)
	}
	defer func() { _ = watcher.Stop() }() // the server notices by itself
	held := map[string][sha256.Size]byte{}
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("read bucket: %w", context.Cause(ctx))
		case update, open := <-watcher.Updates():
			if !open {
				return nil, errors.New("read bucket: the watch ended early")
			}
			if update == nil { // all that was there has been seen
				return held, nil
			}
			if strings.Contains(update.Key(), ".") {
				held[update.Key()] = sha256.Sum256(update.Value())
			}
		}
	}
}

// purge forgets old tombstones, which the bucket has by now.
func (p *Projector) purge(ctx context.Context) error {
	for {
		purged, err := p.store.Purge(ctx, time.Now().Add(-tombstoneAge), purgePage)
		if err != nil {
			return fmt.Errorf("purge tombstones: %w", err)
		}
		if purged < purgePage {
			return nil
		}
	}
}
