package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// passTimeout bounds one complete comparison.
	passTimeout = 5 * time.Minute
	// pendingPage is how many left-over marks are looked at in one go.
	pendingPage = 500
	purgePage   = 500
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
		if !loop.failing && !loop.waiting {
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
	// waiting says that webhooks are waiting to come into force.
	waiting bool
}

func (r *reconciler) tick(ctx context.Context) {
	err := r.reconcile(ctx)
	if ctx.Err() != nil {
		return
	}
	// One line when it begins and one when it ends, however long it lasts.
	switch {
	case err != nil && !r.failing:
		r.log.Error("projection cannot be reconciled: it will be tried again", zap.Error(err))
	case err != nil:
		r.log.Debug("projection still cannot be reconciled", zap.Error(err))
	case err == nil && r.failing:
		r.log.Info("projection is reconciled again")
	}
	r.failing = err != nil
}

func (r *reconciler) reconcile(ctx context.Context) error {
	state, err := r.look(ctx)
	if err != nil {
		return err
	}
	first := r.rebuilt.IsZero()
	replaced := !first && r.known.replacedBy(state)
	if !first && !replaced && time.Since(r.rebuilt) < r.options.Rebuild {
		// What was written meanwhile counts as known only as far as it was seen.
		r.known = state
		r.waiting, err = r.leftOver(ctx)
		return err
	}
	if replaced {
		if err := r.unmark(ctx, &state, "it was made again, emptied, or put back in time"); err != nil {
			return err
		}
	}
	began := time.Now()
	if state, err = r.rebuild(ctx, state); err != nil {
		return err
	}
	r.rebuilt, r.known, r.waiting = began, state, true // some may have missed events
	return nil
}

// Complete compares everything once and corrects what differs. It is for whoever
// changed the database while no projector ran.
func (p *Projector) Complete(ctx context.Context) error {
	state, err := p.look(ctx)
	if err != nil {
		return err
	}
	_, err = p.rebuild(ctx, state)
	return err
}

// leftOver projects what a crash or an outage left marked, and reports whether
// there was any.
func (p *Projector) leftOver(ctx context.Context) (bool, error) {
	ids, err := p.store.Pending(ctx, pendingPage)
	if err != nil {
		return false, fmt.Errorf("find pending webhooks: %w", err)
	}
	p.metrics.setPending(len(ids))
	var faults []error
	for _, id := range ids {
		err := p.again(ctx, id)
		if err == nil {
			continue
		}
		faults = append(faults, err)
		if _, err := p.look(ctx); err != nil { // nothing will succeed
			faults = append(faults, err)
			break
		}
	}
	return len(ids) > 0, errors.Join(faults...)
}

func (p *Projector) again(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, leftOverTimeout)
	defer cancel()
	w, err := p.store.Load(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load webhook %s: %w", id, err)
	}
	began := time.Now()
	_, err = p.project(ctx, w.ProjectID, id, later)
	p.metrics.projected(err, time.Since(began))
	return err
}

// rebuild compares everything and corrects what differs, then says so in the
// bucket. What is written while it runs is projected by its writer. It costs what
// is live: a webhook that is the same in both costs no request, and neither does
// a tombstone.
func (p *Projector) rebuild(ctx context.Context, state bucketState) (bucketState, error) {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	pass := pass{Projector: p, began: time.Now()}
	var err error
	if pass.state, err = p.begin(ctx, state); err != nil {
		return state, err
	}
	if pass.held, err = p.snapshot(ctx); err != nil {
		return state, err
	}
	if err := p.store.Each(ctx, func(w store.Webhook) error { return pass.compare(ctx, w) }); err != nil {
		return state, fmt.Errorf("project everything: %w", err)
	}
	if err := pass.bury(ctx); err != nil {
		return state, fmt.Errorf("bury what is unknown: %w", err)
	}
	if pass.state, err = p.mark(ctx, pass.state); err != nil {
		return state, err
	}
	p.metrics.rebuilt(time.Since(pass.began))
	p.metrics.setPending(0)
	p.log.Info("every registration is in the bucket", zap.Int("webhooks", pass.compared),
		zap.Int("corrected", pass.corrected), zap.Duration("duration_ms", time.Since(pass.began)))
	return pass.state, p.purge(ctx)
}

// purge forgets old tombstones, which the bucket has by now.
func (p *Projector) purge(ctx context.Context) error {
	for {
		purged, err := p.store.Purge(ctx, time.Now().Add(-p.tombstoneAge()), purgePage)
		if err != nil {
			return fmt.Errorf("purge tombstones: %w", err)
		}
		if purged < purgePage {
			return nil
		}
	}
}
