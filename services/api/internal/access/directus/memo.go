package directus

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/dembrane/webhooks/services/api/internal/access"
)

// errSlow ends what took longer than the driver's timeout.
var errSlow = errors.New("Directus took too long") //nolint:staticcheck // its name

// memo remembers answers for a while, the last used ones of them, and asks once
// however many want the same at the same time. Refusals are answers; that
// Directus could not be asked is none, and is never remembered.
type memo[V any] struct {
	ttl     time.Duration
	timeout time.Duration
	limit   int
	now     func() time.Time

	flight  singleflight.Group
	mu      sync.Mutex
	entries map[string]*list.Element
	// used has the last used entry in front.
	used *list.List
}

type entry[V any] struct {
	key   string
	value V
	err   error
	until time.Time
}

func newMemo[V any](limit int, o Options) *memo[V] {
	return &memo[V]{
		ttl: o.CacheTTL, timeout: o.Timeout, limit: limit, now: o.Now,
		entries: map[string]*list.Element{}, used: list.New(),
	}
}

// get returns what is remembered of the key, or asks. Who asks shares the answer
// with all who came meanwhile, so it is not asked in the name of one: that one
// going away does not end it, only the timeout does.
func (m *memo[V]) get(ctx context.Context, key string, ask func(context.Context) (V, error)) (V, error) {
	if kept, ok := m.look(key); ok {
		return kept.value, kept.err
	}
	answered := m.flight.DoChan(key, func() (any, error) {
		if kept, ok := m.look(key); ok { // asked and answered since
			return kept.value, kept.err
		}
		bounded, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), m.timeout, errSlow)
		defer cancel()
		// What is read is as old as the question, not as the answer.
		until := m.now().Add(m.ttl)
		value, err := ask(bounded)
		m.keep(entry[V]{key: key, value: value, err: err, until: until})
		return value, err
	})
	var none V
	select {
	case <-ctx.Done():
		return none, fmt.Errorf("%w: the caller went away: %w", access.ErrUnavailable, context.Cause(ctx))
	case result := <-answered:
		value, _ := result.Val.(V) // the only type that is put in
		return value, result.Err
	}
}

func (m *memo[V]) look(key string) (entry[V], bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	element, ok := m.entries[key]
	if !ok {
		return entry[V]{}, false
	}
	kept, _ := element.Value.(entry[V]) // the only type that is put in
	if !m.now().Before(kept.until) {
		m.used.Remove(element)
		delete(m.entries, key)
		return entry[V]{}, false
	}
	m.used.MoveToFront(element)
	return kept, true
}

func (m *memo[V]) keep(e entry[V]) {
	if m.ttl <= 0 || (e.err != nil && !isRefusal(e.err)) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if former, ok := m.entries[e.key]; ok {
		m.used.Remove(former)
	}
	m.entries[e.key] = m.used.PushFront(e)
	for m.used.Len() > m.limit {
		oldest := m.used.Back()
		m.used.Remove(oldest)
		kept, _ := oldest.Value.(entry[V]) // the only type that is put in
		delete(m.entries, kept.key)
	}
}

// isRefusal tells what was decided from what could not be asked.
func isRefusal(err error) bool {
	return !errors.Is(err, access.ErrUnavailable) &&
		(errors.Is(err, access.ErrSession) || errors.Is(err, access.ErrUser) || errors.Is(err, access.ErrProject))
}
