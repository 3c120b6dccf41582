package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/topology"
)

const (
	// checkEvery is how often the bucket is compared with the one being watched:
	// a bucket that was deleted and made again leaves its watchers waiting.
	checkEvery = 2 * time.Second
	// askTimeout bounds each request to JetStream.
	askTimeout = 5 * time.Second
)

var (
	errReplaced = errors.New("the bucket was replaced")
	errEnded    = errors.New("the watch ended")
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
	return nil
}

// follow loads the bucket and applies its changes until the watch ends. It
// reports whether the load was complete.
func (r *Registry) follow(ctx context.Context, js jetstream.JetStream) (loaded bool, _ error) {
	created, err := bucketCreated(ctx, js)
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

	load := loading{table: newTable()}
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
			now, err := bucketCreated(ctx, js)
			switch {
			case errors.Is(err, jetstream.ErrStreamNotFound), err == nil && !now.Equal(created):
				return load.complete(), errReplaced
			case err != nil && ctx.Err() == nil:
				r.log.Debug("bucket not checked", zap.Error(err))
			}
		}
	}
}

// loading is the state of one watch.
type loading struct {
	table     *table
	current   bool // every value that was there at the start has been seen
	projected bool // the api has written every registration to this bucket
	live      bool
}

func (l *loading) complete() bool { return l.current && l.projected }

// take handles one update: nil marks the end of what was there at the start.
func (r *Registry) take(l *loading, entry jetstream.KeyValueEntry) {
	switch {
	case entry == nil:
		l.current = true
	case entry.Operation() != jetstream.KeyValuePut:
		// Only a tombstone deletes a webhook; a key that somebody removed is
		// written again by the api's reconciler.
		return
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

func bucketCreated(ctx context.Context, js jetstream.JetStream) (time.Time, error) {
	stream, err := ask(ctx, func(ctx context.Context) (jetstream.Stream, error) {
		return js.Stream(ctx, "KV_"+topology.BucketWebhooks)
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the bucket's stream: %w", err)
	}
	return stream.CachedInfo().Created, nil
}

func ask[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return f(ctx)
}

