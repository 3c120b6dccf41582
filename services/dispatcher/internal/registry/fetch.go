package registry

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/topology"
)

// fetchTimeout bounds one look-up in the bucket.
const fetchTimeout = 2 * time.Second

// fetch looks one webhook up in the bucket and applies what it finds.
func (r *Registry) fetch(ctx context.Context, projectID, id string) {
	r.mu.RLock()
	js := r.js
	r.mu.RUnlock()
	if js == nil {
		return
	}
	key := topology.KeyRegistration(projectID, id)
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	entry, err := topology.ReadBucket(ctx, js, key)
	if err != nil || entry.Value == nil {
		r.log.Debug("webhook not found in the bucket", zap.String(observe.KeyWebhook, id), zap.Error(err))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live != nil {
		r.apply(r.live, key, entry.Value)
	}
}
