package publishers_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/pkg/topology"
)

func TestPublishStoresTheEvent(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{event.JSON, event.Protobuf} {
		t.Run(contentType, func(t *testing.T) {
			t.Parallel()
			_, nc, stream := pipeline(t)
			e := started("evt-1")
			require.NoError(t, newPublisher(t, nc, publisher.WithContentType(contentType)).Publish(t.Context(), e))

			message, err := stream.GetMsg(t.Context(), 1)
			require.NoError(t, err)
			assert.Equal(t, "dembrane.events.p1.conversation.started", topology.PublishedSubject(message.Subject))
			assert.Equal(t, "evt-1", message.Header.Get("Nats-Msg-Id"))
			assert.Equal(t, contentType, message.Header.Get("Content-Type"))
			got, err := event.Decode(contentType, message.Data)
			require.NoError(t, err)
			assert.True(t, proto.Equal(e, got))
		})
	}
}

func TestCase22_SameEventTwiceAndFiftyTimesAtOnce(t *testing.T) {
	t.Parallel()
	_, nc, stream := pipeline(t)
	p := newPublisher(t, nc)
	require.NoError(t, p.Publish(t.Context(), started("twice")))
	require.NoError(t, p.Publish(t.Context(), started("twice")))
	assert.EqualValues(t, 1, stored(t, stream))

	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { assert.NoError(t, p.Publish(t.Context(), started("fifty"))) })
	}
	wg.Wait()
	assert.EqualValues(t, 2, stored(t, stream))
}

func TestCase30_EventsAroundTheLimit(t *testing.T) {
	t.Parallel()
	_, nc, stream := pipeline(t)
	p := newPublisher(t, nc, publisher.WithContentType(event.Protobuf))

	require.NoError(t, p.Publish(t.Context(), sized(t, "at-the-limit", topology.MaxEventBytes)))
	message, err := stream.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	assert.Len(t, message.Data, topology.MaxEventBytes)

	sent := nc.Stats().OutMsgs
	err = p.Publish(t.Context(), sized(t, "one-byte-over", topology.MaxEventBytes+1))
	require.ErrorIs(t, err, publisher.ErrTooLarge)
	require.ErrorContains(t, err, "8388609 bytes")
	require.ErrorContains(t, err, "8388608")
	assert.Equal(t, sent, nc.Stats().OutMsgs, "something was sent")
	assert.EqualValues(t, 1, stored(t, stream))
}

func TestCase30_ServerWithASmallerLimit(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	_, nc, stream := pipeline(t, natstest.Embedded(), natstest.WithMaxPayload(limit))
	p := newPublisher(t, nc, publisher.WithContentType(event.Protobuf))
	fits := sized(t, "fits", limit-200)
	require.NoError(t, p.Publish(t.Context(), fits))

	sent := nc.Stats().OutMsgs
	err := p.Publish(t.Context(), sized(t, "over-with-headers", limit-10))
	require.ErrorIs(t, err, publisher.ErrTooLarge)
	require.ErrorContains(t, err, "65536")
	require.ErrorContains(t, err, "max_payload")
	assert.Equal(t, sent, nc.Stats().OutMsgs, "something was sent")
	assert.EqualValues(t, 1, stored(t, stream))
}

// To the byte: what the server takes with headers is sent, one byte more is not.
func TestCase30_ServerLimitToTheByte(t *testing.T) {
	t.Parallel()
	const limit = 32 << 10
	_, nc, _ := pipeline(t, natstest.Embedded(), natstest.WithMaxPayload(limit))
	p := newPublisher(t, nc, publisher.WithContentType(event.Protobuf))
	header := (&nats.Msg{Header: nats.Header{"Nats-Msg-Id": {"e-1"}, "Content-Type": {event.Protobuf}}}).Size()
	require.NoError(t, p.Publish(t.Context(), sized(t, "e-1", limit-header)))
	require.ErrorIs(t, p.Publish(t.Context(), sized(t, "e-2", limit-header+1)), publisher.ErrTooLarge)
}

func TestInvalidEventsAreNotSent(t *testing.T) {
	t.Parallel()
	_, nc, stream := pipeline(t)
	p := newPublisher(t, nc)
	sent := nc.Stats().OutMsgs
	require.ErrorIs(t, p.Publish(t.Context(), nil), publisher.ErrInvalid)

	e := started("evt/1")
	e.Type = "conversation.exploded"
	e.Project.Id = "p1.*"
	e.OccurredAt = nil
	err := p.Publish(t.Context(), e)
	require.ErrorIs(t, err, publisher.ErrInvalid)
	for _, part := range []string{"id", "project.id", "conversation.exploded", "occurred_at"} {
		require.ErrorContains(t, err, part)
	}

	e = started("evt-1")
	broken := "\xff\xfe"
	e.GetConversation().Transcript = &broken
	require.ErrorIs(t, p.Publish(t.Context(), e), publisher.ErrInvalid)
	assert.Equal(t, sent, nc.Stats().OutMsgs, "something was sent")
	assert.Zero(t, stored(t, stream))
}

func TestPublishOutlivesARestart(t *testing.T) {
	t.Parallel()
	server, nc, stream := pipeline(t, natstest.Embedded())
	p := newPublisher(t, nc)
	require.NoError(t, p.Publish(t.Context(), started("before")))

	down := make(chan struct{}, 10)
	nc.SetDisconnectErrHandler(func(*nats.Conn, error) { down <- struct{}{} })
	server.Shutdown()
	<-down
	published := make(chan error, 1)
	go func() { published <- p.Publish(context.WithoutCancel(t.Context()), started("meanwhile")) }()
	select {
	case err := <-published:
		require.Fail(t, "Publish did not wait", "%v", err)
	case <-time.After(short):
	}
	server.Restart()
	require.NoError(t, <-published)
	assert.EqualValues(t, 2, stored(t, stream))
	require.NoError(t, p.Publish(t.Context(), started("meanwhile")))
	assert.EqualValues(t, 2, stored(t, stream), "the window outlives the restart")
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	server, nc, _ := pipeline(t, natstest.Embedded())
	server.Shutdown()
	err := newPublisher(t, nc, publisher.WithRetry(short)).Publish(t.Context(), started("evt-1"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "gave up after 300ms")
	require.ErrorContains(t, err, "nats cannot be reached")
	require.ErrorContains(t, err, "evt-1")
}

func TestNoStream(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	err := newPublisher(t, nc).Publish(within(t, short), started("evt-1"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, jetstream.ErrNoStreamResponse)
	require.ErrorContains(t, err, "create the stream EVENTS")
}

func TestStreamThatAppearsMeanwhile(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	published := make(chan error, 1)
	p := newPublisher(t, nc)
	go func() { published <- p.Publish(t.Context(), started("evt-1")) }()
	ensureEvents(t, nc, nil)
	require.NoError(t, <-published)
}

func TestCanceledContext(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, newPublisher(t, nc).Publish(ctx, started("evt-1")), context.Canceled)
}

func TestFullStreamIsRetriedAndThenReported(t *testing.T) {
	t.Parallel()
	_, nc, _ := pipeline(t)
	ensureEvents(t, nc, func(c *jetstream.StreamConfig) { c.MaxBytes = 1000 })
	p := newPublisher(t, nc, publisher.WithContentType(event.Protobuf))
	big := sized(t, "big", 2000)

	err := p.Publish(within(t, short), big)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "maximum bytes exceeded")
	require.ErrorContains(t, err, "EVENTS_MAX_BYTES")

	published := make(chan error, 1)
	go func() { published <- p.Publish(t.Context(), big) }()
	ensureEvents(t, nc, nil)
	require.NoError(t, <-published, "room was made while it retried")
}

func TestPermanentRefusalsAreNotRetried(t *testing.T) {
	t.Parallel()
	t.Run("the stream's own limit", func(t *testing.T) {
		t.Parallel()
		nc := natstest.Start(t).Connect(t)
		ensureEvents(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 })
		p := newPublisher(t, nc, publisher.WithContentType(event.Protobuf), publisher.WithRetry(time.Hour))
		err := p.Publish(t.Context(), sized(t, "evt-1", 2000))
		require.ErrorIs(t, err, publisher.ErrTooLarge)
		require.ErrorContains(t, err, "max_msg_size")
	})
	t.Run("a sealed stream", func(t *testing.T) {
		t.Parallel()
		_, nc, _ := pipeline(t)
		ensureEvents(t, nc, func(c *jetstream.StreamConfig) { c.Sealed = true })
		err := newPublisher(t, nc, publisher.WithRetry(time.Hour)).Publish(t.Context(), started("evt-1"))
		require.ErrorContains(t, err, "sealed")
		require.ErrorContains(t, err, "configuration of the stream EVENTS")
	})
	t.Run("a closed connection", func(t *testing.T) {
		t.Parallel()
		_, nc, _ := pipeline(t)
		p := newPublisher(t, nc, publisher.WithRetry(time.Hour))
		nc.Close()
		require.ErrorIs(t, p.Publish(t.Context(), started("evt-1")), nats.ErrConnectionClosed)
	})
}

func TestServerWithoutJetStream(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t, natstest.Embedded(), natstest.WithoutJetStream()).Connect(t)
	err := newPublisher(t, nc, publisher.WithRetry(short)).Publish(t.Context(), started("evt-1"))
	require.ErrorContains(t, err, "check that JetStream is on")
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	_, err := publisher.New(nil)
	require.Error(t, err)
	nc := natstest.Start(t).Connect(t)
	_, err = publisher.New(nc, publisher.WithContentType("text/csv"))
	require.ErrorIs(t, err, event.ErrContentType)
	_, err = publisher.New(nc, publisher.WithRetry(0))
	require.ErrorContains(t, err, "more than 0")
}
