package deliverylog_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/deliverylog"
	"github.com/dembrane/webhooks/services/api/internal/health"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

type world struct {
	t         *testing.T
	mongo     *mongotest.Server
	nats      *natstest.Server
	store     *store.Store
	js        jetstream.JetStream
	projected atomic.Int32
	throttled atomic.Int32
}

func newWorld(t *testing.T) *world {
	t.Helper()
	mongo := mongotest.StartEmbedded(t)
	s, err := store.Open(t.Context(), mongo.URI(), mongo.Database(), zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close(context.Background())) })
	require.NoError(t, s.Prepare(t.Context()))
	mongo.IndexIDs()
	server := natstest.Start(t, natstest.Embedded())
	js, err := jetstream.New(server.Connect(t))
	require.NoError(t, err)
	w := &world{t: t, mongo: mongo, nats: server, store: s, js: js}
	w.ensure()
	return w
}

func (w *world) ensure() {
	w.t.Helper()
	settings := topology.Settings{Replicas: 1, EventsMaxAge: time.Hour, DuplicateWindow: time.Minute}
	require.NoError(w.t, topology.Ensure(w.t.Context(), w.js, settings))
}

// attempts lets a test put itself between the recorder and its store.
type attempts interface {
	InsertAttempts(ctx context.Context, list []*webhooksv1.Attempt) (store.Recorded, error)
	AppendLog(ctx context.Context, projectID, webhookID string, list []*webhooksv1.LogEntry, recorded func(id string) bool) error
	MergeHealth(ctx context.Context, webhookID string, known store.Health) (store.Health, error)
	Disable(ctx context.Context, projectID, webhookID string, revision int64, reason store.DisabledReason) (bool, error)
	Expire(ctx context.Context, before time.Time, limit int64) (int, error)
	LogHeads(ctx context.Context) ([]store.LogHead, error)
	OldestPage(ctx context.Context, h store.LogHead) (time.Time, error)
	DropPage(ctx context.Context, h store.LogHead) (rest store.LogHead, dropped int, err error)
	ExpireTail(ctx context.Context, h store.LogHead, before time.Time) (int, error)
	ForgetLog(ctx context.Context, h store.LogHead) (bool, error)
	Load(ctx context.Context, webhookID string) (store.Webhook, error)
	Tell(ctx context.Context, webhookID string, told store.Told) error
	CountExhausted(ctx context.Context, webhookID string, since time.Time, limit int64) (int, error)
}

func (w *world) recorder(s attempts) *deliverylog.Recorder {
	registry := prometheus.NewRegistry()
	return deliverylog.New(deliverylog.Deps{
		Store: s, JS: w.js, Log: zap.NewNop(), Metrics: deliverylog.NewMetrics(registry),
		Health: health.New(health.Deps{
			Store: s, NATS: w.js.Conn(), Log: zap.NewNop(), Metrics: health.NewMetrics(registry),
			Project: func(context.Context, string, string) { w.projected.Add(1) },
		}),
		Throttle: func(context.Context, time.Duration) { w.throttled.Add(1) },
	})
}

// run records until the test ends, or until the returned function is called.
func (w *world) run(s attempts) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	recorder := w.recorder(s)
	go func() { ended <- recorder.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(w.t, <-ended)
	})
	w.t.Cleanup(stop)
	return stop
}

func (w *world) create() store.Webhook {
	w.t.Helper()
	made, err := w.store.Create(w.t.Context(), store.Webhook{
		ID: registration.NewID(), ProjectID: "p1", Name: "CRM", URL: "https://example.org/hook",
		Events: []string{"report.generated"}, Status: registration.Published, CreatedAt: time.Now().UTC(),
	}, 50)
	require.NoError(w.t, err)
	return made
}

func attemptOf(made store.Webhook, outcome webhooksv1.Outcome, status uint32) *webhooksv1.Attempt {
	return &webhooksv1.Attempt{
		Id: ulid.Make().String(), ProjectId: made.ProjectID, WebhookId: made.ID, WebhookRevision: uint64(made.Revision),
		StartedAt: timestamppb.Now(), Outcome: outcome, StatusCode: status, Trigger: webhooksv1.Trigger_TRIGGER_EVENT,
	}
}

func (w *world) publish(list ...*webhooksv1.Attempt) {
	w.t.Helper()
	data, err := proto.Marshal(&webhooksv1.AttemptBatch{Attempts: list})
	require.NoError(w.t, err)
	w.publishRaw(data)
}

func (w *world) publishRaw(data []byte) {
	w.t.Helper()
	_, err := w.js.Publish(w.t.Context(), topology.SubjectAttempts, data)
	require.NoError(w.t, err)
}

func (w *world) wantRecords(id string, count int) {
	w.t.Helper()
	require.EventuallyWithT(w.t, func(c *assert.CollectT) {
		got, err := w.store.CountAttempts(w.t.Context(), id)
		require.NoError(c, err)
		assert.Equal(c, count, got)
	}, patience, 10*time.Millisecond)
}

// wantDrained waits until the stream holds nothing: everything is acknowledged.
func (w *world) wantDrained() {
	w.t.Helper()
	require.EventuallyWithT(w.t, func(c *assert.CollectT) { assert.Zero(c, w.waiting()) }, patience, 10*time.Millisecond)
}

func (w *world) waiting() uint64 {
	stream, err := w.js.Stream(w.t.Context(), topology.StreamAttempts)
	require.NoError(w.t, err)
	return stream.CachedInfo().State.Msgs
}

func TestRecordsAndHealth(t *testing.T) {
	w := newWorld(t)
	good, bad := w.create(), w.create()
	w.run(w.store)
	w.publish(attemptOf(good, webhooksv1.Outcome_OUTCOME_DELIVERED, 200), attemptOf(bad, webhooksv1.Outcome_OUTCOME_RETRY, 500))
	w.publish(attemptOf(good, webhooksv1.Outcome_OUTCOME_DELIVERED, 202))
	w.wantRecords(good.ID, 2)
	w.wantRecords(bad.ID, 1)
	w.wantDrained()

	var got store.Webhook
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		var err error
		got, err = w.store.Get(t.Context(), "p1", good.ID)
		require.NoError(c, err)
		assert.Equal(c, 202, got.Health.LastStatusCode)
	}, patience, 10*time.Millisecond)
	assert.NotNil(t, got.Health.LastSuccessAt)
	assert.Nil(t, got.Health.FailingSince)
	assert.EqualValues(t, 1, got.Revision)
	assert.Positive(t, w.throttled.Load(), "whoever has a throttle is asked between batches")
	got, err := w.store.Get(t.Context(), "p1", bad.ID)
	require.NoError(t, err)
	assert.NotNil(t, got.Health.FailingSince)
	assert.Zero(t, w.projected.Load())
}

func TestDuplicatesAreHarmless(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	one, two := attemptOf(made, webhooksv1.Outcome_OUTCOME_RETRY, 500), attemptOf(made, webhooksv1.Outcome_OUTCOME_DELIVERED, 200)
	w.run(w.store)
	w.publish(one)
	w.publish(one, two)
	w.publish(two, one)
	w.wantDrained()
	w.wantRecords(made.ID, 2)
	got, err := w.store.Get(t.Context(), "p1", made.ID)
	require.NoError(t, err)
	assert.Nil(t, got.Health.FailingSince, "the success came after the failure, however often they are told")
}

func TestPoisonDoesNotBlock(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	noID, noTime, noWebhook := attemptOf(made, 1, 200), attemptOf(made, 1, 200), attemptOf(made, 1, 200)
	noID.Id, noTime.StartedAt, noWebhook.WebhookId = "x", nil, "a.b"
	w.publishRaw([]byte("\xff\xff not protobuf"))
	w.publish(noID, attemptOf(made, webhooksv1.Outcome_OUTCOME_DELIVERED, 200), noTime, noWebhook)
	w.publishRaw(nil)
	w.run(w.store)
	w.wantRecords(made.ID, 1)
	w.wantDrained()
}

// Contract: 410 disables the webhook. Nasty case 19.
func TestGoneDisables(t *testing.T) {
	w := newWorld(t)
	made, changed, tried := w.create(), w.create(), w.create()
	before := attemptOf(changed, webhooksv1.Outcome_OUTCOME_GONE, 410)
	_, err := w.store.Change(t.Context(), "p1", changed.ID, func(h *store.Webhook) error {
		h.URL = "https://example.org/new"
		return nil
	})
	require.NoError(t, err)
	test := attemptOf(tried, webhooksv1.Outcome_OUTCOME_GONE, 410)
	test.Trigger = webhooksv1.Trigger_TRIGGER_TEST
	w.run(w.store)
	w.publish(attemptOf(made, webhooksv1.Outcome_OUTCOME_GONE, 410), before, test)
	w.wantDrained()

	got, err := w.store.Get(t.Context(), "p1", made.ID)
	require.NoError(t, err)
	assert.False(t, got.Status.Enabled())
	assert.Equal(t, store.DisabledGone, got.DisabledReason)
	assert.EqualValues(t, 2, got.Revision)
	assert.EqualValues(t, 1, w.projected.Load(), "projected at once, and once")
	for _, other := range []store.Webhook{changed, tried} {
		got, err = w.store.Get(t.Context(), "p1", other.ID)
		require.NoError(t, err)
		assert.True(t, got.Status.Enabled())
	}
}

// Nasty case 36: nothing is acknowledged while MongoDB is away, and the log
// catches up by itself.
func TestDatabaseDownAndBack(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	w.run(w.store)
	w.publish(attemptOf(made, webhooksv1.Outcome_OUTCOME_DELIVERED, 200))
	w.wantRecords(made.ID, 1)
	w.wantDrained()

	w.mongo.Stop()
	for range 5 {
		w.publish(attemptOf(made, webhooksv1.Outcome_OUTCOME_DELIVERED, 200))
	}
	require.Error(t, w.store.Ping(t.Context()))
	assert.EqualValues(t, 5, w.waiting())

	w.mongo.Restart()
	w.wantRecords(made.ID, 6)
	w.wantDrained()
}

// failing fails the first call of a kind.
type failing struct {
	*store.Store

	inserted, health, disable atomic.Int32
}

var errInjected = errors.New("injected")

func (f *failing) InsertAttempts(ctx context.Context, list []*webhooksv1.Attempt) (store.Recorded, error) {
	recorded, err := f.Store.InsertAttempts(ctx, list)
	if f.inserted.Add(1) == 1 {
		return store.Recorded{}, errInjected // it was written, and nobody knows
	}
	return recorded, err
}

func (f *failing) MergeHealth(ctx context.Context, id string, known store.Health) (store.Health, error) {
	if f.health.Add(1) == 1 {
		return store.Health{}, errInjected
	}
	return f.Store.MergeHealth(ctx, id, known)
}

func (f *failing) Disable(ctx context.Context, projectID, id string, revision int64, reason store.DisabledReason) (bool, error) {
	if f.disable.Add(1) == 1 {
		return false, errInjected
	}
	return f.Store.Disable(ctx, projectID, id, revision, reason)
}

func TestEveryStepIsRepeatedUntilItSucceeds(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	w.run(&failing{Store: w.store})
	w.publish(attemptOf(made, webhooksv1.Outcome_OUTCOME_GONE, 410))
	w.wantDrained()
	w.wantRecords(made.ID, 1)
	got, err := w.store.Get(t.Context(), "p1", made.ID)
	require.NoError(t, err)
	assert.False(t, got.Status.Enabled())
	assert.Equal(t, 410, got.Health.LastStatusCode)
}

// refusing never takes anything.
type refusing struct {
	*store.Store

	asked chan struct{}
}

func (r *refusing) InsertAttempts(context.Context, []*webhooksv1.Attempt) (store.Recorded, error) {
	select {
	case r.asked <- struct{}{}:
	default:
	}
	return store.Recorded{}, errInjected
}

// What a stopping replica holds is handed back at once, not after the ack wait.
func TestStopHandsBack(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	stuck := &refusing{Store: w.store, asked: make(chan struct{}, 1)}
	stop := w.run(stuck)
	const count = 40 // more than one batch
	for range count {
		w.publish(attemptOf(made, webhooksv1.Outcome_OUTCOME_DELIVERED, 200))
	}
	<-stuck.asked
	stop()
	assert.EqualValues(t, count, w.waiting())

	w.run(w.store)
	w.wantRecords(made.ID, count)
	w.wantDrained()
}

func TestBrokerAndConsumerComeAndGo(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	w.run(w.store)
	w.publish(attemptOf(made, webhooksv1.Outcome_OUTCOME_DELIVERED, 200))
	w.wantRecords(made.ID, 1)

	require.NoError(t, w.js.DeleteConsumer(t.Context(), topology.StreamAttempts, topology.ConsumerRecord))
	w.publish(attemptOf(made, webhooksv1.Outcome_OUTCOME_DELIVERED, 200))
	w.wantRecords(made.ID, 2)

	w.nats.Restart()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, err := w.js.AccountInfo(t.Context())
		assert.NoError(c, err)
	}, patience, 20*time.Millisecond)
	w.publish(attemptOf(made, webhooksv1.Outcome_OUTCOME_DELIVERED, 200))
	w.wantRecords(made.ID, 3)
}

// The nats-server comes back with an empty store, and the streams are made again at
// any time after that: what is published then is recorded.
func TestAStoreThatWasWipedIsConsumedAgain(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	w.run(w.store)
	w.publish(attemptOf(made, webhooksv1.Outcome_OUTCOME_DELIVERED, 200))
	w.wantRecords(made.ID, 1)
	w.wantDrained()

	for i := range 2 {
		w.nats.Wipe()
		require.Eventually(t, w.js.Conn().IsConnected, patience, time.Millisecond)
		<-time.After(time.Duration(i) * time.Second)
		w.ensure()
		w.publish(attemptOf(made, webhooksv1.Outcome_OUTCOME_DELIVERED, 200))
		w.wantRecords(made.ID, 2+i)
	}
	w.wantDrained()
}
