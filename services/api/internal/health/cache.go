package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// flushPiece is how long a flush works before it pauses.
	flushPiece = 100 * time.Millisecond
	// maxEntries bounds the webhooks whose health is remembered.
	maxEntries = 20_000
)

// transition is what attempts changed in a webhook's health.
type transition int

const (
	unchanged transition = iota
	beganToFail
	recovered
)

// cache holds the health of webhooks between writes. It is safe for concurrent
// use.
type cache struct {
	load  func(ctx context.Context, webhookID string) (store.Webhook, error)
	merge func(ctx context.Context, webhookID string, known store.Health) (store.Health, error)

	mu      sync.Mutex
	entries map[string]entry
}

type entry struct {
	// stored is what the database had when it was last written.
	stored store.Health
	// told is what events of our own have last said about it, as far as is known.
	told store.Told
	// unstored is what it has not been told yet; dirty says that there is some.
	unstored store.Health
	dirty    bool
}

func newCache(
	load func(context.Context, string) (store.Webhook, error),
	merge func(context.Context, string, store.Health) (store.Health, error),
) *cache {
	return &cache{load: load, merge: merge, entries: map[string]entry{}}
}

// add takes in what is newly known of a webhook. It writes at once when the state
// changes, and says how.
func (c *cache) add(ctx context.Context, id string, news store.Health) (transition, error) {
	if err := c.ensure(ctx, id); err != nil {
		return unchanged, err
	}
	c.mu.Lock()
	known := c.entries[id]
	news = known.unstored.Merge(news)
	if !changesState(known.stored, news) {
		known.unstored, known.dirty = news, true
		c.entries[id] = known
		c.mu.Unlock()
		return unchanged, nil
	}
	c.mu.Unlock()
	stored, err := c.write(ctx, id, news)
	switch was, is := known.stored.FailingSince != nil, stored.FailingSince != nil; {
	case err != nil || was == is:
		return unchanged, err
	case is:
		return beganToFail, nil
	default:
		return recovered, nil
	}
}

// ensure loads the health of a webhook that is not in the cache.
func (c *cache) ensure(ctx context.Context, id string) error {
	c.mu.Lock()
	_, known := c.entries[id]
	c.mu.Unlock()
	if known {
		return nil
	}
	w, err := c.load(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("load health of webhook %s: %w", id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= maxEntries {
		c.evictClean()
	}
	c.entries[id] = entry{stored: w.Health, told: w.Told}
	return nil
}

// failingSince is what the database has.
func (c *cache) failingSince(id string) *time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[id].stored.FailingSince
}

// told is what has been said about a webhook, as far as is known, and whether it is
// failing.
func (c *cache) told(id string) (told store.Told, failing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[id].told, c.entries[id].stored.FailingSince != nil
}

func (c *cache) tell(id string, told store.Told) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.entries[id]; ok {
		known.told = told
		c.entries[id] = known
	}
}

// changesState reports whether the news are more than later times.
func changesState(stored, news store.Health) bool {
	next := stored.Merge(news)
	return (next.FailingSince == nil) != (stored.FailingSince == nil) ||
		(next.LastSuccessAt == nil) != (stored.LastSuccessAt == nil) ||
		(next.LastAttemptAt == nil) != (stored.LastAttemptAt == nil)
}

func (c *cache) write(ctx context.Context, id string, news store.Health) (store.Health, error) {
	stored, err := c.merge(ctx, id, news)
	if err != nil {
		return store.Health{}, fmt.Errorf("update health of webhook %s: %w", id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// What came in between is merged once more with the next write: harmless.
	after := c.entries[id]
	after.stored = stored
	if stored.Merge(after.unstored).Equal(stored) {
		after.unstored, after.dirty = store.Health{}, false
	}
	c.entries[id] = after
	return stored, nil
}

// evictClean drops what the database knows as well.
func (c *cache) evictClean() {
	for id, known := range c.entries {
		if !known.dirty {
			delete(c.entries, id)
		}
	}
}

// flush writes everything that is not written yet. Each time it has worked for a
// piece, or in vain, it calls pause, which says whether to go on.
func (c *cache) flush(ctx context.Context, pause func(worked time.Duration) bool) error {
	c.mu.Lock()
	var dirty []string
	for id, known := range c.entries {
		if known.dirty {
			dirty = append(dirty, id)
		}
	}
	c.mu.Unlock()
	began := time.Now()
	for _, id := range dirty {
		err := c.flushOne(ctx, id)
		worked := time.Since(began)
		if err == nil && worked < flushPiece {
			continue
		}
		if goOn := pause(worked); err != nil || !goOn {
			return err // if the database is away, all are still there the next time
		}
		began = time.Now()
	}
	return nil
}

func (c *cache) flushOne(ctx context.Context, id string) error {
	c.mu.Lock()
	known := c.entries[id]
	c.mu.Unlock()
	if !known.dirty { // it was written meanwhile, because its state changed
		return nil
	}
	_, err := c.write(ctx, id, known.unstored)
	return err
}
