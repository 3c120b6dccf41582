// Package registry holds every registration in memory, as the bucket WEBHOOKS
// has it, so that matching an event asks nobody.
//
// "Not known" is never "deleted". The api deletes a webhook by writing a
// tombstone, so a key that is missing, and a bucket that was lost, emptied or put
// back in time, prove nothing: the registry keeps what it knows until the api has
// compared everything again.
//
// What is in memory may be behind the bucket. The registry says so: an event that
// nobody seems to want proves something only while it knows of every change that
// was in the bucket a second ago ([Registry.Match] and its known).
package registry

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Registry answers which webhooks want an event. It is safe for concurrent use.
type Registry struct {
	box *secret.Box
	log *zap.Logger

	ready chan struct{}

	mu     sync.RWMutex
	js     jetstream.JetStream // nil until [Registry.Run]
	live   *table              // nil until the first complete load
	marked time.Time           // the newest time at which a bucket was marked as complete
	asOf   time.Time           // every change that was in the bucket then is in live
}

// Open returns an empty registry; [Registry.Run] fills it.
func Open(box *secret.Box, log *zap.Logger) *Registry {
	return &Registry{box: box, log: log, ready: make(chan struct{})}
}

// Ready is closed once every registration has been loaded for the first time.
func (r *Registry) Ready() <-chan struct{} { return r.ready }

// Match appends to dst the webhooks of the project that want events of this type
// that were published then. known reports that these are all of them, as far as
// changes a second ago or earlier are concerned. Without it, whoever asks decides
// nothing: see [Registry.Current].
func (r *Registry) Match(dst []*Webhook, projectID, eventType string, published time.Time) (_ []*Webhook, known bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.live == nil {
		return dst, false
	}
	for _, w := range r.live.projects[projectID] {
		if w.Wants(eventType, published) {
			dst = append(dst, w)
		}
	}
	return dst, r.current()
}

// Find returns a webhook as it is registered now, or whether its tombstone was seen;
// neither proves nothing. A webhook that is not in memory is looked up in the bucket,
// for a second or two, unless what is in memory is current.
func (r *Registry) Find(ctx context.Context, projectID, id string) (w *Webhook, deleted bool) {
	w, deleted, current := r.held(id)
	if w == nil && !deleted && !current {
		r.fetch(ctx, projectID, id)
		w, deleted, _ = r.held(id)
	}
	return w, deleted
}

func (r *Registry) held(id string) (w *Webhook, deleted, current bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.live == nil {
		return nil, false, false
	}
	_, deleted = r.live.deleted[id]
	return r.live.webhooks[id], deleted, r.current()
}

// replace makes a completely loaded table the live one. marked is when the bucket
// was marked as complete: what it does not hold is forgotten only if that was
// after everything that is known, because an old backup has an old marker.
func (r *Registry) replace(t *table, marked time.Time) {
	r.mu.Lock()
	first := r.live == nil
	if !first && !marked.After(r.marked) {
		t.adopt(r.live)
	}
	if marked.After(r.marked) {
		r.marked = marked
	}
	r.live = t
	r.mu.Unlock()
	if first {
		close(r.ready)
	}
	r.log.Info("registrations loaded", zap.Int("webhooks", len(t.webhooks)))
}

// apply puts one value of the bucket into t. A value that cannot be read is
// logged and skipped, and an older revision than is known gives way, also when a
// whole bucket has come back from a backup: the webhook stays as it was.
func (r *Registry) apply(t *table, key string, value []byte) {
	var registration webhooksv1.Registration
	err := proto.Unmarshal(value, &registration)
	project, id, _ := strings.Cut(key, ".")
	if err != nil || registration.GetId() != id || registration.GetProjectId() != project {
		r.log.Error("registration unreadable, kept as it was", zap.String("key", key), zap.Error(err))
		r.keep(t, id)
		return
	}
	revision := registration.GetRevision()
	if t.newer(id, revision) {
		return
	}
	if t != r.live && r.live.newer(id, revision) {
		r.keep(t, id)
		return
	}
	if registration.GetDeleted() {
		t.remove(project, id, revision)
		return
	}
	w := New(&registration, r.box)
	if w.Fault != nil {
		r.log.Error("registration unusable", zap.String(observe.KeyWebhook, id), zap.Error(w.Fault))
	}
	if known := r.live.get(id); known != nil && known.Revision == revision && known.gone.Load() {
		w.MarkGone() // reading the same revision again does not bring it back
	}
	t.put(w)
}

// keep takes what is known of a webhook over into a table that is being loaded.
func (r *Registry) keep(t *table, id string) {
	if t != r.live && r.live != nil {
		t.adoptOne(r.live, id)
	}
}
