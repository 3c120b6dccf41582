package projection_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/projection"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func streams() topology.Settings {
	return topology.Settings{Replicas: 1, EventsMaxAge: time.Hour, DuplicateWindow: time.Minute}
}

// world is a database, a broker, and the connections to them.
type world struct {
	t     *testing.T
	nats  *natstest.Server
	store *store.Store
	js    jetstream.JetStream
}

func newWorld(t *testing.T) *world {
	t.Helper()
	mongo := mongotest.Start(t)
	s, err := store.Open(t.Context(), mongo.URI(), mongo.Database(), zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close(context.Background())) })
	require.NoError(t, s.Prepare(t.Context()))
	server := natstest.Start(t, natstest.Embedded())
	js, err := jetstream.New(server.Connect(t))
	require.NoError(t, err)
	require.NoError(t, topology.Ensure(t.Context(), js, streams()))
	return &world{t: t, nats: server, store: s, js: js}
}

func (w *world) projector(deps projection.Deps) *projection.Projector {
	deps.Log = zap.NewNop()
	if deps.Settings.Replicas == 0 {
		deps.Settings = streams()
	}
	if deps.JS == nil {
		deps.JS = w.js
	}
	deps.Metrics = projection.NewMetrics(prometheus.NewRegistry())
	if deps.Store == nil {
		deps.Store = w.store
	}
	if deps.Options.Rebuild == 0 {
		deps.Options = projection.Options{Reconcile: 20 * time.Millisecond, Rebuild: time.Hour}
	}
	return projection.New(deps)
}

// run reconciles until the test ends, or until the returned function is called.
func (w *world) run(deps projection.Deps) (stop func()) { return w.runOver(w.projector(deps)) }

func (w *world) runOver(p *projection.Projector) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(w.t, <-ended)
	})
	w.t.Cleanup(stop)
	return stop
}

// create stores a webhook that is disabled, so that nothing is ever owed to it.
func (w *world) create() store.Webhook { return w.createAs(registration.Draft) }

func (w *world) createAs(status registration.Status) store.Webhook {
	return w.createAt(status, time.Now())
}

func (w *world) createAt(status registration.Status, at time.Time) store.Webhook {
	w.t.Helper()
	made, err := w.store.Create(w.t.Context(), store.Webhook{
		ID: registration.NewID(), ProjectID: "p1", Name: "CRM", URL: "https://example.org/hook",
		Events: []string{"report.generated"}, Status: status,
		Secrets:   []store.Secret{{Ciphertext: []byte("sealed")}},
		CreatedAt: at.UTC().Truncate(time.Millisecond),
	}, 1000)
	require.NoError(w.t, err)
	return made
}

func (w *world) rename(id, url string) store.Webhook {
	w.t.Helper()
	changed, err := w.store.Change(w.t.Context(), "p1", id, func(h *store.Webhook) error {
		h.URL = url
		return nil
	})
	require.NoError(w.t, err)
	return changed
}

func (w *world) bucket() jetstream.KeyValue {
	w.t.Helper()
	kv, err := w.js.KeyValue(w.t.Context(), topology.BucketWebhooks)
	require.NoError(w.t, err)
	return kv
}

// held is what the bucket has for a webhook; nil when there is nothing.
func (w *world) held(id string) *webhooksv1.Registration {
	kv, err := w.js.KeyValue(w.t.Context(), topology.BucketWebhooks)
	if err != nil {
		return nil
	}
	entry, err := kv.Get(w.t.Context(), topology.KeyRegistration("p1", id))
	if err != nil {
		return nil
	}
	r := &webhooksv1.Registration{}
	if proto.Unmarshal(entry.Value(), r) != nil {
		return nil
	}
	return r
}

func (w *world) put(r *webhooksv1.Registration) {
	w.t.Helper()
	data, err := proto.Marshal(r)
	require.NoError(w.t, err)
	_, err = w.bucket().Put(w.t.Context(), topology.KeyRegistration(r.GetProjectId(), r.GetId()), data)
	require.NoError(w.t, err)
}

// agree waits until the bucket holds exactly what the database does, settled.
func (w *world) agree(id string) {
	w.t.Helper()
	require.EventuallyWithT(w.t, func(c *assert.CollectT) {
		current, err := w.store.Load(w.t.Context(), id)
		require.NoError(c, err)
		assert.False(c, current.Pending)
		assert.True(c, proto.Equal(current.Registration(), w.held(id)), "%v", w.held(id))
	}, patience, 10*time.Millisecond)
}

func (w *world) complete() bool {
	kv, err := w.js.KeyValue(w.t.Context(), topology.BucketWebhooks)
	if err != nil {
		return false
	}
	_, err = kv.Get(w.t.Context(), topology.KeyProjected)
	return err == nil
}

func TestProjectAtOnce(t *testing.T) {
	w := newWorld(t)
	p := w.projector(projection.Deps{})
	made := w.createAs(registration.Published)

	p.Project(t.Context(), "p1", made.ID)
	w.agree(made.ID)
	got := w.held(made.ID)
	assert.Equal(t, "https://example.org/hook", got.GetUrl())
	assert.EqualValues(t, 1, got.GetRevision())
	assert.True(t, got.GetEnabled())
	assert.Equal(t, []byte("sealed"), got.GetSecrets()[0].GetCiphertext())

	w.rename(made.ID, "https://example.org/2")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	p.Project(cancelled, "p1", made.ID) // the caller hung up
	w.agree(made.ID)

	require.NoError(t, w.store.Delete(t.Context(), "p1", made.ID))
	p.Project(t.Context(), "p1", made.ID)
	w.agree(made.ID)
	assert.True(t, w.held(made.ID).GetDeleted())
	assert.Empty(t, w.held(made.ID).GetUrl())
	assert.False(t, w.complete(), "that is said only after everything was compared")
}

// stale is a store that answers with what a document was once.
type stale struct {
	*store.Store

	old store.Webhook
}

func (s stale) Load(context.Context, string) (store.Webhook, error) { return s.old, nil }

func TestOlderRevisionNeverOverwrites(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	w.rename(made.ID, "https://example.org/2")
	w.projector(projection.Deps{}).Project(t.Context(), "p1", made.ID)
	w.agree(made.ID)

	w.projector(projection.Deps{Store: stale{w.store, made}}).Project(t.Context(), "p1", made.ID)
	w.agree(made.ID)
	assert.Equal(t, "https://example.org/2", w.held(made.ID).GetUrl())
	assert.EqualValues(t, 2, w.held(made.ID).GetRevision())
}

func TestConcurrentWritersEndWithTheNewest(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			p := w.projector(projection.Deps{}) // a replica each
			for range 5 {
				w.rename(made.ID, "https://example.org/"+registration.NewID())
				p.Project(t.Context(), "p1", made.ID)
			}
		})
	}
	group.Wait()
	w.projector(projection.Deps{}).Project(t.Context(), "p1", made.ID)
	w.agree(made.ID)
	assert.EqualValues(t, 21, w.held(made.ID).GetRevision())
}

// The api was killed between the write and the projection.
func TestReconcilerFindsWhatWasLeft(t *testing.T) {
	w := newWorld(t)
	before := w.create()
	w.run(projection.Deps{})
	w.agree(before.ID)
	require.Eventually(t, w.complete, patience, 10*time.Millisecond)

	after := w.create()
	w.agree(after.ID)
	require.NoError(t, w.store.Delete(t.Context(), "p1", before.ID))
	w.agree(before.ID)
	assert.True(t, w.held(before.ID).GetDeleted())
}

// Nasty case 37, first half.
func TestWipedBucketIsRebuilt(t *testing.T) {
	w := newWorld(t)
	live, deleted := w.create(), w.create()
	w.run(projection.Deps{})
	w.agree(live.ID)
	require.NoError(t, w.store.Delete(t.Context(), "p1", deleted.ID))
	w.agree(deleted.ID)
	require.Eventually(t, w.complete, patience, 10*time.Millisecond)

	require.NoError(t, w.js.DeleteKeyValue(t.Context(), topology.BucketWebhooks))
	w.agree(live.ID)
	w.agree(deleted.ID)
	require.Eventually(t, w.complete, patience, 10*time.Millisecond)
}

// Nasty case 37, second half: the bucket is an old one, in which a webhook that
// was deleted since still lives.
func TestDeletedWebhookStaysDeletedInARestoredBucket(t *testing.T) {
	w := newWorld(t)
	deleted, purged, changed := w.create(), w.create(), w.create()
	stop := w.run(projection.Deps{})
	var backup []*webhooksv1.Registration
	for _, made := range []store.Webhook{deleted, purged, changed} {
		w.agree(made.ID)
		backup = append(backup, w.held(made.ID))
	}
	require.NoError(t, w.store.Delete(t.Context(), "p1", purged.ID))
	w.agree(purged.ID)
	_, err := w.store.Purge(t.Context(), time.Now().Add(time.Hour), 10)
	require.NoError(t, err)
	require.NoError(t, w.store.Delete(t.Context(), "p1", deleted.ID))
	w.rename(changed.ID, "https://example.org/2")
	w.agree(deleted.ID)
	w.agree(changed.ID)
	stop()

	require.NoError(t, w.js.DeleteKeyValue(t.Context(), topology.BucketWebhooks))
	require.NoError(t, topology.Ensure(t.Context(), w.js, streams()))
	for _, old := range backup {
		w.put(old)
	}
	w.run(projection.Deps{})
	w.agree(deleted.ID)
	w.agree(changed.ID)
	require.Eventually(t, func() bool { return w.held(purged.ID).GetDeleted() }, patience, 10*time.Millisecond)
	assert.True(t, w.held(deleted.ID).GetDeleted())
}

// Rebuilding finds what differs without any mark or sign.
func TestRegularComparisonRepairsSilentDamage(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	w.run(projection.Deps{Options: projection.Options{Reconcile: 20 * time.Millisecond, Rebuild: 100 * time.Millisecond}})
	w.agree(made.ID)
	key := topology.KeyRegistration("p1", made.ID)

	_, err := w.bucket().Put(t.Context(), key, []byte("\xff not a registration"))
	require.NoError(t, err)
	w.agree(made.ID)
	require.NoError(t, w.bucket().Purge(t.Context(), key))
	w.agree(made.ID)
}

// The database was put back in time: what the bucket holds is newer, and wrong.
func TestRestoredDatabaseWins(t *testing.T) {
	w := newWorld(t)
	behind, differs, foreign := w.create(), w.create(), w.create()
	ahead := behind.Registration()
	ahead.Revision, ahead.Url = 7, "https://example.org/lost"
	w.put(ahead)
	other := differs.Registration()
	other.Url = "https://example.org/other"
	w.put(other)
	unknown := foreign.Registration()
	unknown.Id = "unknown"
	w.put(unknown)

	w.run(projection.Deps{})
	w.agree(behind.ID)
	w.agree(differs.ID)
	assert.EqualValues(t, 8, w.held(behind.ID).GetRevision())
	assert.EqualValues(t, 2, w.held(differs.ID).GetRevision())
	require.Eventually(t, func() bool { return w.held("unknown").GetDeleted() }, patience, 10*time.Millisecond)
}

// A broker that is away delays the projection and nothing else.
func TestBrokerAway(t *testing.T) {
	w := newWorld(t)
	w.run(projection.Deps{})
	require.Eventually(t, w.complete, patience, 10*time.Millisecond)

	w.nats.Shutdown()
	made := w.create()
	began := time.Now()
	assert.False(t, w.projector(projection.Deps{}).Project(t.Context(), "p1", made.ID), "in force")
	assert.Less(t, time.Since(began), 5*time.Second)
	got, err := w.store.Load(t.Context(), made.ID)
	require.NoError(t, err)
	assert.True(t, got.Pending)

	w.nats.Restart()
	w.agree(made.ID)
}
