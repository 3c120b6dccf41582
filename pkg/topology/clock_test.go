package topology_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
)

func TestTheLeaderTellsTheTime(t *testing.T) {
	t.Parallel()
	js, err := jetstream.New(natstest.Start(t, natstest.Embedded()).Connect(t))
	require.NoError(t, err)
	var c topology.Clock
	require.Error(t, c.Compare(t.Context(), js), "there is no stream yet")
	_, known := c.Ahead()
	require.False(t, known)
	require.NoError(t, topology.Ensure(t.Context(), js, topology.Settings{Replicas: 1, EventsMaxAge: time.Hour, DuplicateWindow: time.Minute}))

	require.NoError(t, c.Compare(t.Context(), js))

	ahead, known := c.Ahead()
	assert.True(t, known)
	assert.Zero(t, ahead, "it runs on the same machine")
}
