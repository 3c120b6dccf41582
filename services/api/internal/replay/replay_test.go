package replay

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/account"
	"github.com/dembrane/webhooks/services/api/internal/lease"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	project  = "p1"
	patience = 30 * time.Second
	// events are more than may be written down and not attempted, several times.
	events = 4 * minWindow
)

// world is a webhook that has missed everything. The test plays the dispatchers.
type world struct {
	t       *testing.T
	js      jetstream.JetStream
	mongo   *mongotest.Server
	store   *store.Store
	webhook store.Webhook
	came    []string // the ids of the events that were delivered
}

func newWorld(t *testing.T) *world {
	t.Helper()
	js, err := jetstream.New(natstest.Start(t, natstest.Embedded()).Connect(t))
	require.NoError(t, err)
	require.NoError(t, topology.Ensure(t.Context(), js, topology.Settings{
		Replicas: 1, EventsMaxAge: time.Hour, DuplicateWindow: time.Minute,
	}))
	w := &world{t: t, js: js, mongo: mongotest.StartEmbedded(t)}
	w.store = w.open()
	t.Cleanup(func() { assert.NoError(t, w.store.Close(context.Background())) })
	require.NoError(t, w.store.Prepare(t.Context()))
	for i := range events {
		msg := nats.NewMsg(topology.SubjectEvent(project, event.ReportGenerated))
		msg.Header.Set(nats.MsgIdHdr, "evt_"+strconv.Itoa(i))
		_, err := js.PublishMsgAsync(msg)
		require.NoError(t, err)
	}
	w.takeIn()
	w.webhook, err = w.store.Create(t.Context(), store.Webhook{
		ID: registration.NewID(), ProjectID: project, Name: "CRM", URL: "https://example.org/hook",
		Events: []string{event.ReportGenerated}, Status: registration.Published, CreatedAt: time.Now().UTC(),
	}, 50)
	require.NoError(t, err)
	return w
}

func (w *world) open() *store.Store {
	w.t.Helper()
	s, err := store.Open(w.t.Context(), w.mongo.URI(), w.mongo.Database(), zap.NewNop())
	require.NoError(w.t, err)
	return s
}

// takeIn plays the intake of the project's part: nobody wants the events.
func (w *world) takeIn() {
	w.t.Helper()
	<-w.js.PublishAsyncComplete()
	stream, err := w.js.Stream(w.t.Context(), topology.StreamEvents)
	require.NoError(w.t, err)
	last, err := stream.GetLastMsgForSubject(w.t.Context(), topology.SubjectStored(project, ">"))
	require.NoError(w.t, err)
	configs, err := topology.IntakeConsumers(w.t.Context(), w.js, topology.Consumption{AckWait: time.Minute, MaxAckPending: 100_000})
	require.NoError(w.t, err)
	name := topology.ConsumerIntake(topology.Part(last.Subject))
	at := slices.IndexFunc(configs, func(c jetstream.ConsumerConfig) bool { return c.Durable == name || c.Name == name })
	require.GreaterOrEqual(w.t, at, 0)
	consumer, err := stream.CreateConsumer(w.t.Context(), configs[at])
	require.NoError(w.t, err)
	batch, err := consumer.Fetch(events, jetstream.FetchMaxWait(patience))
	require.NoError(w.t, err)
	taken := 0
	for msg := range batch.Messages() {
		require.NoError(w.t, msg.DoubleAck(w.t.Context()))
		taken++
	}
	require.Equal(w.t, events, taken)
}

// run runs a service until the test ends, or until the returned function is called.
func (w *world) run(s *store.Store, change func(*Service)) (_ *Service, stop func()) {
	w.t.Helper()
	service := New(Deps{Store: s, JS: w.js, Log: zap.NewNop()})
	change(service)
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	return service, func() {
		cancel()
		assert.NoError(w.t, <-ended)
	}
}

// whenWorkEnds has a function called when the service has let go of a replay.
func whenWorkEnds(s *Service, do func()) {
	open := s.runner.Open
	s.runner.Open = func(ctx context.Context) ([]lease.Task, error) {
		tasks, err := open(ctx)
		for i, task := range tasks {
			tasks[i].Work = func(ctx context.Context) error {
				defer do()
				return task.Work(ctx)
			}
		}
		return tasks, err
	}
}

// start asks for everything since the beginning.
func (w *world) start(s *Service) string {
	w.t.Helper()
	started, err := s.Start(w.t.Context(), w.webhook, ulid.Make().String(), "somebody",
		Request{Since: time.Now().Add(-time.Hour), Only: All})
	require.NoError(w.t, err)
	return started.ID
}

// waiting is how many deliveries of a replay are written down and not attempted.
func (w *world) waiting(id string) (count int) {
	w.t.Helper()
	require.NoError(w.t, account.EachRange(w.t.Context(), w.js, topology.SubjectRange(w.webhook.ID), func(r *webhooksv1.Range, _ uint64) error {
		assert.Equal(w.t, id, r.GetReplayId())
		assert.Equal(w.t, webhooksv1.Trigger_TRIGGER_REPLAY, r.GetTrigger())
		count += len(r.GetEventIds())
		return nil
	}))
	return count
}

// deliver delivers what is written down at this moment, as dispatchers and the
// recorder do: first the outcomes are stored, then the range is settled.
func (w *world) deliver() {
	w.t.Helper()
	w.settle(webhooksv1.Outcome_OUTCOME_DELIVERED)
}

// handBack gives back what is written down, as dispatchers do when the webhook is disabled.
func (w *world) handBack() {
	w.t.Helper()
	w.settle(webhooksv1.Outcome_OUTCOME_DISABLED)
}

func (w *world) settle(outcome webhooksv1.Outcome) {
	w.t.Helper()
	stream, err := w.js.Stream(w.t.Context(), topology.StreamRanges)
	require.NoError(w.t, err)
	require.NoError(w.t, account.EachRange(w.t.Context(), w.js, topology.SubjectRange(w.webhook.ID), func(r *webhooksv1.Range, place uint64) error {
		var made []*webhooksv1.Attempt
		sequence := uint64(0)
		for i, step := range r.GetSequenceSteps() {
			sequence += step
			made = append(made, &webhooksv1.Attempt{
				Id: ulid.Make().String(), ProjectId: project, WebhookId: w.webhook.ID, EventId: r.GetEventIds()[i], EventSequence: sequence,
				Number: 1, Outcome: outcome, Trigger: r.GetTrigger(), ReplayId: r.GetReplayId(),
			})
		}
		if outcome == webhooksv1.Outcome_OUTCOME_DELIVERED {
			w.came = append(w.came, r.GetEventIds()...)
		}
		require.NoError(w.t, w.store.AppendOutcomes(w.t.Context(), made))
		return stream.DeleteMsg(w.t.Context(), place)
	}))
}

func (w *world) until(what string, so func() bool) {
	w.t.Helper()
	require.Eventually(w.t, so, patience, 20*time.Millisecond, what)
}

// untilIs waits until a replay is in a state, and does something meanwhile.
func (w *world) untilIs(id string, state store.ReplayState, meanwhile func()) (r store.Replay) {
	w.t.Helper()
	w.until(fmt.Sprintf("the replay is %s", state), func() bool {
		meanwhile()
		var err error
		r, err = w.store.LoadReplay(w.t.Context(), id)
		require.NoError(w.t, err)
		return r.State == state
	})
	return r
}

// holder is which process runs the replay of the webhook, and until when.
func (w *world) holder() store.RunningReplay {
	w.t.Helper()
	all, err := w.store.RunningReplays(w.t.Context())
	require.NoError(w.t, err)
	if len(all) == 0 {
		return store.RunningReplay{}
	}
	return all[0]
}

// No more is written down than the receiver takes soon; what is cancelled then is
// not sent, and may be asked for again.
func TestAReplayIsCancelledInTheMiddle(t *testing.T) {
	w := newWorld(t)
	var letGo atomic.Bool
	s, stop := w.run(w.store, func(s *Service) { whenWorkEnds(s, func() { letGo.Store(true) }) })
	defer stop()
	id := w.start(s)
	w.until("the window is full", func() bool { return w.waiting(id) == minWindow })
	w.deliver()
	w.until("the next ones follow", func() bool { return w.waiting(id) > 0 })

	require.NoError(t, s.Cancel(t.Context(), w.webhook.ID, id))

	w.until("the runner has let go of it", func() bool { return w.waiting(id) == 0 && letGo.Load() && w.holder().ReplayID == "" })
	require.NoError(t, s.Cancel(t.Context(), w.webhook.ID, id), "as often as one likes")
	cancelled, err := s.Get(t.Context(), w.webhook.ID, id)
	require.NoError(t, err)
	assert.Equal(t, store.ReplayCancelled, cancelled.State)
	assert.NotNil(t, cancelled.EndedAt)
	assert.EqualValues(t, minWindow, cancelled.Delivered)
	require.Len(t, w.came, minWindow)
	rest, err := s.DryRun(t.Context(), w.webhook, Request{Since: time.Now().Add(-time.Hour), Only: Missed})
	require.NoError(t, err)
	assert.EqualValues(t, events-minWindow, rest.Count)
	assert.True(t, rest.Complete)
}

// heldBack is a connection on which the message of one range is stuck until it is let go;
// then it arrives, whether or not anybody still waits for that.
type heldBack struct {
	jetstream.JetStream

	writing, letGo, arrived chan struct{}
	once                    sync.Once
}

func (h *heldBack) PublishMsg(ctx context.Context, msg *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	stuck := false
	h.once.Do(func() { stuck = true })
	if stuck {
		close(h.writing)
		<-h.letGo
		ctx = context.WithoutCancel(ctx)
		defer close(h.arrived)
	}
	return h.JetStream.PublishMsg(ctx, msg, opts...)
}

// A range that is being written while its replay is cancelled is not stored any more,
// however long its runner stands still: nothing is sent after the answer, and nothing
// twice by the next replay.
func TestNothingIsWrittenDownAfterACancellation(t *testing.T) {
	w := newWorld(t)
	held := &heldBack{JetStream: w.js, writing: make(chan struct{}), letGo: make(chan struct{}), arrived: make(chan struct{})}
	stuck := *w
	stuck.js = held
	standing, stopStanding := stuck.run(w.store, func(*Service) {})
	first := w.start(standing)
	<-held.writing
	s, stop := w.run(w.store, func(*Service) {})
	defer stop()

	require.NoError(t, s.Cancel(t.Context(), w.webhook.ID, first))

	assert.Empty(t, w.holder().ReplayID, "the next one may begin")
	done := w.untilIs(w.start(s), store.ReplayDone, w.deliver)
	close(held.letGo)
	<-held.arrived
	stopStanding()
	assert.EqualValues(t, events, done.Delivered)
	assert.Zero(t, w.waiting(first))
	assert.Len(t, w.came, events, "nothing comes twice")
	w.until("nothing is left of it", func() bool { return w.inRanges() == 0 })
}

// inRanges is how many messages of whatever kind are in RANGES.
func (w *world) inRanges() uint64 {
	w.t.Helper()
	stream, err := w.js.Stream(w.t.Context(), topology.StreamRanges)
	require.NoError(w.t, err)
	return stream.CachedInfo().State.Msgs
}

// A cancellation that was broken off is finished by the next one.
func TestACancellationIsFinished(t *testing.T) {
	w := newWorld(t)
	s := New(Deps{Store: w.store, JS: w.js, Log: zap.NewNop()}) // it runs none
	id := w.start(s)
	_, _, err := w.store.CancelReplay(t.Context(), id, "It was cancelled.")
	require.NoError(t, err)
	require.Equal(t, id, w.holder().ReplayID)

	require.NoError(t, s.Cancel(t.Context(), w.webhook.ID, id))

	assert.Empty(t, w.holder().ReplayID, "the next one may begin")
}

// As long as a process renews its lease, a replay is its own. Once it does not, another
// one goes on where it was.
func TestAReplayIsTakenOverWhenItsLeaseRunsOut(t *testing.T) {
	w := newWorld(t)
	const length = 2 * time.Second
	quick := func(s *Service) { s.runner.Length = length }
	dying := w.open()
	first, stopFirst := w.run(dying, quick)
	id := w.start(first)
	w.until("the window is full", func() bool { return w.waiting(id) == minWindow })
	second, stop := w.run(w.store, quick)
	defer stop()
	begun := w.holder()
	w.until("it has been renewed for longer than a lease", func() bool {
		second.runner.Wake()
		return w.holder().Until.Sub(begun.Until) > length
	})
	require.Equal(t, begun.Owner, w.holder().Owner, "nobody takes away what is renewed")

	require.NoError(t, dying.Close(t.Context())) // it can neither renew its lease nor give it back

	left := w.holder()
	w.until("another one has it", func() bool {
		second.runner.Wake()
		return w.holder().Owner != begun.Owner
	})
	assert.False(t, time.Now().Before(left.Until), "not before the lease was over")
	stopFirst()
	done := w.untilIs(id, store.ReplayDone, w.deliver)
	assert.EqualValues(t, events, done.Delivered)
	assert.Less(t, len(w.came)-events, minWindow, "at most one range comes twice")
	slices.Sort(w.came)
	assert.Len(t, slices.Compact(w.came), events)
	w.until("the next one may begin", func() bool { return w.holder().ReplayID == "" })
}
