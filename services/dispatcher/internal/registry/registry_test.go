package registry_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 20 * time.Second
	tick     = 5 * time.Millisecond
)

// fixture is a registry that follows a bucket on a real server.
type fixture struct {
	*registry.Registry

	t      *testing.T
	server *natstest.Server
	proxy  *natstest.Proxy // between the registry and the server
	nc     *nats.Conn
	js     jetstream.JetStream
	logs   *observer.ObservedLogs
	box    *secret.Box
}

func start(t *testing.T) *fixture {
	t.Helper()
	f := prepare(t)
	f.run()
	return f
}

// prepare makes a bucket, and a registry that does not follow it yet.
func prepare(t *testing.T) *fixture {
	t.Helper()
	server := natstest.Start(t, natstest.Embedded())
	f := &fixture{t: t, server: server, nc: server.Connect(t), proxy: natstest.NewProxy(t, server.URL()), box: newBox(t)}
	var err error
	f.js, err = jetstream.New(f.nc)
	require.NoError(t, err)
	f.makeBucket()
	core, logs := observer.New(zap.DebugLevel)
	f.logs = logs
	f.Registry = registry.Open(f.box, zap.New(core))
	return f
}

// run follows the bucket until the test ends, over a network that can break.
func (f *fixture) run() {
	f.t.Helper()
	js, err := jetstream.New(f.proxy.Connect(nats.PingInterval(time.Second)))
	require.NoError(f.t, err)
	ctx, cancel := context.WithCancel(f.t.Context())
	var running sync.WaitGroup
	running.Go(func() { assert.NoError(f.t, f.Run(ctx, js)) })
	f.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func newBox(tb testing.TB) *secret.Box {
	tb.Helper()
	keyset, err := secret.NewKeyset()
	require.NoError(tb, err)
	box, err := secret.OpenKeyset(keyset)
	require.NoError(tb, err)
	return box
}

func (f *fixture) makeBucket() {
	f.t.Helper()
	_, err := f.js.CreateKeyValue(f.t.Context(), topology.Bucket(topology.Settings{Replicas: 1}))
	require.NoError(f.t, err)
}

func (f *fixture) bucket() jetstream.KeyValue {
	f.t.Helper()
	bucket, err := f.js.KeyValue(f.t.Context(), topology.BucketWebhooks)
	require.NoError(f.t, err)
	return bucket
}

func (f *fixture) put(r *webhooksv1.Registration) {
	f.t.Helper()
	data, err := proto.Marshal(r)
	require.NoError(f.t, err)
	f.putRaw(topology.KeyRegistration(r.GetProjectId(), r.GetId()), data)
}

func (f *fixture) putRaw(key string, data []byte) {
	f.t.Helper()
	_, err := f.bucket().Put(f.t.Context(), key, data)
	require.NoError(f.t, err)
}

// projected says that everything has been written, and waits for the registry.
func (f *fixture) projected() {
	f.t.Helper()
	f.putRaw(topology.KeyProjected, []byte("1"))
	select {
	case <-f.Ready():
	case <-time.After(patience):
		require.Fail(f.t, "the registry is not ready")
	}
}

func (f *fixture) eventually(condition func() bool, what string) {
	f.t.Helper()
	require.Eventually(f.t, condition, patience, tick, what)
}

// passed waits until the registry has seen everything that was written before:
// a marker in another project comes after it.
func (f *fixture) passed() {
	f.t.Helper()
	id := "marker" + time.Now().Format("150405.000000000")[7:]
	f.put(&webhooksv1.Registration{Id: id, ProjectId: "markers", Revision: 1, Url: "https://example.org"})
	f.eventually(func() bool { return f.Get(id) != nil }, "what was written has not arrived")
}

func registration(id string, revision uint64) *webhooksv1.Registration {
	return &webhooksv1.Registration{
		Id: id, ProjectId: "p1", Revision: revision, Url: "https://example.org/" + id,
		Events: []string{event.ConversationStarted}, Enabled: true,
	}
}

// matches returns who wants conversation.started.
func (f *fixture) matches() []string {
	var ids []string
	webhooks, _ := f.Match(nil, "p1", event.ConversationStarted, time.Now())
	for _, w := range webhooks {
		ids = append(ids, w.ID)
	}
	return ids
}

// wanted reports whether anybody wants an event that is published now.
func (f *fixture) wanted(projectID, eventType string) bool {
	webhooks, _ := f.Match(nil, projectID, eventType, time.Now())
	return len(webhooks) > 0
}

func TestNothingIsKnownBeforeEverythingIsProjected(t *testing.T) {
	f := start(t)
	f.put(registration("w1", 1))
	f.put(registration("w2", 1))

	f.eventually(func() bool { return delivered(t, f.js) == 2 }, "both have reached the registry")
	select {
	case <-f.Ready():
		require.Fail(t, "ready although the api has not said that this is everything")
	default:
	}
	assert.Empty(t, f.matches())
	assert.Nil(t, f.Get("w1"))

	f.projected()
	assert.ElementsMatch(t, []string{"w1", "w2"}, f.matches())
	assert.Equal(t, 2, f.Len())
}

func TestChangesAreFollowed(t *testing.T) {
	f := start(t)
	f.put(registration("w1", 1))
	f.projected()

	moved := registration("w1", 2)
	moved.Url, moved.Events = "https://elsewhere.example/", []string{event.ReportGenerated}
	f.put(moved)
	f.eventually(func() bool { return f.wanted("p1", event.ReportGenerated) }, "new events")
	assert.False(t, f.wanted("p1", event.ConversationStarted))
	assert.Equal(t, "https://elsewhere.example/", f.Get("w1").URL.String())

	disabled := registration("w1", 3)
	disabled.Enabled = false
	f.put(disabled)
	f.eventually(func() bool { return !f.Get("w1").Active() }, "disabled")
	assert.Empty(t, f.matches())

	f.put(registration("w1", 4))
	f.put(registration("w2", 1))
	f.eventually(func() bool { return len(f.matches()) == 2 }, "enabled, and a new one")
	assert.False(t, f.wanted("p2", event.ConversationStarted), "another project")
}

func TestATombstoneDeletes(t *testing.T) {
	f := start(t)
	f.put(registration("w1", 1))
	f.put(registration("w2", 1))
	f.projected()

	f.put(&webhooksv1.Registration{Id: "w1", ProjectId: "p1", Revision: 2, Deleted: true})
	f.eventually(func() bool { return f.Get("w1") == nil }, "deleted")
	assert.Equal(t, []string{"w2"}, f.matches())

	f.put(registration("w1", 1))
	f.passed()
	assert.Nil(t, f.Get("w1"), "an older revision does not bring it back")
}

func TestAKeyThatVanishesDeletesNothing(t *testing.T) {
	f := start(t)
	f.put(registration("w1", 1))
	f.put(registration("w2", 1))
	f.projected()

	require.NoError(t, f.bucket().Delete(t.Context(), "p1.w1"))
	require.NoError(t, f.bucket().Purge(t.Context(), "p1.w2"))
	require.NoError(t, f.bucket().Delete(t.Context(), topology.KeyProjected))
	f.passed()

	assert.ElementsMatch(t, []string{"w1", "w2"}, f.matches())
}

func TestAnOlderRevisionNeverReplacesANewerOne(t *testing.T) {
	f := start(t)
	newer := registration("w1", 7)
	newer.Url = "https://new.example/"
	f.put(newer)
	f.projected()

	f.put(registration("w1", 6))
	f.passed()

	assert.Equal(t, "https://new.example/", f.Get("w1").URL.String())
	assert.EqualValues(t, 7, f.Get("w1").Revision)
}

func TestUnreadableValuesChangeNothing(t *testing.T) {
	f := start(t)
	f.put(registration("w1", 1))
	f.putRaw("p1.broken", []byte("\xff\xff"))
	f.projected()

	f.putRaw("p1.w1", []byte("\xff\xff"))
	wrong, err := proto.Marshal(registration("w9", 9))
	require.NoError(t, err)
	f.putRaw("p1.w1", wrong)
	f.putRaw("p2.w9", wrong)
	f.putRaw("nodot", wrong)
	f.passed()

	assert.Equal(t, []string{"w1"}, f.matches())
	assert.Nil(t, f.Get("w9"))
	assert.Equal(t, 4, f.logs.FilterMessage("registration unreadable, kept as it was").Len())
}

func TestCase37ALostBucketChangesNothingUntilItIsRebuilt(t *testing.T) {
	f := start(t)
	f.put(registration("w1", 5))
	f.put(registration("w2", 5))
	f.projected()

	require.NoError(t, f.js.DeleteKeyValue(t.Context(), topology.BucketWebhooks))
	f.eventually(func() bool { return f.logs.FilterMessage("registrations not followed, trying again").Len() > 0 }, "the loss is noticed")
	assert.Len(t, f.matches(), 2, "what is known is kept")

	f.makeBucket()
	f.put(registration("w1", 6))
	f.eventually(func() bool { return consumers(t, f.js) > 0 }, "the new bucket is watched")
	assert.Len(t, f.matches(), 2, "the rest may still be on its way")

	f.putRaw(topology.KeyProjected, []byte("2"))
	f.eventually(func() bool { return len(f.matches()) == 1 }, "w2 is not there any more")
	assert.EqualValues(t, 6, f.Get("w1").Revision)
}

// delivered is what the registry's consumer has been sent.
func delivered(t *testing.T, js jetstream.JetStream) (values uint64) {
	t.Helper()
	stream, err := js.Stream(t.Context(), "KV_"+topology.BucketWebhooks)
	require.NoError(t, err)
	for info := range stream.ListConsumers(t.Context()).Info() {
		values += info.Delivered.Consumer
	}
	return values
}

func consumers(t *testing.T, js jetstream.JetStream) int {
	t.Helper()
	stream, err := js.Stream(t.Context(), "KV_"+topology.BucketWebhooks)
	require.NoError(t, err)
	return stream.CachedInfo().State.Consumers
}

func TestCase37AnOldBackupBringsNothingBack(t *testing.T) {
	f := start(t)
	current := registration("w1", 5)
	current.Url = "https://new.example/"
	f.put(current)
	f.put(registration("w2", 5))
	f.projected()
	f.put(&webhooksv1.Registration{Id: "w2", ProjectId: "p1", Revision: 6, Deleted: true})
	f.eventually(func() bool { return f.Get("w2") == nil }, "deleted")
	w1 := f.Get("w1")

	require.NoError(t, f.js.DeleteKeyValue(t.Context(), topology.BucketWebhooks))
	f.makeBucket()
	f.put(registration("w1", 4))
	f.put(registration("w2", 4))
	f.putRaw(topology.KeyProjected, []byte("1"))
	f.eventually(func() bool { return f.logs.FilterMessage("registrations loaded").Len() == 2 }, "loaded again")

	assert.Nil(t, f.Get("w2"), "a deleted webhook does not come back to life")
	assert.Same(t, w1, f.Get("w1"), "and a newer revision stays")
}

func TestARestartOfTheServerIsSurvived(t *testing.T) {
	f := start(t)
	f.put(registration("w1", 1))
	f.projected()

	f.server.Shutdown()
	assert.Equal(t, []string{"w1"}, f.matches(), "without NATS")
	f.server.Restart()
	f.eventually(func() bool {
		data, err := proto.Marshal(registration("w2", 1))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		bucket, err := f.js.KeyValue(ctx, topology.BucketWebhooks)
		if err != nil {
			return false
		}
		_, err = bucket.Put(ctx, "p1.w2", data)
		return err == nil
	}, "written again")

	f.eventually(func() bool { return len(f.matches()) == 2 }, "followed again")
}

func TestGoneHoldsUntilTheRegistrationChanges(t *testing.T) {
	f := start(t)
	f.put(registration("w1", 1))
	f.projected()
	f.Get("w1").MarkGone()
	assert.False(t, f.wanted("p1", event.ConversationStarted))

	f.put(registration("w1", 1))
	f.passed()
	assert.False(t, f.wanted("p1", event.ConversationStarted), "the same revision says nothing new")

	f.put(registration("w1", 2))
	f.eventually(func() bool { return f.wanted("p1", event.ConversationStarted) }, "enabled again by its host")
}
