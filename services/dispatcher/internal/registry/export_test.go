package registry

import (
	"context"
	"time"
)

// Get returns a webhook that is in memory, or nil.
func (r *Registry) Get(id string) *Webhook {
	w, _, _ := r.held(id)
	return w
}

// Len is the number of registrations that are in memory.
func (r *Registry) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.live == nil {
		return 0
	}
	return len(r.live.webhooks)
}

// WaitCurrent returns nil once [Registry.Current] holds, or the error of ctx.
func (r *Registry) WaitCurrent(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !r.Current() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
