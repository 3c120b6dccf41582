package natstest_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRestartKeepsAddressAndStore(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Embedded())
	address := server.URL()
	js, err := jetstream.New(server.Connect(t))
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "kept", Subjects: []string{"kept"}})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "kept", []byte("x"))
	require.NoError(t, err)

	server.Shutdown()
	server.Shutdown()
	server.Restart()
	assert.Equal(t, address, server.URL())
	again, err := jetstream.New(server.Connect(t))
	require.NoError(t, err)
	stream, err := again.Stream(t.Context(), "kept")
	require.NoError(t, err)
	assert.EqualValues(t, 1, stream.CachedInfo().State.Msgs)
}

func TestEveryTestHasItsOwnServer(t *testing.T) {
	t.Parallel()
	one, other := natstest.Start(t, natstest.Embedded()), natstest.Start(t, natstest.Embedded())
	assert.NotEqual(t, one.URL(), other.URL())
	assert.EqualValues(t, topology.MaxEventBytes+topology.HeaderAllowance, one.Connect(t).MaxPayload())
}

// NATS_URL names a server that this test started, in the place of a real one.
func TestBorrowedServerIsLeftAsItWas(t *testing.T) {
	real := natstest.Start(t, natstest.Embedded())
	t.Setenv("NATS_URL", real.URL())
	js, err := jetstream.New(real.Connect(t))
	require.NoError(t, err)
	t.Run("a test that uses it", func(t *testing.T) {
		borrowed := natstest.Start(t)
		assert.Equal(t, real.URL(), borrowed.URL())
		_, err := js.CreateStream(t.Context(), topology.Streams(topology.Settings{Replicas: 1})[0])
		require.NoError(t, err)
	})
	_, err = js.Stream(t.Context(), topology.StreamEvents)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}
