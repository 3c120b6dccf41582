package registry_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

// Without a majority the bucket has no leader: nothing is known, and it comes back
// by itself, also when the server with the watch's consumer went.
func TestAClusterWithoutALeaderIsSurvived(t *testing.T) {
	const long = time.Minute
	cluster := natstest.StartCluster(t)
	js, err := jetstream.New(cluster.Connect())
	require.NoError(t, err)
	bucket, err := js.CreateKeyValue(t.Context(), topology.Bucket(topology.Settings{Replicas: 3}))
	require.NoError(t, err)
	put := func(r *webhooksv1.Registration) {
		t.Helper()
		data, err := proto.Marshal(r)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := bucket.Put(ctx, topology.KeyRegistration("p1", r.GetId()), data)
			return err == nil
		}, long, 50*time.Millisecond)
	}
	put(registration("w1", 1))
	_, err = bucket.Put(t.Context(), topology.KeyProjected, []byte("1"))
	require.NoError(t, err)
	r := registry.Open(nil, zap.NewNop())
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { assert.NoError(t, r.Run(ctx, js)) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	waiting, done := context.WithTimeout(t.Context(), long)
	defer done()
	require.NoError(t, r.WaitCurrent(waiting))

	cluster.Stop(0)
	cluster.Stop(1)
	require.Eventually(t, func() bool { return !r.Current() }, long, 50*time.Millisecond)
	assert.NotNil(t, r.Get("w1"), "what is known is kept")
	cluster.Start(0)
	cluster.Start(1)

	put(registration("w2", 1))
	require.Eventually(t, func() bool {
		webhooks, known := r.Match(nil, "p1", event.ConversationStarted, time.Now())
		return known && len(webhooks) == 2
	}, long, 50*time.Millisecond)
}
