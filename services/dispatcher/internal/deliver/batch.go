package deliver

import (
	"sync"
	"time"
)

// batches collects items that are written together, by key. Whoever adds an item
// waits until the batch that it is in is written: the first one waits for others
// to join, writes it, and tells them.
type batches[K comparable, T any] struct {
	// A batch is written when it has so many items, so many bytes, or is so old.
	maxItems, maxBytes int
	maxAge             time.Duration
	write              func(K, []T) error

	mu      sync.Mutex
	pending map[K]*batch[T] // open for others to join
}

type batch[T any] struct {
	items   []T
	bytes   int
	full    chan struct{} // closed when nobody may join any more
	written chan struct{} // closed when err says whether it is written
	err     error
}

// Add returns when the item's batch is written, or with the error of its write.
func (b *batches[K, T]) Add(key K, item T, bytes int) error {
	own, first := b.join(key, item, bytes)
	if !first {
		<-own.written
		return own.err
	}
	timer := time.NewTimer(b.maxAge)
	select {
	case <-own.full:
		timer.Stop()
	case <-timer.C:
		b.shut(key, own)
	}
	own.err = b.write(key, own.items)
	close(own.written)
	return own.err
}

// join puts the item into the open batch of its key, or into a new one, whose
// first item it then is.
func (b *batches[K, T]) join(key K, item T, bytes int) (own *batch[T], first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	own = b.pending[key]
	if own == nil {
		first = true
		own = &batch[T]{full: make(chan struct{}), written: make(chan struct{})}
		if b.pending == nil {
			b.pending = map[K]*batch[T]{}
		}
		b.pending[key] = own
	}
	own.items = append(own.items, item)
	own.bytes += bytes
	if len(own.items) >= b.maxItems || own.bytes >= b.maxBytes {
		delete(b.pending, key)
		close(own.full)
	}
	return own, first
}

// shut lets nobody join a batch any more.
func (b *batches[K, T]) shut(key K, own *batch[T]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending[key] == own {
		delete(b.pending, key)
	}
}
