package replay

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/account"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/ranges"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// minWindow and maxWindow bound how many deliveries may be written down and not
	// attempted. In between it is what the receiver has taken in windowTime: a cancelled
	// replay is over about that soon.
	minWindow  = 64
	maxWindow  = 8 * ranges.MaxDeliveries
	windowTime = 3 * time.Second
	// followEvery is how often the recorder's pages are looked at.
	followEvery = 250 * time.Millisecond
	// pausedEvery is how often a paused replay looks whether it may go on.
	pausedEvery = 2 * time.Second
	// stalledAfter is how long nothing may happen before a replay looks whether
	// anything of it is on its way at all.
	stalledAfter = 30 * time.Second
	// runPatience is how long a replay waits at first for a delivery log that is late.
	runPatience = 10 * time.Minute
)

var (
	// errOver says that a replay has been ended by somebody else.
	errOver = errors.New("the replay is over")
	// errPaused says that it begins anew from its cursor once the webhook is enabled.
	errPaused = errors.New("the webhook is disabled")
)

// run is one replay while a process runs it.
type run struct {
	*Service

	replay   store.Replay
	webhook  store.Webhook
	way      *account.Way
	progress *progress
	pace     pace
	// unless somebody else runs it by now, or has ended it.
	unless jetstream.PublishOpt
	log    *zap.Logger
}

// all takes a replay to its end.
func (r *run) all(ctx context.Context) (err error) {
	if r.unless, err = r.fence(ctx, r.replay.WebhookID, r.replay.ID); err != nil {
		return err
	}
	for {
		err := r.pass(ctx)
		switch {
		case errors.Is(err, errOver):
			return nil
		case errors.Is(err, errPaused):
			if err := r.paused(ctx); err != nil {
				if errors.Is(err, errOver) {
					return nil
				}
				return err
			}
		default:
			return err
		}
	}
}

// pass sends everything after the cursor.
func (r *run) pass(ctx context.Context) error {
	var err error
	if r.progress, err = r.progressOf(ctx, r.replay); err != nil {
		return err
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	for {
		more, err := r.next(ctx)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		if err := r.drain(ctx); err != nil {
			return err
		}
		if r.progress.returned.count() > 0 {
			// They came back, as the webhook was disabled for a while.
			if err := r.rewind(ctx); err != nil {
				return err
			}
			continue
		}
		return r.update(ctx, func(x *store.Replay) { x.State = store.ReplayDone })
	}
}

// begin looks at the webhook and at what is on its way to it, and counts.
func (r *run) begin(ctx context.Context) error {
	// A replay that was ended before this run has the fence goes no further.
	if err := r.update(ctx, func(*store.Replay) {}); err != nil {
		return err
	}
	if err := r.look(ctx); err != nil {
		return err
	}
	var err error
	if r.way, err = account.Look(ctx, r.js, r.webhook, runPatience); err != nil {
		if !errors.Is(err, account.ErrLate) {
			return err //nolint:wrapcheck // it says what it was
		}
		r.log.Warn("replay goes on without the latest outcomes", zap.Error(err))
	}
	r.pace = pace{began: time.Now(), tried: r.progress.tried}
	if r.replay.Total != nil {
		return nil
	}
	estimate, err := r.count(ctx, r.webhook, Request{
		Since: r.replay.Since, Until: r.replay.Until, Only: r.replay.Only, Events: r.replay.Events,
	}, r.way)
	if err != nil {
		return err
	}
	return r.update(ctx, func(x *store.Replay) { x.Total = &estimate.Count })
}

// look loads the webhook: one that was deleted ends the replay, one that is disabled
// pauses it.
func (r *run) look(ctx context.Context) error {
	w, err := r.store.Load(ctx, r.replay.WebhookID)
	if errors.Is(err, store.ErrNotFound) || err == nil && w.Deleted() {
		return errors.Join(r.update(ctx, func(x *store.Replay) {
			x.State, x.Message = store.ReplayCancelled, "The webhook was deleted."
		}), errOver)
	}
	if err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	r.webhook = w
	if !w.Status.Enabled() {
		return errPaused
	}
	return nil
}

// paused waits until the webhook is enabled again.
func (r *run) paused(ctx context.Context) error {
	r.log.Info("replay pauses: its webhook is disabled")
	err := r.update(ctx, func(x *store.Replay) {
		x.State, x.Message = store.ReplayPaused, "The webhook is off. Sending goes on when it is switched on again."
	})
	for err == nil {
		retry.Pause(ctx, pausedEvery)
		if ctx.Err() != nil {
			return fmt.Errorf("wait until the webhook is enabled: %w", context.Cause(ctx))
		}
		if err = r.update(ctx, func(*store.Replay) {}); err != nil {
			return err
		}
		if err = r.look(ctx); errors.Is(err, errPaused) {
			err = nil
			continue
		}
		break
	}
	if err != nil {
		return err
	}
	return r.update(ctx, func(x *store.Replay) { x.State, x.Message = store.ReplayRunning, "" })
}

// rewind puts the cursor before what came back.
func (r *run) rewind(ctx context.Context) error {
	if err := r.look(ctx); err != nil {
		return err
	}
	retry.Pause(ctx, time.Second) // dispatchers may not know yet that it is enabled
	way, err := account.Look(ctx, r.js, r.webhook, lookPatience)
	if err != nil && !errors.Is(err, account.ErrLate) {
		return err //nolint:wrapcheck // it says what it was
	}
	r.way = way
	first, back := r.progress.returned.first(), int64(r.progress.returned.count())
	r.progress.returned = sequences{}
	return r.update(ctx, func(x *store.Replay) {
		x.Cursor = min(x.Cursor, int64(first-1)) //nolint:gosec // sequences of a stream
		x.Sent = max(0, x.Sent-back)
	})
}

// update stores how far it is; [errOver] when somebody else has ended it.
func (r *run) update(ctx context.Context, edit func(*store.Replay)) error {
	next, stored, err := r.store.UpdateReplay(ctx, r.replay.ID, func(x *store.Replay) {
		if r.progress != nil {
			x.Delivered, x.Failed = r.progress.delivered, r.progress.failed
			x.Sent = max(x.Sent, r.progress.tried)
		}
		edit(x)
	})
	if err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	r.replay = next
	if !stored && next.State.Ended() {
		return errOver
	}
	if !stored {
		return errors.New("the replay was changed meanwhile")
	}
	return nil
}

// piece is some events that are sent together.
type piece struct {
	list []eventlog.Event // in a range
	// single are those that wait for their next attempt: each takes its place.
	single []eventlog.Event
	last   uint64 // the sequence of the last event that was looked at
}

// next sends the next events, as one range, and reports false when there are none.
func (r *run) next(ctx context.Context) (more bool, _ error) {
	size, err := r.room(ctx)
	if err != nil {
		return false, err
	}
	p, more, err := r.gather(ctx, size)
	if err != nil || !more {
		return false, err
	}
	dueAt := r.replay.DueAt
	if count := len(p.list) + len(p.single); count > 0 {
		if dueAt, err = r.write(ctx, p); fenced(err) {
			return false, errors.Join(r.update(ctx, func(*store.Replay) {}), err) // it says whether it is over
		}
		if err != nil {
			return false, err
		}
		r.pace.sent += int64(count)
	}
	return true, r.update(ctx, func(x *store.Replay) {
		x.Cursor = int64(p.last) //nolint:gosec // sequences of a stream
		x.Ranges++
		x.DueAt = dueAt
		x.Sent += int64(len(p.list) + len(p.single))
	})
}

// gather looks for the next events to send. It reports false when there are none
// left.
func (r *run) gather(ctx context.Context, size int) (piece, bool, error) {
	var p piece
	query := eventlog.Query{
		ProjectID: r.webhook.ProjectID, Types: types(r.webhook, r.replay.Events), Until: r.replay.Until,
		Since: r.replay.Since, After: uint64(r.replay.Cursor), //nolint:gosec // sequences of a stream
	}
	if len(query.Types) == 0 {
		return p, false, nil
	}
	of := account.New(r.store, r.webhook, r.way)
	err := r.events.Each(ctx, query, func(e eventlog.Event) error {
		p.last = e.Sequence
		if r.progress.attempted.has(e.Sequence) || e.Stored.Before(r.replay.Since) {
			return nil
		}
		entry, err := of.Of(ctx, e)
		switch {
		case err != nil || !wanted(r.webhook, r.replay.Only, e, entry):
			return err
		case entry.Scheduled:
			p.single = append(p.single, e)
		default:
			p.list = append(p.list, e)
		}
		if len(p.list)+len(p.single) >= size {
			return eventlog.ErrStop
		}
		return nil
	})
	if err != nil {
		return p, false, fmt.Errorf("find what is to be sent: %w", err)
	}
	return p, p.last > 0, nil
}

// write writes down what is to be sent, and returns when it is due.
func (r *run) write(ctx context.Context, p piece) (time.Time, error) {
	now := time.Now()
	dueAt := now
	if rate := r.replay.MaxPerSecond; rate > 0 && r.replay.DueAt.After(now) {
		dueAt = r.replay.DueAt
	}
	// The same events under the same number are the same range, should the process be
	// killed before it has moved the cursor on. Others are another one.
	content := fnv.New64a()
	for _, e := range p.list {
		_, _ = fmt.Fprintf(content, "%d ", e.Sequence) // it never fails
	}
	name := fmt.Sprintf("replay-%s-%d", r.replay.ID, r.replay.Ranges)
	if len(p.list) > 0 {
		err := r.ranges.Write(ctx, ranges.Range{
			ProjectID: r.webhook.ProjectID, WebhookID: r.webhook.ID, Events: p.list, ReplayID: r.replay.ID,
			Trigger: webhooksv1.Trigger_TRIGGER_REPLAY, OwedSince: now, DueAt: dueAt,
			MessageID: fmt.Sprintf("%s-%x", name, content.Sum64()), Unless: r.unless,
		})
		if err != nil {
			return dueAt, err //nolint:wrapcheck // it says what it was
		}
	}
	// These are sent anyway, only later: nobody needs to be kept from it.
	for _, e := range p.single {
		err := r.ranges.WriteOne(ctx, ranges.Single{
			ProjectID: r.webhook.ProjectID, WebhookID: r.webhook.ID, Event: e, ReplayID: r.replay.ID,
			Trigger: webhooksv1.Trigger_TRIGGER_REPLAY, DueAt: dueAt, MessageID: name + "-" + e.ID,
		})
		if err != nil {
			return dueAt, err //nolint:wrapcheck // it says what it was
		}
	}
	if rate := r.replay.MaxPerSecond; rate > 0 {
		// The next one is due when these have had their time.
		dueAt = dueAt.Add(time.Duration(float64(len(p.list)+len(p.single)) / rate * float64(time.Second)))
	}
	return dueAt, nil
}
