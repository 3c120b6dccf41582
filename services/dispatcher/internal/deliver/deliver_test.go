package deliver

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/eventbody"
	"github.com/dembrane/webhooks/services/dispatcher/internal/limiter"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

const patience = 20 * time.Second

// fixture is a deliverer with a real NATS and one webhook, w1.
type fixture struct {
	*Deliverer

	t        *testing.T
	server   *natstest.Server
	js       jetstream.JetStream
	attempts atomic.Int32
	running  sync.WaitGroup
	ahead    time.Duration // of the server's clock
}

func start(t *testing.T, answer http.HandlerFunc) *fixture {
	t.Helper()
	f := &fixture{t: t, server: natstest.Start(t, natstest.Embedded())}
	js, err := jetstream.New(f.server.Connect(t))
	require.NoError(t, err)
	f.js = js
	require.NoError(t, topology.Ensure(t.Context(), js, topology.Settings{
		Replicas: 1, EventsMaxAge: time.Hour, DuplicateWindow: time.Minute,
	}))
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client has gone
		f.attempts.Add(1)
		answer(w, r)
	}))
	t.Cleanup(receiver.Close)
	client := egress.New(egress.Options{Policy: egress.NewPolicy([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})})
	t.Cleanup(client.Close)
	limits := limiter.New(limiter.Limits{Concurrency: 4, MaxWait: time.Second, MaxInFlight: 100, MaxWaiting: 100, MaxBytes: 1 << 20}, func(limiter.Hint) {})
	t.Cleanup(limits.Close)
	f.Deliverer = New(Deps{
		Registry: f.registered(receiver.URL), Client: client, JetStream: js, Log: zaptest.NewLogger(t),
		Metrics: prometheus.NewRegistry(), Retries: Retries{Attempts: 3, First: time.Hour, Multiplier: 1},
		Limiter: limits, ServerTime: func(at time.Time) time.Time { return at.Add(f.ahead) },
	})
	return f
}

// registered is a registry that has loaded the one webhook.
func (f *fixture) registered(url string) *registry.Registry {
	f.t.Helper()
	bucket, err := f.js.KeyValue(f.t.Context(), topology.BucketWebhooks)
	require.NoError(f.t, err)
	data, err := proto.Marshal(&webhooksv1.Registration{Id: "w1", ProjectId: "p1", Revision: 1, Url: url, Enabled: true})
	require.NoError(f.t, err)
	for key, value := range map[string][]byte{"p1.w1": data, topology.KeyProjected: []byte("1")} {
		_, err = bucket.Put(f.t.Context(), key, value)
		require.NoError(f.t, err)
	}
	webhooks := registry.Open(nil, zaptest.NewLogger(f.t))
	ctx, cancel := context.WithCancel(f.t.Context())
	var running sync.WaitGroup
	running.Go(func() { assert.NoError(f.t, webhooks.Run(ctx, f.js)) })
	f.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	select {
	case <-webhooks.Ready():
	case <-time.After(patience):
		require.Fail(f.t, "registry not ready")
	}
	return webhooks
}

// drain ends the deliverer as the process does.
func (f *fixture) drain() {
	f.Stop()
	f.running.Wait()
	f.Close()
}

// begin delivers without waiting; the channel tells what became of it.
func (f *fixture) begin(ctx context.Context, x Delivery) <-chan error {
	settled := make(chan error, 1)
	f.running.Go(func() { settled <- f.Deliver(ctx, x) })
	return settled
}

// records reads what was written to ATTEMPTS.
func (f *fixture) records() []*webhooksv1.Attempt {
	f.t.Helper()
	stream, err := f.js.Stream(f.t.Context(), topology.StreamAttempts)
	require.NoError(f.t, err)
	var all []*webhooksv1.Attempt
	for sequence := uint64(1); sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		msg, err := stream.GetMsg(f.t.Context(), sequence)
		require.NoError(f.t, err)
		var batch webhooksv1.AttemptBatch
		require.NoError(f.t, proto.Unmarshal(msg.Data, &batch))
		all = append(all, batch.GetAttempts()...)
	}
	return all
}

func (f *fixture) stored(name string) uint64 {
	f.t.Helper()
	stream, err := f.js.Stream(f.t.Context(), name)
	require.NoError(f.t, err)
	return stream.CachedInfo().State.Msgs
}

// ranges reads what was written to RANGES.
func (f *fixture) ranges() []*webhooksv1.Range {
	f.t.Helper()
	stream, err := f.js.Stream(f.t.Context(), topology.StreamRanges)
	require.NoError(f.t, err)
	var all []*webhooksv1.Range
	for sequence := uint64(1); sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		msg, err := stream.GetMsg(f.t.Context(), sequence)
		require.NoError(f.t, err)
		r := &webhooksv1.Range{}
		require.NoError(f.t, proto.Unmarshal(msg.Data, r))
		all = append(all, r)
	}
	return all
}

func text(context.Context, chat.Format) (*eventbody.Body, error) {
	return &eventbody.Body{Bytes: []byte("{}"), OccurredAt: noon}, nil
}

func owed(body func(context.Context, chat.Format) (*eventbody.Body, error), number int, attempt uint32) Delivery {
	return Delivery{
		ID: "dlv_" + strconv.Itoa(number), EventID: "evt_" + strconv.Itoa(number), EventType: "conversation.started",
		ProjectID: "p1", WebhookID: "w1", Sequence: uint64(number), Attempt: attempt,
		Trigger: webhooksv1.Trigger_TRIGGER_EVENT, OwedSince: time.Now(), Body: body,
	}
}

func answers(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

func TestCase32APanicCostsOneAttempt(t *testing.T) {
	f := start(t, answers(200))
	poison := func(context.Context, chat.Format) (*eventbody.Body, error) { panic("poison") }

	require.NoError(t, f.Deliver(t.Context(), owed(poison, 1, 1)))
	require.NoError(t, f.Deliver(t.Context(), owed(poison, 2, 3)))
	require.NoError(t, f.Deliver(t.Context(), owed(text, 3, 1)))

	f.drain()
	records := f.records()
	require.Len(t, records, 3)
	assert.Equal(t, webhooksv1.Outcome_OUTCOME_RETRY, records[0].GetOutcome())
	assert.Equal(t, webhooksv1.Reason_REASON_INTERNAL, records[0].GetReason())
	assert.Equal(t, webhooksv1.Outcome_OUTCOME_EXHAUSTED, records[1].GetOutcome(), "it does not come back for ever")
	assert.Equal(t, webhooksv1.Reason_REASON_INTERNAL, records[1].GetReason())
	assert.Equal(t, webhooksv1.Outcome_OUTCOME_DELIVERED, records[2].GetOutcome())
	assert.EqualValues(t, 1, f.stored(topology.StreamDeliveries))
	assert.Zero(t, f.limiter.Load().InFlight, "no place is lost")
}

func TestAPanicInATestIsItsResult(t *testing.T) {
	f := start(t, answers(200))
	w, _ := f.registry.Find(t.Context(), "p1", "w1")
	broken := f.client
	f.client = nil // what a mistake of ours looks like

	record, err := f.Test(t.Context(), owed(text, 1, 1), w)

	f.client = broken
	require.NoError(t, err)
	assert.Equal(t, webhooksv1.Reason_REASON_INTERNAL, record.GetReason())
	f.drain()
}

func TestATestThatIsCutShortHasNoResult(t *testing.T) {
	f := start(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cut := context.WithCancel(t.Context())
	w, _ := f.registry.Find(t.Context(), "p1", "w1")
	go func() {
		for f.attempts.Load() == 0 {
			runtime.Gosched()
		}
		cut()
	}()

	_, err := f.Test(ctx, owed(text, 1, 1), w)

	require.ErrorIs(t, err, ErrStopping)
	f.drain()
	assert.Empty(t, f.records())
}

func TestAnEventThatCannotBeLoadedIsHandedBackUncounted(t *testing.T) {
	f := start(t, answers(200))
	away := errors.New("jetstream is away")

	err := f.Deliver(t.Context(), owed(func(context.Context, chat.Format) (*eventbody.Body, error) { return nil, away }, 1, 1))

	require.ErrorIs(t, err, away)
	f.drain()
	assert.Empty(t, f.records())
	assert.Zero(t, f.stored(topology.StreamDeliveries))
	assert.Zero(t, f.limiter.Load().InFlight)
}

// One cause with many deliveries, some of which could not be begun: handed back, it
// would have the others made a second time.
func TestOnlyWhatWasNotMadeOfACauseComesAgain(t *testing.T) {
	f := start(t, answers(200))
	away := errors.New("jetstream is away")
	list := []Delivery{owed(text, 1, 2), owed(text, 2, 2), owed(text, 3, 2)}

	require.NoError(t, f.Rest(list, []error{nil, nil, nil}))
	require.ErrorIs(t, f.Rest(list, []error{away, away, away}), away, "nothing was made: all of it may come again")
	unusable := &eventbody.UnusableError{Reason: "it is no event"}
	require.ErrorIs(t, f.Rest(list, []error{nil, unusable, nil}), unusable)
	require.Empty(t, f.ranges())
	require.NoError(t, f.Rest(list, []error{away, nil, ErrNotKnown}))

	f.drain()
	require.Len(t, f.ranges(), 1)
	left := f.ranges()[0]
	assert.Equal(t, []string{"evt_1", "evt_3"}, left.GetEventIds())
	assert.EqualValues(t, 2, left.GetAttempt(), "uncounted")
	require.Error(t, f.Rest(list, []error{away, nil, nil}), "nothing can be stored any more")
}

func TestABodyWithoutMemoryWaitsUncounted(t *testing.T) {
	f := start(t, answers(200))

	err := f.Deliver(t.Context(), owed(func(context.Context, chat.Format) (*eventbody.Body, error) { return nil, eventbody.ErrNoMemory }, 1, 1))

	require.NoError(t, err)
	f.drain()
	assert.Empty(t, f.records())
	require.Len(t, f.ranges(), 1)
	assert.EqualValues(t, 1, f.ranges()[0].GetAttempt())
}

func TestNothingIsSettledBeforeItIsStored(t *testing.T) {
	f := start(t, answers(500))
	f.server.Shutdown()

	settled := f.begin(t.Context(), owed(text, 1, 1))
	require.Eventually(t, func() bool { return f.attempts.Load() == 1 && f.storage.Refused() == 1 }, patience, time.Millisecond)
	require.Empty(t, settled, "settled while nothing could be stored")
	f.server.Restart()

	require.NoError(t, <-settled)
	f.drain()
	assert.NotEmpty(t, f.records())
	assert.EqualValues(t, 1, f.stored(topology.StreamDeliveries))
	assert.EqualValues(t, 1, f.attempts.Load(), "a receiver is not asked again because nothing could be stored")
}

// While JetStream stores nothing, no attempt begins: its record could not be kept.
func TestNoAttemptBeginsWhileNothingIsStored(t *testing.T) {
	f := start(t, answers(200))
	f.server.Shutdown()
	first := f.begin(t.Context(), owed(text, 1, 1))
	require.Eventually(t, func() bool { return f.storage.Refused() == 1 }, patience, time.Millisecond)

	var others []<-chan error
	for number := range 20 {
		others = append(others, f.begin(t.Context(), owed(text, 2+number, 1)))
	}
	f.server.Restart()

	require.NoError(t, <-first)
	for _, settled := range others {
		require.NoError(t, <-settled)
	}
	f.drain()
	assert.EqualValues(t, 21, f.attempts.Load())
	assert.GreaterOrEqual(t, len(f.records()), 21)
}

func TestADrainWithoutJetStreamHandsEverythingBack(t *testing.T) {
	f := start(t, answers(500))
	f.server.Shutdown()
	ctx, cut := context.WithCancel(t.Context())
	var all []<-chan error
	for number := range 50 {
		all = append(all, f.begin(ctx, owed(text, number+1, 1)))
	}

	f.Stop()
	cut()
	f.Close()

	for _, settled := range all {
		require.Error(t, <-settled)
	}
	require.Error(t, f.Deliver(t.Context(), owed(text, 99, 1)), "nothing begins any more")
}

func TestAStopCutsAttemptsShortAfterTheGrace(t *testing.T) {
	f := start(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cut := context.WithCancel(t.Context())
	var all []<-chan error
	for number := range 10 { // two under way, eight in line
		all = append(all, f.begin(ctx, owed(text, number+1, 1)))
	}
	require.Eventually(t, func() bool { return f.attempts.Load() == 2 && f.limiter.Load().Waiting == 8 }, patience, time.Millisecond)

	f.Stop()
	cut()

	for _, settled := range all {
		require.NoError(t, <-settled)
	}
	f.drain()
	assert.Empty(t, f.records(), "none has used up an attempt")
	assert.EqualValues(t, 2, f.attempts.Load())
	parked := map[string]bool{}
	for _, r := range f.ranges() {
		assert.EqualValues(t, 1, r.GetAttempt())
		for _, id := range r.GetEventIds() {
			parked[id] = true
		}
	}
	assert.Len(t, parked, 10)
}
