package registry

import "time"

// currentFor is how old a change may be that is not in memory yet. It is what the
// contract promises: a change is in force for events that are published a second
// after the answer to it, which is given when the change is in the bucket.
const currentFor = time.Second

// Current reports whether every change that was in the bucket a second ago is in
// memory.
func (r *Registry) Current() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.live != nil && r.current()
}

// current is for whoever holds the lock.
func (r *Registry) current() bool { return time.Since(r.asOf) < currentFor }

// renew says that every change that was in the bucket at asOf is in memory.
func (r *Registry) renew(asOf time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if asOf.After(r.asOf) {
		r.asOf = asOf
	}
}
