package projection

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// What a new or enabled webhook misses while the bucket cannot be written.
//
// Whoever changes a webhook answers within [projectTimeout]: usually the bucket has
// the change by then, and nothing is owed. Else events are owed since the change,
// and there is a moment from which on dispatchers deliver them as they take them
// in. That moment is chosen before the bucket is written, a little ahead, and
// stands in the registration itself, so that no event is left to both or to
// neither: whatever was published before it is written down as due once it has
// passed, and dispatchers that know the registration leave that alone.
//
//	change ──▶ moment chosen ──▶ bucket ──▶ moment passes ──▶ RANGES ──▶ settled

const (
	// startAhead is how far ahead the moment is chosen. The bucket has to be written
	// by then, and every dispatcher to know of it, which takes a second at most.
	startAhead = 3 * time.Second
	// inForceAfter is how long after a write of the bucket every dispatcher knows
	// of it, or takes nobody's silence for a no.
	inForceAfter = time.Second
	// storedAfter is how long after its time stamp an event may take to be stored.
	storedAfter = 2 * time.Second
)

// fresh reports whether a webhook was changed so recently that whoever did it is
// still at it, and owes nothing if that succeeds.
func fresh(w store.Webhook, now time.Time) bool {
	age := now.Sub(w.UpdatedAt)
	return len(w.Owed) > 0 && !overdue(w, now) && age >= 0 && age < projectTimeout+time.Second
}

// overdue reports whether something is owed since an earlier change than the last,
// of which somebody was told that it is not in force yet.
func overdue(w store.Webhook, now time.Time) bool {
	for _, owed := range w.Owed {
		age := now.Sub(owed.Since)
		early := owed.Since.Equal(w.UpdatedAt) || age >= 0 && age < projectTimeout
		if _, said := w.From(owed); said || !early {
			return true
		}
	}
	return false
}

// start says from when on what is owed is delivered as it is taken in. It reports
// whether it has said so just now, which is another revision.
func (p *Projector) start(ctx context.Context, w store.Webhook, u urgency) (bool, error) {
	if u == atOnce && !overdue(w, time.Now()) {
		return false, nil
	}
	unsaid := false
	for _, owed := range w.Owed {
		if _, said := w.From(owed); !said {
			unsaid = true
		}
	}
	if !unsaid {
		return false, nil
	}
	clock, err := p.events.Clock(ctx)
	if err != nil {
		return false, err //nolint:wrapcheck // it says what it was
	}
	from := clock.Add(startAhead).Truncate(time.Millisecond) // as the database keeps it
	if err := p.store.StartFrom(ctx, w.ProjectID, w.ID, w.Revision, from); err != nil {
		return false, fmt.Errorf("choose when it begins: %w", err)
	}
	return true, nil
}

// settle takes the mark off a webhook that is in the bucket, after what it missed
// is written down. was is what the bucket held before; without its time, the bucket
// was written just now.
func (p *Projector) settle(ctx context.Context, w store.Webhook, was entry, u urgency) error {
	if len(w.Owed) > 0 && (u == later || overdue(w, time.Now())) {
		if u == atOnce || was.created.IsZero() {
			return nil // the moment has not passed: this is left to the reconciler
		}
		written, err := p.writeMissed(ctx, w, was.created)
		if err != nil || !written {
			return err
		}
	}
	if err := p.store.Settle(ctx, w.ID, w.Revision); err != nil {
		return fmt.Errorf("take the mark off: %w", err)
	}
	return nil
}

// writeMissed writes down what a webhook has missed, as due at once. It reports
// false when that is not known yet.
func (p *Projector) writeMissed(ctx context.Context, w store.Webhook, inBucket time.Time) (bool, error) {
	clock, err := p.events.Clock(ctx)
	if err != nil {
		return false, err //nolint:wrapcheck // it says what it was
	}
	// Too little by as long as the answer took: an event of just before the change is
	// no harm, a missed one is.
	ahead := time.Until(clock)
	var spans []span
	for _, owed := range w.Owed {
		until := inBucket.Add(inForceAfter)
		if from, said := w.From(owed); said && from.After(until) {
			until = from
		}
		if clock.Before(until.Add(storedAfter)) {
			return false, nil
		}
		spans = append(spans, span{event: owed.Event, since: owed.Since.Add(ahead), until: until})
	}
	count, err := p.catchUp(ctx, w, spans)
	if err != nil {
		return false, fmt.Errorf("write down what it missed: %w", err)
	}
	p.metrics.missed.Add(float64(count))
	p.log.Info("webhook came into force late: what it missed is on its way", zap.String(observe.KeyProject, w.ProjectID),
		zap.String(observe.KeyWebhook, w.ID), zap.Int("events", count))
	return true, nil
}
