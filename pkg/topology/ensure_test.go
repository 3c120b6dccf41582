package topology_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func settings() topology.Settings {
	return topology.Settings{Replicas: 1, EventsMaxAge: 24 * time.Hour, DuplicateWindow: time.Minute}
}

func open(t *testing.T) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(natstest.Start(t).Connect(t))
	require.NoError(t, err)
	return js
}

func TestEnsureIsIdempotent(t *testing.T) {
	js := open(t)
	require.NoError(t, topology.Ensure(t.Context(), js, settings()))
	created := map[string]time.Time{}
	for _, config := range topology.Streams(settings()) {
		stream, err := js.Stream(t.Context(), config.Name)
		require.NoError(t, err)
		created[config.Name] = stream.CachedInfo().Created
		assert.Equal(t, config.Subjects, stream.CachedInfo().Config.Subjects)
		assert.Equal(t, config.Retention, stream.CachedInfo().Config.Retention)
	}
	_, err := js.Publish(t.Context(), topology.SubjectEvent("p1", "conversation.started"), []byte("{}"))
	require.NoError(t, err)

	require.NoError(t, topology.Ensure(t.Context(), js, settings()))

	for name, before := range created {
		stream, err := js.Stream(t.Context(), name)
		require.NoError(t, err)
		assert.Equal(t, before, stream.CachedInfo().Created, "%s was made again", name)
	}
	events, err := js.Stream(t.Context(), topology.StreamEvents)
	require.NoError(t, err)
	assert.EqualValues(t, 1, events.CachedInfo().State.Msgs, "nothing is lost")
}

func TestEnsureAppliesWhatAnOperatorChanged(t *testing.T) {
	js := open(t)
	require.NoError(t, topology.Ensure(t.Context(), js, settings()))
	changed := settings()
	changed.EventsMaxAge, changed.EventsMaxBytes, changed.DuplicateWindow = 48*time.Hour, 17<<30, 2*time.Minute

	require.NoError(t, topology.Ensure(t.Context(), js, changed))

	stream, err := js.Stream(t.Context(), topology.StreamEvents)
	require.NoError(t, err)
	config := stream.CachedInfo().Config
	assert.Equal(t, 48*time.Hour, config.MaxAge)
	assert.EqualValues(t, 17<<30, config.MaxBytes)
	assert.Equal(t, 2*time.Minute, config.Duplicates)
	assert.Equal(t, jetstream.DiscardNew, config.Discard, "publishing is refused, never made room for")
}

func TestServicesMayEnsureAtTheSameTime(t *testing.T) {
	js := open(t)
	results := make(chan error, 8)
	var begin sync.WaitGroup
	begin.Add(1)
	for range cap(results) {
		go func() {
			begin.Wait()
			results <- topology.Ensure(t.Context(), js, settings())
		}()
	}
	begin.Done()
	for range cap(results) {
		require.NoError(t, <-results)
	}
}

func TestEnsureRefusesWhatCannotWork(t *testing.T) {
	for name, spoil := range map[string]func(*topology.Settings){
		"no replicas":           func(s *topology.Settings) { s.Replicas = 0 },
		"too many replicas":     func(s *topology.Settings) { s.Replicas = 6 },
		"no retention":          func(s *topology.Settings) { s.EventsMaxAge = 0 },
		"no duplicate window":   func(s *topology.Settings) { s.DuplicateWindow = 0 },
		"window over retention": func(s *topology.Settings) { s.DuplicateWindow = 25 * time.Hour },
		"too many parts":        func(s *topology.Settings) { s.IntakeParts = 257 },
		"a limit of nothing":    func(s *topology.Settings) { s.RangesMaxBytes = 5 },
	} {
		s := settings()
		spoil(&s)
		require.Error(t, topology.Ensure(t.Context(), nil, s), name)
	}
	js, err := jetstream.New(natstest.Start(t, natstest.Embedded(), natstest.WithoutJetStream()).Connect(t))
	require.NoError(t, err)
	require.ErrorContains(t, topology.Ensure(t.Context(), js, settings()), "ensure stream DELIVERIES")
}

// A work queue keeps a schedule until it fires, and gives its message to the one
// consumer that takes due deliveries.
func TestAScheduleFiresOntoTheDueConsumer(t *testing.T) {
	js := open(t)
	require.NoError(t, topology.Ensure(t.Context(), js, settings()))
	due, err := js.CreateOrUpdateConsumer(t.Context(), topology.StreamDeliveries,
		topology.Due(topology.Consumption{AckWait: time.Minute, MaxAckPending: 10}))
	require.NoError(t, err)
	at := time.Now().Add(time.Second)
	for _, body := range []string{"first", "second"} { // on the same subject: the second replaces the first
		msg := nats.NewMsg(topology.SubjectScheduled("w1", "dlv_1"))
		msg.Data = []byte(body)
		msg.Header.Set(jetstream.ScheduleHeader, "@at "+at.UTC().Format(time.RFC3339Nano))
		msg.Header.Set(jetstream.ScheduleTargetHeader, topology.SubjectDelivery("w1"))
		_, err = js.PublishMsg(t.Context(), msg)
		require.NoError(t, err)
	}

	msg, err := due.Next(jetstream.FetchMaxWait(patience))
	require.NoError(t, err)

	assert.False(t, time.Now().Before(at), "earlier than asked")
	assert.Equal(t, "second", string(msg.Data()))
	assert.Equal(t, topology.SubjectDelivery("w1"), msg.Subject())
	require.NoError(t, msg.DoubleAck(t.Context()))
	stream, err := js.Stream(t.Context(), topology.StreamDeliveries)
	require.NoError(t, err)
	assert.Zero(t, stream.CachedInfo().State.Msgs, "nothing is left of either")
}

// Whatever its subject, an event has exactly one consumer; all of a project's have
// the same one, and projects are spread.
func TestEveryEventIsTakenInOnce(t *testing.T) {
	js, err := jetstream.New(natstest.Start(t).Connect(t))
	require.NoError(t, err)
	require.NoError(t, topology.Ensure(t.Context(), js, settings()))
	published := []string{"dembrane.events.p1", "dembrane.events.deep.er.conversation.started", "dembrane.events.3.report.generated"}
	const projects = 100
	for project := range projects {
		for _, eventType := range []string{"conversation.started", "report.generated"} {
			published = append(published, topology.SubjectEvent("p"+strconv.Itoa(project), eventType))
		}
	}
	for _, subject := range published {
		_, err := js.Publish(t.Context(), subject, nil)
		require.NoError(t, err)
	}

	var taken []string
	partOf := map[string]string{}
	for _, part := range topology.Intake(topology.Consumption{AckWait: time.Minute, MaxAckPending: 1000 * topology.Partitions}) {
		consumer, err := js.CreateOrUpdateConsumer(t.Context(), topology.StreamEvents, part)
		require.NoError(t, err)
		require.Equal(t, 1000, consumer.CachedInfo().Config.MaxAckPending)
		batch, err := consumer.FetchNoWait(len(published))
		require.NoError(t, err)
		projectsHere := 0
		for msg := range batch.Messages() {
			subject := topology.PublishedSubject(msg.Subject())
			taken = append(taken, subject)
			if project, _, ok := topology.ParseSubjectEvent(subject); ok {
				if partOf[project] == "" {
					projectsHere++
				}
				require.Contains(t, []string{"", part.Durable}, partOf[project], "a project has one part")
				partOf[project] = part.Durable
			}
		}
		require.NoError(t, batch.Error())
		assert.LessOrEqual(t, projectsHere, projects/2, "projects are spread")
	}
	assert.ElementsMatch(t, published, taken)
}

func TestSubjectsOfEvents(t *testing.T) {
	project, eventType, ok := topology.ParseSubjectEvent(topology.SubjectEvent("p1", "conversation.started"))
	assert.True(t, ok)
	assert.Equal(t, "p1", project)
	assert.Equal(t, "conversation.started", eventType)
	for _, subject := range []string{
		"", "dembrane.events", "dembrane.events.", "dembrane.events.p1", "dembrane.events.p1.conversation",
		"dembrane.events..conversation.started", "dembrane.events.p1.a.b.c", "other.events.p1.conversation.started",
	} {
		_, _, ok := topology.ParseSubjectEvent(subject)
		assert.False(t, ok, subject)
	}
	assert.Equal(t, "dembrane.rejected.p1.conversation.started", topology.SubjectRejected("dembrane.events.p1.conversation.started"))
}

// The server announces every change of a stream. A process that starts beside
// others must not make any.
func TestEnsureLeavesAloneWhatIsAsItShouldBe(t *testing.T) {
	nc := natstest.Start(t).Connect(t)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	require.NoError(t, topology.Ensure(t.Context(), js, settings()))
	updates, err := nc.SubscribeSync("$JS.API.STREAM.UPDATE.>")
	require.NoError(t, err)

	require.NoError(t, topology.Ensure(t.Context(), js, settings()))

	require.NoError(t, nc.FlushTimeout(patience))
	pending, _, err := updates.Pending()
	require.NoError(t, err)
	assert.Zero(t, pending)
}
