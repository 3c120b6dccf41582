package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/pkg/topology"
)

const (
	// lookEvery is how often the bucket is compared with what its watch has said. It
	// takes two looks to be sure, and both have to fit into [currentFor] with room
	// for a slow answer.
	lookEvery = 200 * time.Millisecond
	// lookTimeout bounds one look: an answer that is later would say nothing about
	// the last second.
	lookTimeout = currentFor
	// stallAfter is how long a watch may say nothing although there is something to
	// say.
	stallAfter = time.Second
	// askTimeout bounds each request to JetStream when a watch begins.
	askTimeout = 5 * time.Second
)

var (
	errReplaced = errors.New("the bucket was replaced")
	errEnded    = errors.New("the watch ended")
	errStalled  = errors.New("the watch misses changes")
)

// Run follows the bucket until ctx is done. Whatever ends a watch (an outage, a
// bucket that was lost) starts a new one; meanwhile the registry keeps what it
// knows.
func (r *Registry) Run(ctx context.Context, js jetstream.JetStream) error {
	r.mu.Lock()
	r.js = js
	r.mu.Unlock()
	_ = retry.Until(ctx, retry.Pace{First: 100 * time.Millisecond, Longest: 2 * time.Second}, func(err error, _ time.Duration) {
		r.log.Warn("registrations not followed, trying again", zap.Error(err))
	}, func(ctx context.Context) error { return r.follow(ctx, js) })
	return nil // a stop is no fault, whatever it interrupted
}

// follow loads the bucket and applies its changes until the watch ends.
func (r *Registry) follow(ctx context.Context, js jetstream.JetStream) error {
	stream, err := open(ctx, js)
	if err != nil {
		return err
	}
	began := look(ctx, stream, 0, askTimeout)
	if began.err != nil {
		return began.err
	}
	watcher, err := watch(ctx, js)
	if err != nil {
		return err
	}
	defer end(watcher)
	check := newChecker(ctx, stream)
	defer check.close()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()

	load := loading{table: newTable(), began: began, checked: began, progress: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case entry, open := <-watcher.Updates():
			if !open {
				return errEnded
			}
			if r.take(&load, entry) {
				check.look(load.seen)
			}
		case <-tick.C:
			check.look(load.seen)
		case seen := <-check.seen:
			if err := r.check(&load, seen); err != nil {
				return err
			}
		}
	}
}

func open(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	stream, err := js.Stream(ctx, topology.StreamBucket)
	if err != nil {
		return nil, fmt.Errorf("find the bucket's stream: %w", err)
	}
	return stream, nil
}

func watch(ctx context.Context, js jetstream.JetStream) (jetstream.KeyWatcher, error) {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	bucket, err := js.KeyValue(asking, topology.BucketWebhooks)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	watcher, err := bucket.WatchAll(ctx) // its request has a timeout of its own
	if err != nil {
		return nil, fmt.Errorf("watch bucket: %w", err)
	}
	return watcher, nil
}

// end stops a watch. Its goroutine may be about to hand over what nobody reads
// any more, and closes the channel once that is gone.
func end(watcher jetstream.KeyWatcher) {
	go func() {
		for range watcher.Updates() {
		}
	}()
	_ = watcher.Stop() // its consumer or connection may be gone already
}

// loading is the state of one watch.
type loading struct {
	table    *table
	began    view
	checked  view      // the view before
	seen     uint64    // the last sequence of the bucket's stream that the watch has said
	progress time.Time // when seen grew last, or there was nothing more to see
	current  bool      // every value that was there at the start has been seen
	marked   time.Time // when the bucket was marked as complete; zero when it is not
	live     bool
}

// check compares what the bucket is with what the watch has said of it. It
// reports what is wrong with the watch.
func (r *Registry) check(l *loading, now view) error {
	switch {
	case errors.Is(now.err, jetstream.ErrStreamNotFound):
		return errReplaced
	case now.err != nil:
		return nil //nolint:nilerr // what is known gets old
	case !now.created.Equal(l.began.created), now.last < now.watched:
		return errReplaced
	}
	if l.seen >= l.checked.last {
		l.progress = time.Now()
		// The view before is of something that the watch has said. The one of now
		// says that nobody has emptied the bucket in between, which a watch does not
		// notice: the values it has not said yet are then passed over.
		if l.live && l.checked.complete && now.complete {
			r.renew(l.checked.asked)
		}
	} else if time.Since(l.progress) > stallAfter {
		return errStalled
	}
	l.checked = now
	return nil
}

// take handles one update: nil marks the end of what was there at the start. It
// reports whether the table has become the live one.
func (r *Registry) take(l *loading, entry jetstream.KeyValueEntry) bool {
	l.progress = time.Now()
	if entry != nil {
		r.takeEntry(l, entry)
		l.seen = max(l.seen, entry.Revision())
	} else {
		l.current = true
		l.seen = max(l.seen, l.began.last) // what is not among the values was removed
	}
	if l.live || !l.current || l.marked.IsZero() {
		return false
	}
	l.live = true
	r.replace(l.table, l.marked)
	return true
}

func (r *Registry) takeEntry(l *loading, entry jetstream.KeyValueEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	put := entry.Operation() == jetstream.KeyValuePut
	_, id, registration := strings.Cut(entry.Key(), ".")
	switch {
	case entry.Key() == topology.KeyProjected:
		l.marked = time.Time{}
		if put {
			l.marked = entry.Created()
		}
		if l.live && l.marked.After(r.marked) {
			r.marked = l.marked
		}
	case !registration: // what the api keeps for itself
	case put:
		r.apply(l.table, entry.Key(), entry.Value())
	default:
		// Only a tombstone deletes a webhook; a key that somebody removed is written
		// again by the api's reconciler.
		r.keep(l.table, id)
	}
}
