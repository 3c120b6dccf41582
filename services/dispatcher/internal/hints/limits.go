package hints

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/dispatcher/internal/limiter"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

const (
	// tellEvery is the least time between two words about the same endpoint.
	tellEvery = time.Second
	// maxUntold bounds the endpoints of which something waits to be told.
	maxUntold = 10_000
	// longest is the longest pause that is believed, so that a clock that is wrong
	// elsewhere cannot stop anything for good.
	longest = 25 * time.Hour
	// askTimeout bounds each request to JetStream.
	askTimeout = 2 * time.Second
	// checkEvery is how often the bucket is compared with the one that is followed: a
	// bucket that was deleted and made again leaves its followers waiting.
	checkEvery = 2 * time.Second
)

var errReplaced = errors.New("the bucket was replaced")

// word is a value in the bucket; its key is the webhook's id.
type word struct {
	Endpoint string `json:"endpoint"`
	// Until is zero when the endpoint may be called again.
	Until time.Time `json:"until,omitzero"`
	Cause string    `json:"cause"`
	By    string    `json:"by"`
}

// Tell has others told of an endpoint, soon, and does not wait for it. Of several
// hints about the same endpoint within a second, the last one counts.
func (h *Hints) Tell(hint limiter.Hint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, waits := h.untold[hint.Endpoint]; !waits && len(h.untold) >= maxUntold {
		return
	}
	h.untold[hint.Endpoint] = hint
	select {
	case h.news <- struct{}{}:
	default:
	}
}

// next takes the hints that may be told now.
func (h *Hints) next(now time.Time) []limiter.Hint {
	h.mu.Lock()
	defer h.mu.Unlock()
	for endpoint, at := range h.told {
		if now.Sub(at) >= tellEvery {
			delete(h.told, endpoint)
		}
	}
	var due []limiter.Hint
	for endpoint, hint := range h.untold {
		if _, early := h.told[endpoint]; early {
			continue
		}
		delete(h.untold, endpoint)
		if hint.Until.IsZero() || now.Before(hint.Until) { // else it is over
			h.told[endpoint] = now
			due = append(due, hint)
		}
	}
	return due
}

// tell writes what others should know.
func (h *Hints) tell(ctx context.Context) error {
	js, err := jetstream.New(h.conn)
	if err != nil {
		return fmt.Errorf("open jetstream: %w", err)
	}
	tick := time.NewTicker(tellEvery / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.news:
		case <-tick.C:
		}
		for _, hint := range h.next(time.Now()) {
			if err := h.write(ctx, js, hint); err != nil {
				h.log.Debug("hint not told", zap.Error(err))
			}
		}
	}
}

func (h *Hints) write(ctx context.Context, js jetstream.JetStream, hint limiter.Hint) error {
	if !h.conn.IsConnected() {
		return errors.New("not connected")
	}
	value, err := json.Marshal(word{Endpoint: hint.Endpoint, Until: hint.Until, Cause: hint.Cause.String(), By: h.id})
	if err != nil {
		return fmt.Errorf("encode hint: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	subject := "$KV." + topology.BucketLimits + "." + registry.WebhookOf(hint.Endpoint)
	if _, err := js.Publish(ctx, subject, value); err != nil {
		return fmt.Errorf("write to %s: %w", subject, err)
	}
	return nil
}

// hear follows what others write.
func (h *Hints) hear(ctx context.Context, pause func(string, time.Time, limiter.Cause)) error {
	js, err := jetstream.New(h.conn)
	if err != nil {
		return fmt.Errorf("open jetstream: %w", err)
	}
	return h.again(ctx, "hints not followed, trying again", func(ctx context.Context) error { return h.follow(ctx, js, pause) })
}

// follow hears everything that is in the bucket, and what is written to it, until
// that cannot be relied on any more.
func (h *Hints) follow(ctx context.Context, js jetstream.JetStream, pause func(string, time.Time, limiter.Cause)) error {
	began, err := created(ctx, js)
	if err != nil {
		return err
	}
	bucket, err := js.KeyValue(ctx, topology.BucketLimits)
	if err != nil {
		return fmt.Errorf("open bucket: %w", err)
	}
	watcher, err := bucket.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("watch bucket: %w", err)
	}
	defer func() { _ = watcher.Stop() }() // its consumer or connection may be gone already
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // the caller knows it
		case entry, open := <-watcher.Updates():
			switch {
			case !open:
				return errReplaced
			case entry != nil:
				h.listen(entry.Value(), pause)
			}
		case <-check.C:
			switch now, err := created(ctx, js); {
			case errors.Is(err, jetstream.ErrStreamNotFound), err == nil && !now.Equal(began):
				return errReplaced
			case err != nil:
				h.log.Debug("hints not checked", zap.Error(err))
			}
		}
	}
}

// listen tells the limiter what another dispatcher said.
func (h *Hints) listen(value []byte, pause func(string, time.Time, limiter.Cause)) {
	var w word
	if err := json.Unmarshal(value, &w); err != nil {
		h.log.Debug("hint not understood", zap.Error(err))
		return
	}
	if w.By == h.id || w.Until.After(time.Now().Add(longest)) {
		return
	}
	switch {
	case w.Until.IsZero():
		pause(w.Endpoint, time.Time{}, 0)
	case w.Cause == limiter.Paused.String():
		pause(w.Endpoint, w.Until, limiter.Paused)
	case w.Cause == limiter.Broken.String():
		pause(w.Endpoint, w.Until, limiter.Broken)
	}
}

// created is when the bucket was made.
func created(ctx context.Context, js jetstream.JetStream) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	stream, err := js.Stream(ctx, "KV_"+topology.BucketLimits)
	if err != nil {
		return time.Time{}, fmt.Errorf("look up bucket: %w", err)
	}
	return stream.CachedInfo().Created, nil
}
