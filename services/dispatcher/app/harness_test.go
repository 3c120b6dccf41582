package app_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/app"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 30 * time.Second
	tick     = 5 * time.Millisecond
	project  = "p1"
)

// story is a NATS server, one or more dispatchers, and everything around them.
type story struct {
	t        *testing.T
	server   *natstest.Server
	nc       *nats.Conn
	js       jetstream.JetStream
	config   app.Config
	box      *secret.Box
	records  chan *webhooksv1.Attempt
	revision uint64
}

func begin(t *testing.T, options ...natstest.Option) *story {
	t.Helper()
	server := natstest.Start(t, append(options, natstest.Embedded())...)
	s := &story{t: t, server: server, records: make(chan *webhooksv1.Attempt, 10000)}
	s.nc = s.server.Connect(t)
	js, err := jetstream.New(s.nc)
	require.NoError(t, err)
	s.js = js
	keyset, err := secret.NewKeyset()
	require.NoError(t, err)
	s.box, err = secret.OpenKeyset(keyset)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, os.WriteFile(file, keyset, 0o600))
	s.config, err = app.LoadConfigFrom(map[string]string{
		"NATS_URL": s.server.URL(), "SECRETS_KEYSET_FILE": file, "ADMIN_BASE_URL": "https://dashboard.example.org",
		"OPS_ADDR": "127.0.0.1:0", "SHUTDOWN_GRACE": "5s", "RETRY_FIRST": "50ms", "RETRY_MULTIPLIER": "1", "RETRY_ATTEMPTS": "4",
	})
	require.NoError(t, err)
	s.config.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	require.NoError(t, topology.Ensure(t.Context(), s.js, streams()))
	s.record()
	return s
}

// streams is how the api keeps them by default.
func streams() topology.Settings {
	return topology.Settings{Replicas: 1, EventsMaxAge: 720 * time.Hour, DuplicateWindow: 10 * time.Minute}
}

// record plays the api: it takes the records as they are written.
func (s *story) record() {
	s.t.Helper()
	consumer, err := s.js.CreateOrUpdateConsumer(s.t.Context(), topology.StreamAttempts,
		topology.Record(topology.Consumption{AckWait: time.Minute, MaxAckPending: 1000}))
	require.NoError(s.t, err)
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		var batch webhooksv1.AttemptBatch
		if proto.Unmarshal(msg.Data(), &batch) == nil {
			for _, attempt := range batch.GetAttempts() {
				s.records <- attempt
			}
		}
		_ = msg.Ack() // what is not acknowledged comes again
	})
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		consuming.Stop()
		<-consuming.Closed()
	})
}

// dispatcher is one process.
type dispatcher struct {
	*app.App

	stop  context.CancelFunc
	ended chan error
}

// dispatch starts one and waits until it is ready.
func (s *story) dispatch() *dispatcher {
	s.t.Helper()
	d := s.start()
	select {
	case <-d.Ready():
	case err := <-d.ended:
		require.NoError(s.t, err)
		require.Fail(s.t, "ended before it was ready")
	case <-time.After(patience):
		require.Fail(s.t, "not ready")
	}
	// A short story would end before the last of them was made.
	s.eventually(func() bool {
		for _, part := range topology.Intake(topology.Consumption{}) {
			if _, err := s.js.Consumer(s.t.Context(), topology.StreamEvents, part.Durable); err != nil {
				return false
			}
		}
		return true
	}, "every part has a consumer")
	return d
}

func (s *story) start() *dispatcher {
	s.t.Helper()
	made, err := app.New(s.config, "1.2.3", zaptest.NewLogger(s.t))
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	d := &dispatcher{App: made, stop: cancel, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.ended <- made.Run(ctx)
	}()
	s.t.Cleanup(func() {
		cancel()
		<-done
	})
	return d
}

// stopped stops it and returns how long that took.
func (d *dispatcher) stopped(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	d.stop()
	select {
	case err := <-d.ended:
		require.NoError(t, err)
	case <-time.After(patience):
		require.Fail(t, "did not stop")
	}
	return time.Since(began)
}

// registers writes a registration, as the api's projection does.
func (s *story) registers(id, url string, change ...func(*webhooksv1.Registration)) {
	s.t.Helper()
	s.revision++
	r := &webhooksv1.Registration{
		Id: id, ProjectId: project, Revision: s.revision, Url: url, Enabled: true, Events: event.Types(),
	}
	for _, f := range change {
		f(r)
	}
	data, err := proto.Marshal(r)
	require.NoError(s.t, err)
	s.put(topology.KeyRegistration(project, id), data)
}

func (s *story) projected() {
	s.t.Helper()
	s.put(topology.KeyProjected, []byte("1"))
}

func (s *story) put(key string, value []byte) {
	s.t.Helper()
	bucket, err := s.js.KeyValue(s.t.Context(), topology.BucketWebhooks)
	require.NoError(s.t, err)
	_, err = bucket.Put(s.t.Context(), key, value)
	require.NoError(s.t, err)
}

func (s *story) publishes(ids ...string) {
	s.t.Helper()
	p, err := publisher.New(s.nc)
	require.NoError(s.t, err)
	for _, id := range ids {
		require.NoError(s.t, p.Publish(s.t.Context(), sample(id)))
	}
}

func sample(id string) *webhooksv1.Event {
	return payload.Sample(event.ConversationStarted, &webhooksv1.Project{Id: project}, id, time.Now())
}

// wantRecords waits for as many records and returns them in the order in which
// they were written.
func (s *story) wantRecords(count int) []*webhooksv1.Attempt {
	s.t.Helper()
	deadline := time.After(patience)
	var got []*webhooksv1.Attempt
	for len(got) < count {
		select {
		case record := <-s.records:
			got = append(got, record)
		case <-deadline:
			require.Failf(s.t, "records are missing", "%d of %d: %v", len(got), count, got)
		}
	}
	return got
}

func (s *story) wantOutcomes(want ...webhooksv1.Outcome) []*webhooksv1.Attempt {
	s.t.Helper()
	records := s.wantRecords(len(want))
	var got []webhooksv1.Outcome
	for _, record := range records {
		got = append(got, record.GetOutcome())
	}
	require.Equal(s.t, want, got)
	return records
}

func (s *story) wantNoMoreRecords() {
	s.t.Helper()
	select {
	case record := <-s.records:
		require.Failf(s.t, "one record too many", "%v", record)
	default:
	}
}

// wantSettled waits until both consumers have nothing left and nothing is
// scheduled.
func (s *story) wantSettled() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		pending, unacknowledged := s.intake()
		return pending == 0 && unacknowledged == 0 && s.messages(topology.StreamDeliveries) == 0
	}, patience, tick, "not everything was settled")
}

// intake is what the intake's consumers have before them, all together.
func (s *story) intake() (pending uint64, unacknowledged int) {
	for _, part := range topology.Intake(topology.Consumption{}) {
		p, u := s.consumer(topology.StreamEvents, part.Durable)
		pending += p
		unacknowledged += u
	}
	return pending, unacknowledged
}

func (s *story) consumer(stream, name string) (pending uint64, unacknowledged int) {
	consumer, err := s.js.Consumer(s.t.Context(), stream, name)
	if err != nil {
		return 1, 1 // not made yet
	}
	info := consumer.CachedInfo()
	return info.NumPending, info.NumAckPending
}

func (s *story) messages(name string) uint64 {
	stream, err := s.js.Stream(s.t.Context(), name)
	if err != nil {
		return 1
	}
	return stream.CachedInfo().State.Msgs
}

// receiver is a webhook's endpoint that answers as it is told.
type receiver struct {
	*httptest.Server

	mu       sync.Mutex
	attempts []received
	answer   http.HandlerFunc
}

type received struct {
	header http.Header
	body   string
	at     time.Time
}

// answers starts a receiver that answers with these statuses, the last of them
// for ever.
func (s *story) answers(statuses ...int) *receiver {
	next := make(chan int, len(statuses))
	for _, status := range statuses {
		next <- status
	}
	last := statuses[len(statuses)-1]
	return s.handles(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case status := <-next:
			w.WriteHeader(status)
		default:
			w.WriteHeader(last)
		}
	})
}

func (s *story) handles(answer http.HandlerFunc) *receiver {
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body) // an attempt that was cut short has no whole body
		r.mu.Lock()
		r.attempts = append(r.attempts, received{header: request.Header.Clone(), body: string(body), at: time.Now()})
		answer := r.answer
		r.mu.Unlock()
		answer(w, request)
	}))
	s.t.Cleanup(r.Close)
	return r
}

func (r *receiver) got() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.attempts...)
}

// deliveries counts the attempts of each event.
func (r *receiver) deliveries() map[string]int {
	counts := map[string]int{}
	for _, attempt := range r.got() {
		counts[attempt.header.Get("X-Dembrane-Delivery")]++
	}
	return counts
}

func ids(prefix string, count int) []string {
	list := make([]string, count)
	for i := range list {
		list[i] = prefix + strconv.Itoa(i)
	}
	return list
}
