package intake

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/eventbody"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sample(t *testing.T) eventbody.Message {
	t.Helper()
	e := payload.Sample(event.ConversationStarted, &webhooksv1.Project{Id: "p1"}, "evt_1", time.Now())
	data, err := event.Encode(event.JSON, e)
	require.NoError(t, err)
	return eventbody.Message{Subject: "dembrane.events.0.p1.conversation.started", Header: nats.Header{}, Data: data}
}

func TestWhatAnEventIsIsKnownWithoutDecodingIt(t *testing.T) {
	m := sample(t)
	m.Header.Set(nats.MsgIdHdr, "evt_1")
	m.Data = []byte("whatever")
	e := &taken{message: m}
	require.NoError(t, e.identify())
	assert.Equal(t, []string{"p1", "conversation.started", "evt_1"}, []string{e.project, e.eventType, e.id})

	e = &taken{message: sample(t)} // its publisher set no id
	require.NoError(t, e.identify())
	assert.Equal(t, []string{"p1", "conversation.started", "evt_1"}, []string{e.project, e.eventType, e.id})

	m.Header.Set(nats.MsgIdHdr, "an id.with a dot")
	unusable, ok := errors.AsType[*eventbody.UnusableError]((&taken{message: m}).identify())
	require.True(t, ok)
	assert.NotEmpty(t, unusable.Reason)
}

// The body is rendered once in each format that is wanted, for as many webhooks as there are, and its memory
// comes back.
func TestABodyIsRenderedOnce(t *testing.T) {
	const memory = 1 << 20
	renderer := eventbody.NewRenderer(payload.Renderer{AdminBaseURL: "https://dashboard.example.org"}, memory)
	e := &taken{message: sample(t), renderer: renderer, rendered: map[chat.Format]*eventbody.Body{}, seen: time.Now()}
	first, err := e.body(t.Context(), chat.JSON)
	require.NoError(t, err)
	again, err := e.body(t.Context(), chat.JSON)
	require.NoError(t, err)
	assert.Same(t, &first.Bytes[0], &again.Bytes[0])
	assert.False(t, first.OccurredAt.IsZero())
	slack, err := e.body(t.Context(), chat.Slack)
	require.NoError(t, err)
	assert.Contains(t, string(slack.Bytes), `"blocks":[`)
	e.release()
	release, ok := renderer.Hold(memory)
	require.True(t, ok)
	_, err = (&taken{message: sample(t), renderer: renderer, seen: time.Now()}).body(t.Context(), chat.JSON)
	require.ErrorIs(t, err, eventbody.ErrNoMemory)
	release()
}

// An event that cannot be used leaves the stream with the reason, once, however
// often it comes.
func TestAnUnusableEventIsRejectedOnce(t *testing.T) {
	js, err := jetstream.New(natstest.Start(t).Connect(t))
	require.NoError(t, err)
	require.NoError(t, topology.Ensure(t.Context(), js, topology.Settings{
		Replicas: 1, EventsMaxAge: time.Hour, DuplicateWindow: time.Minute,
	}))
	consumer, err := js.CreateOrUpdateConsumer(t.Context(), topology.StreamEvents, jetstream.ConsumerConfig{Durable: "all"})
	require.NoError(t, err)
	_, err = js.PublishMsg(t.Context(), &nats.Msg{Subject: topology.SubjectEvent("p1", event.ConversationStarted), Data: []byte("[]")})
	require.NoError(t, err)
	msg, err := consumer.Next()
	require.NoError(t, err)
	i := New(Deps{Rejecter: eventbody.NewRejecter(js, zaptest.NewLogger(t), prometheus.NewRegistry()), Metrics: prometheus.NewRegistry()})

	require.NoError(t, i.Handle(t.Context(), msg))
	require.NoError(t, i.Handle(t.Context(), msg))

	rejected, err := js.Stream(t.Context(), topology.StreamRejected)
	require.NoError(t, err)
	assert.EqualValues(t, 1, rejected.CachedInfo().State.Msgs)
	stored, err := rejected.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	var rejection webhooksv1.Rejection
	require.NoError(t, protojson.Unmarshal(stored.Data, &rejection))
	assert.NotEmpty(t, rejection.GetReason())
	assert.EqualValues(t, 1, rejection.GetEventSequence())
}

func TestAnEventIsHandedBackWhenItsRejectionCannotBeStored(t *testing.T) {
	server := natstest.Start(t, natstest.Embedded())
	js, err := jetstream.New(server.Connect(t)) // without the stream REJECTED
	require.NoError(t, err)
	rejecter := eventbody.NewRejecter(js, zaptest.NewLogger(t), prometheus.NewRegistry())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.Error(t, rejecter.Reject(ctx, "dembrane.events.0.p1.conversation.started", 1, &eventbody.UnusableError{Reason: "x"}))
}

// An event that has waited for its turn may have been erased by then.
func TestAnEventThatWaitedIsLookedForBeforeItIsSent(t *testing.T) {
	asked := 0
	e := &taken{
		message: sample(t), renderer: eventbody.NewRenderer(payload.Renderer{AdminBaseURL: "https://dashboard.example.org"}, 1<<20),
		rendered: map[chat.Format]*eventbody.Body{}, seen: time.Now(),
		event: func(context.Context, string, uint64) (*jetstream.RawStreamMsg, error) {
			asked++
			return nil, topology.ErrEventErased
		},
	}
	defer func() { e.release() }()
	_, err := e.body(t.Context(), chat.JSON)
	require.NoError(t, err)
	assert.Zero(t, asked, "not when it has just come")
	e.seen = time.Now().Add(-keepFor - time.Millisecond)
	_, err = e.body(t.Context(), chat.JSON)
	require.ErrorIs(t, err, topology.ErrEventGone)
	assert.Equal(t, 1, asked)
}
