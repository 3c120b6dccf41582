package store

import (
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

// memory remembers what was read of a database that no other process writes to.
type memory[T any] struct {
	mu   sync.Mutex
	byID map[string]T
	// changes counts what was forgotten.
	changes uint64
	until   time.Time // nothing is remembered until then
}

func (m *memory[T]) get(id string) (T, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	one, remembered := m.byID[id]
	return one, remembered
}

// state is what [memory.putUnchanged] is to be given.
func (m *memory[T]) state() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changes
}

// put is for whoever holds the lock of what is remembered.
func (m *memory[T]) put(id string, one T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.putLocked(id, one)
}

// putUnchanged is for whoever has no lock: what was forgotten since is not remembered.
func (m *memory[T]) putUnchanged(state uint64, id string, one T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changes == state {
		m.putLocked(id, one)
	}
}

// putLocked forgets everything else when that is too much: it is read again.
func (m *memory[T]) putLocked(id string, one T) {
	if time.Now().Before(m.until) {
		return
	}
	if len(m.byID) >= rememberedMost || m.byID == nil {
		m.byID = map[string]T{}
	}
	m.byID[id] = one
}

// forget reports whether it was remembered.
func (m *memory[T]) forget(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, remembered := m.byID[id]
	delete(m.byID, id)
	m.changes++
	return remembered
}

// doubt is for a write that failed: it may still happen, after the next read.
func (m *memory[T]) doubt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byID, m.until = nil, time.Now().Add(doubtFor)
	m.changes++
}
