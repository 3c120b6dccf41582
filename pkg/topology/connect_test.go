package topology_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
)

func TestConnectOutlivesAnyOutage(t *testing.T) {
	server := natstest.Start(t, natstest.Embedded())
	url := server.URL()
	server.Shutdown()
	core, logs := observer.New(zap.DebugLevel)
	nc, err := topology.Connect(topology.Connection{URL: url, Name: "test"}, zap.New(core))
	require.NoError(t, err, "none can be reached yet")
	defer nc.Close()
	require.Error(t, nc.Publish("x", nil), "nothing is kept in memory meanwhile")
	require.Error(t, topology.Connected(nc))

	server.Restart()
	require.Eventually(t, nc.IsConnected, patience, time.Millisecond)
	require.NoError(t, topology.Connected(nc))
	server.Shutdown()
	require.Eventually(t, func() bool { return !nc.IsConnected() }, patience, time.Millisecond)
	server.Restart()
	require.Eventually(t, nc.IsConnected, patience, time.Millisecond)
	assert.NotZero(t, logs.FilterMessage("nats disconnected").Len())
}

func TestConnectFailsOnWhatCanNeverWork(t *testing.T) {
	for _, c := range []topology.Connection{
		{URL: "nats://%zz"},
		{URL: "nats://127.0.0.1:1", CredentialsFile: "missing.creds"},
	} {
		nc, err := topology.Connect(c, zap.NewNop())
		if nc != nil {
			nc.Close()
		}
		assert.Error(t, err, c)
	}
}

// A password that is refused for a while, at the start or later, is tried again
// until it is taken (A3).
func TestConnectOutlivesRefusedCredentials(t *testing.T) {
	server := natstest.Start(t, natstest.Embedded(), natstest.WithPassword("right"))
	url := strings.Replace(server.URL(), "://", "://test:right@", 1)
	connection := topology.Connection{URL: url, Name: "test", Lost: func(err error) { t.Error(err) }}
	nc, err := topology.Connect(connection, zap.NewNop())
	require.NoError(t, err)
	defer nc.Close()
	require.Eventually(t, nc.IsConnected, patience, time.Millisecond)

	server.Restart(natstest.WithPassword("another"))
	late, err := topology.Connect(connection, zap.NewNop())
	require.NoError(t, err)
	defer late.Close()
	refused := func() bool {
		return topology.Connected(nc) != nil && strings.Contains(topology.Connected(nc).Error(), "uthorization") &&
			topology.Connected(late) != nil
	}
	require.Eventually(t, refused, patience, time.Millisecond, "it says why")
	require.Never(t, func() bool { return nc.IsClosed() || late.IsClosed() }, 5*time.Second, 10*time.Millisecond, "twice and more")

	server.Restart(natstest.WithPassword("right"))
	require.Eventually(t, nc.IsConnected, patience, time.Millisecond)
	require.Eventually(t, late.IsConnected, patience, time.Millisecond)
}

// What the client gives up for good is told, so that the process can end (A3).
func TestALostConnectionIsTold(t *testing.T) {
	server := natstest.Start(t)
	lost := make(chan error, 2)
	nc, err := topology.Connect(topology.Connection{URL: server.URL(), Lost: func(err error) { lost <- err }}, zap.NewNop())
	require.NoError(t, err)
	require.Eventually(t, nc.IsConnected, patience, time.Millisecond)
	require.NoError(t, nc.Publish("a."+strings.Repeat("b", 5000), nil))
	select {
	case err := <-lost:
		require.ErrorIs(t, err, topology.ErrConnectionLost)
		require.ErrorContains(t, err, "maximum control line")
	case <-time.After(patience):
		require.Fail(t, "not told")
	}
	require.True(t, nc.IsClosed())

	mine, err := topology.Connect(topology.Connection{URL: server.URL(), Lost: func(err error) { lost <- err }}, zap.NewNop())
	require.NoError(t, err)
	mine.Close()
	select {
	case err := <-lost:
		require.NoError(t, errors.Join(err, errors.New("its owner closed it")))
	case <-time.After(200 * time.Millisecond):
	}
}

// A server that is too old is refused in words.
func TestAnOldServerIsRefused(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close() //nolint:errcheck // the test has ended
		_, _ = io.WriteString(conn, `INFO {"server_id":"x","version":"2.10.29","proto":1,"headers":true,"max_payload":8454144,"jetstream":true}`+"\r\nPONG\r\n")
		_, _ = io.Copy(io.Discard, conn)
	}()
	nc, err := topology.Connect(topology.Connection{URL: "nats://" + listener.Addr().String()}, zap.NewNop())
	require.NoError(t, err)
	require.Eventually(t, nc.IsConnected, patience, time.Millisecond)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	for _, err := range []error{topology.Ensure(t.Context(), js, settings()), topology.Check(t.Context(), js)} {
		require.ErrorContains(t, err, "the NATS server is version 2.10.29; 2.12 or newer is needed")
	}
	nc.Close()
	require.NoError(t, listener.Close())
	<-ended
}
