package app

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/pkg/topology"
)

// roomInterval is how often is looked how full the streams are of what is owed.
const roomInterval = 2 * time.Second

// room holds up what would be written to a stream while it is nearly full.
type room struct {
	stream string

	mu    sync.Mutex
	fault error
	freed chan struct{} // closed when there is room again; nil while there is
}

// run looks until ctx is done. Not knowing is no lack of room: when JetStream does
// not answer, it refuses writes by itself.
func (r *room) run(ctx context.Context, js jetstream.JetStream, log *zap.Logger) error {
	for ctx.Err() == nil {
		look, cancel := context.WithTimeout(ctx, askTimeout)
		full, err := topology.Room(look, js, r.stream)
		cancel()
		if err == nil && r.set(full) {
			log.Warn("no new attempts are made", zap.Error(full))
		}
		retry.Pause(ctx, roomInterval)
	}
	return nil
}

// set remembers what was seen and reports whether it is now full and was not before.
func (r *room) set(full error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.fault
	r.fault = full
	switch {
	case full != nil && before == nil:
		r.freed = make(chan struct{})
		return true
	case full == nil && before != nil:
		close(r.freed)
		r.freed = nil
	}
	return false
}

// Err is what is full, in words; nil while there is room.
func (r *room) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fault
}

// wait returns when there is room, or with an error when ctx is done.
func (r *room) wait(ctx context.Context) error {
	r.mu.Lock()
	freed := r.freed
	r.mu.Unlock()
	if freed == nil {
		return nil
	}
	select {
	case <-freed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx) //nolint:wrapcheck // nobody is told
	}
}
