package deliver

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
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
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/lane"
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
	f.Deliverer = New(Parts{
		Registry: f.registered(receiver.URL), Client: client, JetStream: js, Log: zaptest.NewLogger(t),
		Metrics: prometheus.NewRegistry(), Retries: Retries{Attempts: 3, First: time.Hour, Multiplier: 1},
		Lanes: lane.Limits{Concurrency: 4, MaxWait: time.Second, MaxInFlight: 100, MaxWaiting: 100, MaxLine: 100, MaxBytes: 1 << 20},
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

func (f *fixture) drain(patience, grace time.Duration) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.t.Context()), patience)
	defer cancel()
	f.Drain(ctx, grace)
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

func (f *fixture) scheduled() uint64 {
	f.t.Helper()
	stream, err := f.js.Stream(f.t.Context(), topology.StreamDeliveries)
	require.NoError(f.t, err)
	return stream.CachedInfo().State.Msgs
}

// source counts how often, and how, it is settled.
type source struct {
	body    func(context.Context) ([]byte, error)
	settled chan bool
}

func newSource(body func(context.Context) ([]byte, error)) *source {
	return &source{body: body, settled: make(chan bool, 10)}
}

func text(context.Context) ([]byte, error) { return []byte("{}"), nil }

func (s *source) Body(ctx context.Context) ([]byte, error) { return s.body(ctx) }

func (s *source) Settle(durable bool) { s.settled <- durable }

func (s *source) want(t *testing.T, durable bool) {
	t.Helper()
	select {
	case got := <-s.settled:
		require.Equal(t, durable, got)
	case <-time.After(patience):
		require.Fail(t, "never settled")
	}
	select {
	case <-s.settled:
		require.Fail(t, "settled twice")
	default:
	}
}

func owed(s Source, attempt uint32) *Delivery {
	return &Delivery{
		ID: "dlv_1", EventID: "evt_1", EventType: "conversation.started", ProjectID: "p1", WebhookID: "w1",
		Sequence: 1, Attempt: attempt, Trigger: webhooksv1.Trigger_TRIGGER_EVENT, Source: s,
	}
}

func answers(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

func TestCase32APanicCostsOneAttempt(t *testing.T) {
	f := start(t, answers(200))
	poison := func(context.Context) ([]byte, error) { panic("poison") }
	first, last, healthy := newSource(poison), newSource(poison), newSource(text)

	f.Deliver(owed(first, 1))
	first.want(t, true)
	f.Deliver(owed(last, 3))
	last.want(t, true)
	f.Deliver(owed(healthy, 1))
	healthy.want(t, true)

	f.drain(patience, patience)
	records := f.records()
	require.Len(t, records, 3)
	assert.Equal(t, webhooksv1.Outcome_OUTCOME_RETRY, records[0].GetOutcome())
	assert.Equal(t, webhooksv1.Reason_REASON_INTERNAL, records[0].GetReason())
	assert.Equal(t, webhooksv1.Outcome_OUTCOME_EXHAUSTED, records[1].GetOutcome(), "it does not come back for ever")
	assert.Equal(t, webhooksv1.Reason_REASON_INTERNAL, records[1].GetReason())
	assert.Equal(t, webhooksv1.Outcome_OUTCOME_DELIVERED, records[2].GetOutcome())
	assert.EqualValues(t, 1, f.scheduled())
	assert.Zero(t, f.lanes.Load().InFlight, "no slot is lost")
}

func TestAPanicInATestIsItsResult(t *testing.T) {
	f := start(t, answers(200))
	broken := f.client
	f.client = nil // what a mistake of ours looks like

	record := f.Try(t.Context(), owed(nil, 1), f.registry.Get("w1"), []byte("{}"))

	f.client = broken
	require.NotNil(t, record)
	assert.Equal(t, webhooksv1.Reason_REASON_INTERNAL, record.GetReason())
	f.drain(patience, patience)
	assert.Nil(t, f.Try(t.Context(), owed(nil, 1), nil, nil), "the process is stopping")
}

func TestAnEventThatCannotBeLoadedIsHandedBackUncounted(t *testing.T) {
	f := start(t, answers(200))
	s := newSource(func(context.Context) ([]byte, error) { return nil, errors.New("jetstream is away") })

	f.Deliver(owed(s, 1))

	s.want(t, false)
	f.drain(patience, patience)
	assert.Empty(t, f.records())
	assert.Zero(t, f.scheduled())
	assert.Zero(t, f.lanes.Load().InFlight)
}

func TestNothingIsSettledBeforeItIsStored(t *testing.T) {
	f := start(t, answers(500))
	f.server.Shutdown()
	s := newSource(text)

	f.Deliver(owed(s, 1))
	require.Eventually(t, func() bool { return f.attempts.Load() == 1 && f.lanes.Load().InFlight == 0 }, patience, time.Millisecond)
	select {
	case <-s.settled:
		require.Fail(t, "settled while nothing could be stored")
	default:
	}
	f.server.Restart()

	s.want(t, true)
	f.drain(patience, patience)
	assert.NotEmpty(t, f.records())
	assert.EqualValues(t, 1, f.scheduled())
}

func TestADrainWithoutJetStreamHandsEverythingBack(t *testing.T) {
	f := start(t, answers(500))
	f.server.Shutdown()
	sources := make([]*source, 50)
	for i := range sources {
		sources[i] = newSource(text)
		x := owed(sources[i], 1)
		f.Deliver(x)
	}

	began := time.Now()
	f.drain(time.Second, 100*time.Millisecond)

	assert.Less(t, time.Since(began), 5*time.Second)
	for _, s := range sources {
		s.want(t, false)
	}
	late := newSource(text)
	f.Deliver(owed(late, 1))
	late.want(t, false)
}

func TestADrainCutsAttemptsShortAfterTheGrace(t *testing.T) {
	f := start(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	sources := make([]*source, 10) // two under way, eight in line
	for i := range sources {
		sources[i] = newSource(text)
		f.Deliver(owed(sources[i], 1))
	}
	require.Eventually(t, func() bool { return f.attempts.Load() == 2 }, patience, time.Millisecond)

	f.drain(patience, 50*time.Millisecond)

	for _, s := range sources {
		s.want(t, true)
	}
	assert.Empty(t, f.records(), "none has used up an attempt")
	assert.EqualValues(t, 2, f.attempts.Load())
	assert.EqualValues(t, 1, f.scheduled(), "all of them, of which each replaces the one before: they are one delivery")
}

// Response headers once were not counted, so that a few receivers could make a
// batch larger than any message may be.
func TestBatchesStayFarBelowTheLargestMessage(t *testing.T) {
	f := start(t, answers(200))
	results := make(chan error, 300)
	for range 300 {
		record := &webhooksv1.Attempt{Id: "a", Response: &webhooksv1.Response{Body: make([]byte, 16<<10)}}
		for range maxRecordedHeaders {
			record.Response.Headers = append(record.Response.Headers, &webhooksv1.Header{Name: "X", Value: string(make([]byte, maxRecordedValue))})
		}
		f.journal.add(record, func(err error) { results <- err })
	}
	for range 300 {
		require.NoError(t, <-results)
	}
	f.drain(patience, patience)
	assert.Len(t, f.records(), 300)
	stream, err := f.js.Stream(t.Context(), topology.StreamAttempts)
	require.NoError(t, err)
	assert.Less(t, stream.CachedInfo().State.Bytes/stream.CachedInfo().State.Msgs, uint64(1<<20))
}

func TestARecordThatCannotBeEncodedTakesNoOtherWithIt(t *testing.T) {
	f := start(t, answers(200))
	results := make(chan error, 2)
	f.journal.add(&webhooksv1.Attempt{Id: "\xff"}, func(err error) { results <- err })
	require.Error(t, <-results)
	f.journal.add(&webhooksv1.Attempt{Id: "a"}, func(err error) { results <- err })
	require.NoError(t, <-results)
	f.drain(patience, patience)
	assert.Len(t, f.records(), 1)
}
