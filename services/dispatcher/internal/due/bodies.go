package due

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/singleflight"
)

// keepFor is how long a body is used again. It is short, because an event that is
// erased from the stream meanwhile is still sent for that long; deliveries of one
// event that are due at once come within it.
const keepFor = 5 * time.Second

// maxBodies bounds the cache in bodies, besides its bound in bytes.
const maxBodies = 1 << 16

// body is the canonical body of an event, which is never changed.
type body struct {
	eventID string
	bytes   []byte
	read    time.Time
}

// bodies reads events back and renders them, once for all their deliveries that
// are due at about the same time.
type bodies struct {
	read    func(ctx context.Context, sequence uint64) (body, error)
	flights singleflight.Group

	mu       sync.Mutex
	recent   *simplelru.LRU[uint64, body]
	bytes    int64
	maxBytes int64
}

func newBodies(maxBytes int64, read func(context.Context, uint64) (body, error)) (*bodies, error) {
	b := &bodies{read: read, maxBytes: maxBytes}
	recent, err := simplelru.NewLRU(maxBodies, func(_ uint64, gone body) { b.bytes -= int64(len(gone.bytes)) })
	if err != nil {
		return nil, err
	}
	b.recent = recent
	return b, nil
}

// get returns the body of the event at a sequence, or why there is none.
func (b *bodies) get(ctx context.Context, sequence uint64) (body, error) {
	if found, ok := b.lookUp(sequence); ok {
		return found, nil
	}
	read, err, _ := b.flights.Do(strconv.FormatUint(sequence, 10), func() (any, error) {
		fresh, err := b.read(ctx, sequence)
		if err == nil {
			b.keep(sequence, fresh)
		}
		return fresh, err
	})
	if err != nil {
		return body{}, err
	}
	found, _ := read.(body) // it is nothing else
	return found, nil
}

func (b *bodies) lookUp(sequence uint64) (body, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, ok := b.recent.Get(sequence)
	return found, ok && time.Since(found.read) < keepFor
}

func (b *bodies) keep(sequence uint64, fresh body) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recent.Remove(sequence) // an overwritten one would not be subtracted
	b.recent.Add(sequence, fresh)
	b.bytes += int64(len(fresh.bytes))
	for b.bytes > b.maxBytes {
		b.recent.RemoveOldest()
	}
}
