package publishers_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short bounds what is expected to fail for want of an answer.
const short = 300 * time.Millisecond

// pipeline is a server with the stream of events, and a publisher.
func pipeline(tb testing.TB, options ...natstest.Option) (*natstest.Server, *nats.Conn, jetstream.Stream) {
	tb.Helper()
	server := natstest.Start(tb, options...)
	nc := server.Connect(tb)
	return server, nc, ensureEvents(tb, nc, nil)
}

// ensureEvents creates or updates the one stream that a publisher needs, changed
// as the test likes.
func ensureEvents(tb testing.TB, nc *nats.Conn, change func(*jetstream.StreamConfig)) jetstream.Stream {
	tb.Helper()
	js, err := jetstream.New(nc)
	require.NoError(tb, err)
	config := topology.Streams(topology.Settings{Replicas: 1, EventsMaxAge: time.Hour, DuplicateWindow: time.Minute})[0]
	require.Equal(tb, topology.StreamEvents, config.Name)
	if change != nil {
		change(&config)
	}
	stream, err := js.CreateOrUpdateStream(tb.Context(), config)
	require.NoError(tb, err)
	return stream
}

func newPublisher(tb testing.TB, nc *nats.Conn, options ...publisher.Option) *publisher.Publisher {
	tb.Helper()
	p, err := publisher.New(nc, options...)
	require.NoError(tb, err)
	return p
}

func started(id string) *webhooksv1.Event {
	return &webhooksv1.Event{
		Id: id, Type: event.ConversationStarted, OccurredAt: timestamppb.New(time.Unix(1_700_000_000, 0)),
		Project: &webhooksv1.Project{Id: "p1"},
		Subject: &webhooksv1.Event_Conversation{Conversation: &webhooksv1.Conversation{Id: "c1"}},
	}
}

// sized is an event whose body is exactly that many bytes in the binary form.
func sized(tb testing.TB, id string, bytes int) *webhooksv1.Event {
	tb.Helper()
	e := started(id)
	transcript := strings.Repeat("x", bytes-200)
	for range 3 { // the lengths in front of the text grow with it
		e.GetConversation().Transcript = &transcript
		body, err := event.Encode(event.Protobuf, e)
		require.NoError(tb, err)
		transcript = strings.Repeat("x", len(transcript)+bytes-len(body))
	}
	e.GetConversation().Transcript = &transcript
	body, err := event.Encode(event.Protobuf, e)
	require.NoError(tb, err)
	require.Len(tb, body, bytes)
	return e
}

func stored(tb testing.TB, stream jetstream.Stream) uint64 {
	tb.Helper()
	info, err := stream.Info(tb.Context())
	require.NoError(tb, err)
	return info.State.Msgs
}

func within(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}
