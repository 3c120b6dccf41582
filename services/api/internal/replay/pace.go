package replay

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/services/api/internal/account"
	"github.com/dembrane/webhooks/services/api/internal/ranges"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// pace is how quickly a receiver takes what it is sent.
type pace struct {
	began time.Time
	tried int64 // attempted when it began
	sent  int64 // since then
	// rate is how many a second were attempted of late.
	rate float64
}

// learn takes in how many have been attempted by now.
func (p *pace) learn(tried int64, now time.Time) {
	elapsed := now.Sub(p.began)
	if elapsed < time.Second {
		return
	}
	p.rate = float64(tried-p.tried) / elapsed.Seconds()
	p.began, p.tried = now, tried
}

// window is how many may be written down and not attempted.
func (p *pace) window() int64 {
	return int64(math.Min(math.Max(p.rate*windowTime.Seconds(), minWindow), maxWindow))
}

// open is how many are written down and not attempted. What came back because the
// webhook was disabled is not on its way: it is sent again after everything else.
func (r *run) open() int64 {
	return max(0, r.replay.Sent-r.progress.tried-int64(r.progress.returned.count()))
}

// room waits until more may be written down, and returns how much.
func (r *run) room(ctx context.Context) (int, error) {
	waits := waiting{run: r, since: time.Now(), tried: r.progress.tried}
	for {
		window := r.pace.window()
		size := min(window/4, ranges.MaxDeliveries)
		if rate := r.replay.MaxPerSecond; rate > 0 {
			size = min(size, max(1, int64(rate))) // what it may have in a second
		}
		early := r.replay.MaxPerSecond > 0 && time.Until(r.replay.DueAt) > time.Second
		if r.open()+size <= window && !early {
			return int(size), nil
		}
		stalled, err := waits.once(ctx)
		if err != nil {
			return 0, err
		}
		if stalled {
			return int(size), nil
		}
	}
}

// drain waits until everything that is written down has been attempted.
func (r *run) drain(ctx context.Context) error {
	waits := waiting{run: r, since: time.Now(), tried: r.progress.tried}
	for r.open() > 0 {
		if stalled, err := waits.once(ctx); err != nil || stalled {
			return err
		}
	}
	return nil
}

// waiting is a wait for a receiver.
type waiting struct {
	*run

	since time.Time // when something happened last
	tried int64
	saved time.Time
}

// once waits a moment, and sees what became of what was sent. It reports true when
// nothing happens any more because nothing is on its way, as when records were lost.
func (w *waiting) once(ctx context.Context) (stalled bool, _ error) {
	retry.Pause(ctx, followEvery)
	if ctx.Err() != nil {
		return false, fmt.Errorf("wait for the receiver: %w", context.Cause(ctx))
	}
	if err := w.follow(ctx, w.replay.ID, w.progress); err != nil {
		return false, err
	}
	now := time.Now()
	w.pace.learn(w.progress.tried, now)
	if w.progress.tried != w.tried {
		w.since, w.tried = now, w.progress.tried
	}
	if now.Sub(w.saved) < time.Second {
		return false, nil
	}
	w.saved = now
	// Also to learn that it was cancelled, or that the webhook was disabled.
	if err := w.update(ctx, func(*store.Replay) {}); err != nil {
		return false, err
	}
	if err := w.look(ctx); err != nil {
		return false, err
	}
	if now.Sub(w.since) < stalledAfter {
		return false, nil
	}
	way, err := account.Look(ctx, w.js, w.webhook, stalledAfter)
	if err != nil {
		return false, err //nolint:wrapcheck // it says what it was
	}
	w.since = now
	return way.Empty(), nil
}
