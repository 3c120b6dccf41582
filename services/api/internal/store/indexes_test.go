package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"go.uber.org/zap/zaptest"

	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/store"
	"github.com/dembrane/webhooks/services/api/mongotest/mongoproxy"
)

// asked collects the indexes that are asked for, and the ones that are dropped.
type asked struct {
	mu      sync.Mutex
	created map[string]string
	dropped []string
}

func watchIndexes(proxy *mongoproxy.Proxy, then mongoproxy.Action) *asked {
	a := &asked{created: map[string]string{}}
	proxy.On(mongoproxy.Rule{Command: "createIndexes"}, func(call *mongoproxy.Call) (bson.Raw, error) {
		index := call.Document.Lookup("indexes", "0").Document()
		a.mu.Lock()
		a.created[call.Collection+"."+index.Lookup("name").StringValue()] = index.Lookup("key").Document().String()
		a.mu.Unlock()
		return then(call)
	})
	proxy.On(mongoproxy.Rule{Command: "dropIndexes"}, func(call *mongoproxy.Call) (bson.Raw, error) {
		a.mu.Lock()
		a.dropped = append(a.dropped, call.Document.Lookup("index").StringValue())
		a.mu.Unlock()
		return call.Forward()
	})
	return a
}

func done(*mongoproxy.Call) (bson.Raw, error) { return bson.Marshal(bson.D{{Key: "ok", Value: 1.0}}) }

func TestIndexes(t *testing.T) {
	server := mongotest.StartEmbedded(t)
	proxy := mongoproxy.StartReplicaSet(t, server.URI())
	s := openURI(t, proxy.URI(), server.Database(), zaptest.NewLogger(t))
	indexes := watchIndexes(proxy, done)
	require.NoError(t, s.Prepare(t.Context()))
	assert.Equal(t, map[string]string{"webhooks.slot": `{"slot": {"$numberInt":"1"}}`}, indexes.created)

	require.NoError(t, s.BuildIndexes(t.Context(), maxAge))
	const up, down = `{"$numberInt":"1"}`, `{"$numberInt":"-1"}`
	assert.Equal(t, map[string]string{
		"webhooks.slot":           `{"slot": ` + up + `}`,
		"webhooks.project_newest": `{"project_id": ` + up + `,"created_at": ` + down + `,"_id": ` + down + `}`,
		"idempotency.expiry":      `{"created_at": ` + up + `}`,
		"webhooks.newest":         `{"created_at": ` + down + `,"_id": ` + down + `}`,
		"webhooks.pending_only":   `{"pending": ` + up + `}`,
		"attempts.expiry":         `{"started_at": ` + up + `}`,
		"activity.project":        `{"project_id": ` + up + `}`,
		"erasures.done":           `{"done": ` + up + `}`,
		"erasures.begun":          `{"begun_at": ` + up + `}`,
	}, indexes.created)
	assert.Equal(t, []string{"pending", "project", "webhook", "webhook_outcome"}, indexes.dropped, "they have become others, or are used by nothing")
}

// C3: only the index that limits the number of webhooks is waited for.
func TestIndexesBuildInTheBackground(t *testing.T) {
	server := mongotest.StartEmbedded(t)
	proxy := mongoproxy.Start(t, server.URI())
	s := openURI(t, proxy.URI(), server.Database(), zaptest.NewLogger(t))
	_, err := s.Create(t.Context(), fresh("p1"), 5)
	require.ErrorIs(t, err, store.ErrUnavailable, "the limit would not hold")
	_, err = s.List(t.Context(), "p1")
	require.NoError(t, err)

	require.NoError(t, s.Prepare(t.Context()))
	release := make(chan struct{})
	held := proxy.On(mongoproxy.Rule{Command: "createIndexes"}, mongoproxy.Hold(release))
	built := make(chan error, 1)
	go func() { built <- s.BuildIndexes(context.Background(), maxAge) }()
	require.Eventually(t, func() bool { return held.Struck() == 1 }, 20*time.Second, time.Millisecond)
	create(t, s, "p1")
	close(release)
	require.NoError(t, <-built)
}

// An index that fails keeps no other one from being built.
func TestIndexesAreTriedAgain(t *testing.T) {
	s := openFaulty(t)
	s.proxy.On(mongoproxy.Rule{Command: "createIndexes", Times: 1}, mongoproxy.Refuse(mongoproxy.InterruptedAtShutdown))
	indexes := watchIndexes(s.proxy, func(call *mongoproxy.Call) (bson.Raw, error) { return call.Forward() })
	require.ErrorIs(t, s.BuildIndexes(t.Context(), maxAge), store.ErrUnavailable)
	assert.NotContains(t, indexes.created, "webhooks.project_newest")
	assert.Contains(t, indexes.created, "attempts.expiry")
	assert.NotContains(t, indexes.dropped, "project", "not before there is another one")
	require.NoError(t, s.BuildIndexes(t.Context(), maxAge))
	assert.Contains(t, indexes.created, "webhooks.project_newest")
}
