package store

import (
	"hash/fnv"
	"sync"
	"time"
)

const (
	// rememberedMost bounds what a memory holds, about a kilobyte or two each.
	rememberedMost = 4096
	// doubtFor is how long nothing is remembered after a write of which it is not known
	// whether it has happened: by then it has, or never will.
	doubtFor = time.Minute
)

// memory remembers what was read of a database that no other process writes to. What
// is put is what was read, or written, since [memory.state] said in which state it was:
// if it has changed meanwhile, it is not remembered. So nobody needs a lock.
type memory[T any] struct {
	mu   sync.Mutex
	byID map[string]T
	// changes counts them, by a hash of the id.
	changes [64]uint64
	until   time.Time // nothing is remembered until then
}

func (m *memory[T]) get(id string) (T, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	one, remembered := m.byID[id]
	return one, remembered
}

// state is what [memory.put] is to be given.
func (m *memory[T]) state(id string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *m.count(id)
}

func (m *memory[T]) count(id string) *uint64 {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(id)) // it never fails
	return &m.changes[hash.Sum32()%uint32(len(m.changes))]
}

// put forgets everything else when that is too much: it is read again.
func (m *memory[T]) put(state uint64, id string, one T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if *m.count(id) != state || time.Now().Before(m.until) {
		return
	}
	if len(m.byID) >= rememberedMost || m.byID == nil {
		m.byID = map[string]T{}
	}
	m.byID[id] = one
}

// changed is called after each write, before anybody is told that it has happened. One
// that failed may still happen, after the next read.
func (m *memory[T]) changed(id string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*m.count(id)++
	delete(m.byID, id)
	if err != nil {
		m.byID, m.until = nil, time.Now().Add(doubtFor)
	}
}
