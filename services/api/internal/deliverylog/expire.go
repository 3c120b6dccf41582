package deliverylog

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// sweepPage bounds what one step of a sweep deletes.
	sweepPage = 5000
	// pagesPerPass bounds the pages that one pass deletes, a hundred attempts each:
	// then others have their turn with the database.
	pagesPerPass = 200
)

// Retention is how much of the log is kept.
type Retention struct {
	MaxAge time.Duration
	// MaxBytes is about how much the records may take; 0 is no limit.
	MaxBytes int64
}

// Interval is how often the log is looked at: often enough that it is never much
// longer than promised.
func (r Retention) Interval() time.Duration { return min(max(r.MaxAge/100, time.Minute), time.Hour) }

// SweepInterval is how often attempts are looked for that are in no webhook's log:
// those of an earlier version, which may take a look at every record.
func (r Retention) SweepInterval() time.Duration {
	return min(max(r.MaxAge/30, time.Hour), 24*time.Hour)
}

// Expire deletes attempts that are too old or too many, so many that others have their
// turn with the database then. It reports whether there is more to delete.
func (r *Recorder) Expire(ctx context.Context, keep Retention) (more bool, err error) {
	deleted, more, err := r.expire(ctx, keep)
	r.metrics.expired.Add(float64(deleted))
	return more, err
}

// Sweep is [Recorder.Expire] for attempts that are in no webhook's log.
func (r *Recorder) Sweep(ctx context.Context, keep Retention) (more bool, err error) {
	deleted, err := r.store.Expire(ctx, time.Now().Add(-keep.MaxAge), sweepPage)
	r.metrics.expired.Add(float64(deleted))
	return deleted >= sweepPage, err //nolint:wrapcheck // it says what it was
}

// expire is one pass. It reports whether there is more to delete.
func (r *Recorder) expire(ctx context.Context, keep Retention) (deleted int, more bool, err error) {
	heads, err := r.store.LogHeads(ctx)
	if err != nil {
		return 0, false, err //nolint:wrapcheck // it says what it was
	}
	p := pass{recorder: r, before: time.Now().Add(-keep.MaxAge), left: pagesPerPass}
	for i := range heads {
		if heads[i], err = p.age(ctx, heads[i]); err != nil {
			return p.deleted, false, err
		}
	}
	if keep.MaxBytes > 0 && p.left > 0 {
		err = p.shrink(ctx, heads, keep.MaxBytes)
	}
	return p.deleted, p.left == 0, err
}

// pass is one look at all logs.
type pass struct {
	recorder *Recorder
	before   time.Time
	left     int // pages that may still be deleted
	deleted  int // attempts
}

// drop deletes the oldest page of a log and lets others have their turn.
func (p *pass) drop(ctx context.Context, h store.LogHead) (store.LogHead, error) {
	began := time.Now()
	rest, n, err := p.recorder.store.DropPage(ctx, h)
	p.left--
	p.deleted += n
	if err == nil {
		p.recorder.throttle(ctx, time.Since(began))
		err = context.Cause(ctx)
	}
	return rest, err //nolint:wrapcheck // it says what it was
}

// age deletes what is too old of one log.
func (p *pass) age(ctx context.Context, h store.LogHead) (store.LogHead, error) {
	for h.HasPages() && p.left > 0 {
		newest, err := p.recorder.store.OldestPage(ctx, h)
		if err != nil {
			return h, err //nolint:wrapcheck // it says what it was
		}
		if !newest.Before(p.before) {
			break
		}
		if h, err = p.drop(ctx, h); err != nil {
			return h, err
		}
	}
	if h.TailFrom.Before(p.before) {
		n, err := p.recorder.store.ExpireTail(ctx, h, p.before)
		p.deleted += n
		if err != nil {
			return h, err //nolint:wrapcheck // it says what it was
		}
		if _, err := p.recorder.store.ForgetLog(ctx, h); err != nil && !errors.Is(err, store.ErrNotFound) {
			return h, err //nolint:wrapcheck // it says what it was
		}
	}
	return h, nil
}

// shrink deletes the oldest pages of all logs until the records take no more than
// that. The newest attempts of each webhook stay.
func (p *pass) shrink(ctx context.Context, heads []store.LogHead, most int64) error {
	var size int64
	for _, h := range heads {
		size += h.Size()
	}
	if size <= most {
		return nil
	}
	newest := map[string]time.Time{} // of the oldest page of each
	heads = slices.DeleteFunc(slices.Clone(heads), func(h store.LogHead) bool { return !h.HasPages() })
	for _, h := range heads {
		var err error
		if newest[h.WebhookID], err = p.recorder.store.OldestPage(ctx, h); err != nil {
			return err //nolint:wrapcheck // it says what it was
		}
	}
	for size > most && p.left > 0 && len(heads) > 0 {
		oldest := slices.MinFunc(heads, func(a, b store.LogHead) int { return newest[a.WebhookID].Compare(newest[b.WebhookID]) })
		i := slices.Index(heads, oldest)
		rest, err := p.drop(ctx, oldest)
		if err != nil {
			return err
		}
		size -= oldest.Size() - rest.Size()
		if heads[i] = rest; !rest.HasPages() {
			heads = slices.Delete(heads, i, i+1)
			continue
		}
		if newest[rest.WebhookID], err = p.recorder.store.OldestPage(ctx, rest); err != nil {
			return err //nolint:wrapcheck // it says what it was
		}
	}
	return nil
}
