package app

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/dembrane/webhooks/pkg/natstest"
)

// An acknowledgement is lost with the connection: it is sent again on the next one,
// and what is given out again before that is known.
func TestALostAcknowledgementIsSentAgain(t *testing.T) {
	server := natstest.Start(t, natstest.Embedded())
	network := natstest.NewProxy(t, server.URL())
	nc := network.Connect(nats.ReconnectWait(20*time.Millisecond), nats.MaxReconnects(-1))
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	require.NoError(t, err)
	consumer, err := js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "s", nil)
	require.NoError(t, err)
	take := func() jetstream.Msg {
		msg, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
		require.NoError(t, err)
		return msg
	}
	first := take()
	a := newAcked()
	assert.False(t, a.has(first))
	meta, err := first.Metadata()
	require.NoError(t, err)
	a.add(placeOf(meta), first.Reply())

	require.NoError(t, first.Nak()) // as if it had not been acknowledged
	assert.True(t, a.has(take()))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.keep(ctx, js, zaptest.NewLogger(t))
	}()
	seen, err := jetstream.New(server.Connect(t))
	require.NoError(t, err)
	require.Eventually(t, func() bool { // again, until it listens
		found, err := seen.Consumer(t.Context(), "S", "c")
		if err == nil && found.CachedInfo().NumAckPending == 0 {
			return true
		}
		network.Cut()
		network.Heal()
		return false
	}, 20*time.Second, time.Second)
	cancel()
	<-ended
}

// A consumer's leader stands still or is replaced, and the connection to another
// nats-server stays: what was said to the old leader is said to the new one before
// another dispatcher is given the message.
func TestANewLeaderIsToldWhatWasAcknowledged(t *testing.T) {
	js, err := jetstream.New(natstest.Start(t, natstest.Embedded()).Connect(t))
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	require.NoError(t, err)
	consumer, err := js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "s", nil)
	require.NoError(t, err)
	msg, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
	require.NoError(t, err)
	meta, err := msg.Metadata()
	require.NoError(t, err)
	c := newConsumers(js, nil, time.Minute, 1, zaptest.NewLogger(t))
	c.acked.add(placeOf(meta), msg.Reply()) // and nobody heard of it
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.acked.keep(ctx, js, zaptest.NewLogger(t))
	}()

	c.report("c", errors.New("nothing was heard of the consumer"))
	c.report("c", nil)

	assert.Eventually(t, func() bool {
		info, err := consumer.Info(t.Context())
		return err == nil && info.NumAckPending == 0
	}, 10*time.Second, 10*time.Millisecond)
	cancel()
	<-ended
}

// A stream that was made again has other messages with the same sequences.
func TestNoOtherMessageIsAcknowledgedAgain(t *testing.T) {
	js, err := jetstream.New(natstest.Start(t, natstest.Embedded()).Connect(t))
	require.NoError(t, err)
	taken := func() (jetstream.Msg, jetstream.Consumer) {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
		require.NoError(t, err)
		consumer, err := js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy})
		require.NoError(t, err)
		_, err = js.Publish(t.Context(), "s", nil)
		require.NoError(t, err)
		msg, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
		require.NoError(t, err)
		return msg, consumer
	}
	pending := func(consumer jetstream.Consumer) int {
		info, err := consumer.Info(t.Context())
		require.NoError(t, err)
		return info.NumAckPending
	}
	a := newAcked()
	before, _ := taken()
	meta, err := before.Metadata()
	require.NoError(t, err)
	a.add(placeOf(meta), before.Reply())
	require.NoError(t, js.DeleteStream(t.Context(), "S"))

	other, consumer := taken()
	require.NoError(t, a.repeat(t.Context(), js))
	require.NoError(t, js.Conn().Flush())

	assert.Equal(t, 1, pending(consumer))
	assert.False(t, a.has(other))
	meta, err = other.Metadata()
	require.NoError(t, err)
	a.add(placeOf(meta), other.Reply())
	require.NoError(t, a.repeat(t.Context(), js))
	require.Eventually(t, func() bool { return pending(consumer) == 0 }, 10*time.Second, 10*time.Millisecond)
}
