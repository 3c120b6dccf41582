package registry

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Row A13: a parked delivery of a webhook that the watch has not said yet.
func TestFindAsksTheBucketWhileTheWatchIsBehind(t *testing.T) {
	server := natstest.Start(t, natstest.Embedded())
	js, err := jetstream.New(server.Connect(t))
	require.NoError(t, err)
	bucket, err := js.CreateKeyValue(t.Context(), topology.Bucket(topology.Settings{Replicas: 1}))
	require.NoError(t, err)
	for _, registration := range []*webhooksv1.Registration{
		{Id: "w1", ProjectId: "p1", Revision: 1, Url: "https://example.org", Enabled: true},
		{Id: "w2", ProjectId: "p1", Revision: 3, Deleted: true},
		{Id: "w4", ProjectId: "p1", Revision: 1, Url: "https://example.org"},
	} {
		data, err := proto.Marshal(registration)
		require.NoError(t, err)
		_, err = bucket.Put(t.Context(), topology.KeyRegistration("p1", registration.GetId()), data)
		require.NoError(t, err)
	}
	require.NoError(t, bucket.Delete(t.Context(), "p1.w4"))
	r := Open(nil, zap.NewNop())
	r.js = js
	r.replace(newTable(), time.Now()) // loaded, and nothing seen since

	w, _ := r.Find(t.Context(), "p1", "w1")
	require.NotNil(t, w)
	assert.Equal(t, "https://example.org", w.URL.String())
	for id, want := range map[string]bool{"w2": true, "w3": false, "w4": false} {
		w, deleted := r.Find(t.Context(), "p1", id)
		assert.Nil(t, w, id)
		assert.Equal(t, want, deleted, id)
	}

	server.Shutdown()
	w, deleted := r.Find(t.Context(), "p1", "w5")
	assert.Nil(t, w)
	assert.False(t, deleted, "nobody can be asked")
}
