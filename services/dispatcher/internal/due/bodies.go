package due

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/services/dispatcher/internal/eventbody"
)

// keepFor is how long a body is used again. It is short, because an event that is
// erased from the stream meanwhile is still sent for that long; deliveries of one
// event that are due at once come within it.
const keepFor = 5 * time.Second

// maxBodies bounds the cache in bodies, besides its bound in bytes.
const maxBodies = 1 << 16

// bodies is a cache of bodies that were read back, so that all deliveries of an
// event in a format that are due at about the same time need it read and rendered once.
type bodies struct {
	read     func(ctx context.Context, project string, key bodyKey) (*eventbody.Body, error)
	maxBytes int64

	mu     sync.Mutex
	recent *simplelru.LRU[bodyKey, *cached]
	bytes  int64 // of those in recent
}

// bodyKey names a body: the event at a sequence, in a format.
type bodyKey struct {
	sequence uint64
	// eventID tells it from what had the sequence before the stream was made again:
	// what was kept of another event proves nothing about this one.
	eventID string
	format  chat.Format
}

// cached is a body that is being read, in use, in the cache, or all of it.
type cached struct {
	began time.Time
	ready chan struct{} // closed when body and err are set
	body  *eventbody.Body
	err   error
	refs  int // one for each user and one for the cache; guarded by bodies.mu
}

func newBodies(maxBytes int64, read func(context.Context, string, bodyKey) (*eventbody.Body, error)) (*bodies, error) {
	b := &bodies{read: read, maxBytes: maxBytes}
	var err error
	b.recent, err = simplelru.NewLRU(maxBodies, func(_ bodyKey, gone *cached) {
		b.bytes -= gone.size()
		b.unref(gone)
	})
	return b, err
}

func (c *cached) size() int64 {
	if c.body == nil {
		return 0
	}
	return int64(len(c.body.Bytes))
}

// get returns a body, or why there is none. Whoever
// gets one calls put when it is not used any more.
func (b *bodies) get(ctx context.Context, project string, key bodyKey) (_ *eventbody.Body, put func(), _ error) {
	for {
		c, first := b.join(key)
		if first {
			c.body, c.err = b.read(ctx, project, key)
			b.done(key, c)
		}
		select {
		case <-c.ready:
		case <-ctx.Done():
			b.put(c)
			return nil, nil, fmt.Errorf("wait for the event: %w", context.Cause(ctx))
		}
		if c.err == nil {
			return c.body, sync.OnceFunc(func() { b.put(c) }), nil
		}
		b.put(c)
		if ctx.Err() != nil || !errors.Is(c.err, context.Canceled) {
			return nil, nil, c.err
		}
		// Whoever read it was cut off; this caller was not.
	}
}

// join returns the body in the cache, or a new one that its first user reads.
func (b *bodies) join(key bodyKey) (c *cached, first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.recent.Get(key)
	if !ok || time.Since(c.began) >= keepFor {
		first = true
		b.recent.Remove(key) // an overwritten one would not be given back
		c = &cached{began: time.Now(), ready: make(chan struct{}), refs: 1}
		b.recent.Add(key, c)
	}
	c.refs++
	return c, first
}

// done lets everybody use what was read, and keeps the cache within its bounds.
func (b *bodies) done(key bodyKey, c *cached) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if kept, ok := b.recent.Peek(key); ok && kept == c {
		if c.err != nil {
			b.recent.Remove(key)
		}
		b.bytes += c.size()
		for b.bytes > b.maxBytes {
			b.recent.RemoveOldest()
		}
	}
	close(c.ready)
}

func (b *bodies) put(c *cached) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unref(c)
}

func (b *bodies) unref(c *cached) {
	c.refs--
	if c.refs == 0 && c.body != nil {
		c.body.Release()
	}
}
