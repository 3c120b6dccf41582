// Package registry holds every registration in memory, as the bucket WEBHOOKS
// has it, so that matching an event asks nobody.
//
// The api deletes a webhook by writing a tombstone, never by removing its key.
// So a key that is missing, and a bucket that was lost, mean "not known yet":
// the registry keeps what it had until the api has written everything again.
package registry

import (
	"strings"
	"sync"

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

	mu    sync.RWMutex
	live  *table // nil until the first complete load
	ready chan struct{}
}

// table is one complete state of the bucket.
type table struct {
	webhooks map[string]*Webhook   // by id
	projects map[string][]*Webhook // by project; replaced, never changed in place
	deleted  map[string]uint64     // revision of the tombstone, by id
}

// Open returns an empty registry; [Registry.Run] fills it.
func Open(box *secret.Box, log *zap.Logger) *Registry {
	return &Registry{box: box, log: log, ready: make(chan struct{})}
}

// Ready is closed once every registration has been loaded for the first time.
func (r *Registry) Ready() <-chan struct{} { return r.ready }

// Match appends to dst the webhooks of the project that want events of this
// type now.
func (r *Registry) Match(dst []*Webhook, projectID, eventType string) []*Webhook {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.live == nil {
		return dst
	}
	for _, w := range r.live.projects[projectID] {
		if w.Wants(eventType) {
			dst = append(dst, w)
		}
	}
	return dst
}

// Wanted reports whether any webhook of the project wants events of this type now.
func (r *Registry) Wanted(projectID, eventType string) bool {
	var room [4]*Webhook
	return len(r.Match(room[:0], projectID, eventType)) > 0
}

// Get returns a webhook as it is registered now, or nil when it was deleted.
func (r *Registry) Get(id string) *Webhook {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.live == nil {
		return nil
	}
	return r.live.webhooks[id]
}

// Len is the number of registrations that are known.
func (r *Registry) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.live == nil {
		return 0
	}
	return len(r.live.webhooks)
}

func newTable() *table {
	return &table{webhooks: map[string]*Webhook{}, projects: map[string][]*Webhook{}, deleted: map[string]uint64{}}
}

// replace makes a completely loaded table the live one.
func (r *Registry) replace(t *table) {
	r.mu.Lock()
	first := r.live == nil
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
	if t == r.live || r.live == nil {
		return
	}
	if w := r.live.webhooks[id]; w != nil {
		t.put(w)
	} else if revision, known := r.live.deleted[id]; known {
		t.deleted[id] = revision
	}
}

func (t *table) get(id string) *Webhook {
	if t == nil {
		return nil
	}
	return t.webhooks[id]
}

// newer reports whether more is known of a webhook than the revision holds.
func (t *table) newer(id string, revision uint64) bool {
	if t == nil {
		return false
	}
	if w := t.webhooks[id]; w != nil {
		return w.Revision > revision
	}
	return t.deleted[id] > revision
}

func (t *table) put(w *Webhook) {
	delete(t.deleted, w.ID)
	t.webhooks[w.ID] = w
	t.projects[w.ProjectID] = append(without(t.projects[w.ProjectID], w.ID), w)
}

func (t *table) remove(project, id string, revision uint64) {
	t.deleted[id] = revision
	delete(t.webhooks, id)
	rest := without(t.projects[project], id)
	if len(rest) == 0 {
		delete(t.projects, project)
		return
	}
	t.projects[project] = rest
}

// without copies, so that a reader of the old slice is never disturbed.
func without(list []*Webhook, id string) []*Webhook {
	rest := make([]*Webhook, 0, len(list)+1)
	for _, w := range list {
		if w.ID != id {
			rest = append(rest, w)
		}
	}
	return rest
}
