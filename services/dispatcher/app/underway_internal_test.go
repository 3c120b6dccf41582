package app

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
	assert.False(t, a.has(first), "given out once")
	meta, err := first.Metadata()
	require.NoError(t, err)
	a.add(placeOf(meta), first.Reply())

	require.NoError(t, first.Nak()) // as if it had not been acknowledged
	assert.True(t, a.has(take()))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.keep(ctx, nc)
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
