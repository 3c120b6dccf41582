package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/topology"
)

const (
	// checkEvery is how often the bucket is compared with what its watch has said.
	// A bucket that was deleted and made again leaves its watchers waiting, and a
	// server that was restarted leaves them waiting for a while.
	checkEvery = time.Second
	// askTimeout bounds each request to JetStream.
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
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(0))
	for ctx.Err() == nil {
		loaded, err := r.follow(ctx, js)
		if ctx.Err() != nil {
			break
		}
		if loaded {
			wait.Reset()
		}
		r.log.Warn("registrations not followed, trying again", zap.Error(err))
		select {
		case <-time.After(wait.NextBackOff()):
		case <-ctx.Done():
		}
	}
	return nil //nolint:nilerr // a stop is no fault, whatever it interrupted
}

// follow loads the bucket and applies its changes until the watch ends. It
// reports whether the load was complete.
func (r *Registry) follow(ctx context.Context, js jetstream.JetStream) (loaded bool, _ error) {
	began, err := askState(ctx, js)
	if err != nil {
		return false, err
	}
	bucket, err := ask(ctx, func(ctx context.Context) (jetstream.KeyValue, error) {
		return js.KeyValue(ctx, topology.BucketWebhooks)
	})
	if err != nil {
		return false, fmt.Errorf("open bucket: %w", err)
	}
	watcher, err := bucket.WatchAll(ctx)
	if err != nil {
		return false, fmt.Errorf("watch bucket: %w", err)
	}
	defer func() { _ = watcher.Stop() }() // its consumer or connection may be gone already
	check := time.NewTicker(checkEvery)
	defer check.Stop()

	load := loading{table: newTable(), began: began}
	for {
		select {
		case <-ctx.Done():
			return load.complete(), ctx.Err()
		case entry, open := <-watcher.Updates():
			if !open {
				return load.complete(), errEnded
			}
			r.take(&load, entry)
		case <-check.C:
			now, err := askState(ctx, js)
			switch {
			case errors.Is(err, jetstream.ErrStreamNotFound):
				return load.complete(), errReplaced
			case err != nil:
				r.log.Debug("bucket not checked", zap.Error(err))
			default:
				if err := load.check(now); err != nil {
					return load.complete(), err
				}
			}
		}
	}
}

// loading is the state of one watch.
type loading struct {
	table     *table
	began     state
	seen      uint64 // the last sequence of the bucket's stream that the watch has said
	previous  uint64 // seen, at the check before
	due       uint64 // what there was to see, at the check before
	current   bool   // every value that was there at the start has been seen
	projected bool   // the api has written every registration to this bucket
	live      bool
}

func (l *loading) complete() bool { return l.current && l.projected }

// check reports what is wrong with the watch, given the bucket of now.
func (l *loading) check(now state) error {
	switch {
	case !now.created.Equal(l.began.created):
		return errReplaced
	case l.seen < l.due && l.seen == l.previous:
		return errStalled
	}
	l.previous, l.due = l.seen, now.last
	return nil
}

// take handles one update: nil marks the end of what was there at the start.
func (r *Registry) take(l *loading, entry jetstream.KeyValueEntry) {
	if entry != nil {
		l.seen = max(l.seen, entry.Revision())
	}
	switch {
	case entry == nil:
		l.current = true
		l.seen = max(l.seen, l.began.last) // what is not among the values was removed
	case entry.Operation() != jetstream.KeyValuePut:
		// Only a tombstone deletes a webhook; a key that somebody removed is
		// written again by the api's reconciler.
		_, id, _ := strings.Cut(entry.Key(), ".")
		r.keep(l.table, id)
	case entry.Key() == topology.KeyProjected:
		l.projected = true
	case l.live:
		r.mu.Lock()
		r.apply(l.table, entry.Key(), entry.Value())
		r.mu.Unlock()
	default:
		r.apply(l.table, entry.Key(), entry.Value())
	}
	if l.complete() && !l.live {
		l.live = true
		r.replace(l.table)
	}
}

// state is what tells one state of the bucket's stream from another.
type state struct {
	created time.Time
	last    uint64
}

func askState(ctx context.Context, js jetstream.JetStream) (state, error) {
	stream, err := ask(ctx, func(ctx context.Context) (jetstream.Stream, error) {
		return js.Stream(ctx, "KV_"+topology.BucketWebhooks)
	})
	if err != nil {
		return state{}, fmt.Errorf("ask for the bucket's stream: %w", err)
	}
	return state{created: stream.CachedInfo().Created, last: stream.CachedInfo().State.LastSeq}, nil
}

func ask[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return f(ctx)
}
