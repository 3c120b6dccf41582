package mongoproxy_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.uber.org/goleak"

	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/mongotest/mongoproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type world struct {
	proxy *mongoproxy.Proxy
	items *mongo.Collection
}

// newWorld is a driver on a proxy that plays a replica set, before a real server.
func newWorld(t *testing.T) world {
	t.Helper()
	server := mongotest.StartEmbedded(t)
	proxy := mongoproxy.StartReplicaSet(t, server.URI())
	client, err := mongo.Connect(t.Context(), options.Client().ApplyURI(proxy.URI()).SetServerSelectionTimeout(time.Second))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, client.Disconnect(context.Background())) })
	return world{proxy: proxy, items: client.Database(server.Database()).Collection("items")}
}

func item(id int) bson.D { return bson.D{{Key: "_id", Value: id}} }

func (w world) count(t *testing.T) int {
	t.Helper()
	n, err := w.items.CountDocuments(t.Context(), bson.D{})
	require.NoError(t, err)
	return int(n)
}

// The driver believes it: it numbers its writes and repeats what was refused.
func TestPlaysAReplicaSet(t *testing.T) {
	w := newWorld(t)
	numbered := func(document bson.Raw) bool { return document.Lookup("txnNumber").Validate() == nil }
	for name, act := range map[string]mongoproxy.Action{
		"refused":            mongoproxy.Refuse(mongoproxy.PrimarySteppedDown),
		"dropped":            mongoproxy.DropBefore(),
		"not a primary":      mongoproxy.Refuse(mongoproxy.NotWritablePrimary),
		"shutting down":      mongoproxy.Refuse(mongoproxy.InterruptedAtShutdown),
		"held, then refused": mongoproxy.Refuse(mongoproxy.InterruptedDueToReplStateChange),
	} {
		t.Run(name, func(t *testing.T) {
			fault := w.proxy.On(mongoproxy.Rule{Command: "insert", Match: numbered, Times: 1}, act)
			before := w.proxy.Count("insert", "items")
			_, err := w.items.InsertOne(t.Context(), bson.D{})
			require.NoError(t, err)
			assert.Equal(t, 1, fault.Struck())
			assert.Equal(t, before+2, w.proxy.Count("insert", "items"))
		})
	}
}

func TestAppliedOrNot(t *testing.T) {
	w := newWorld(t)
	for id, row := range []struct {
		act     mongoproxy.Action
		applied int
	}{
		{mongoproxy.DropBefore(), 0},
		{mongoproxy.Refuse(mongoproxy.OutOfDiskSpace), 0},
		{mongoproxy.FailDocuments(mongoproxy.OutOfDiskSpace), 0},
		{mongoproxy.DropAfter(), 1},
		{mongoproxy.RefuseApplied(mongoproxy.WriteConcernTimeout), 1},
		{mongoproxy.FailWriteConcern(mongoproxy.WriteConcernTimeout), 1},
	} {
		fault := w.proxy.On(mongoproxy.Rule{Command: "insert"}, row.act)
		before := w.count(t)
		_, err := w.items.InsertOne(t.Context(), item(id))
		require.Error(t, err)
		fault.Mend()
		assert.Equal(t, before+row.applied, w.count(t), id)
	}
}

func TestFailsSomeDocuments(t *testing.T) {
	w := newWorld(t)
	_, err := w.items.InsertOne(t.Context(), item(3))
	require.NoError(t, err)
	w.proxy.On(mongoproxy.Rule{Command: "insert"}, mongoproxy.FailDocuments(mongoproxy.WriteConflict, 1))
	_, err = w.items.InsertMany(t.Context(), []any{item(1), item(2), item(3), item(4)}, options.InsertMany().SetOrdered(false))
	var failed mongo.BulkWriteException
	require.ErrorAs(t, err, &failed)
	codes := map[int]int{}
	for _, fault := range failed.WriteErrors {
		codes[fault.Index] = fault.Code
	}
	assert.Equal(t, map[int]int{1: 112, 2: 11000}, codes)
	assert.Equal(t, 3, w.count(t))
}

func TestWithoutAPrimary(t *testing.T) {
	w := newWorld(t)
	w.proxy.SetPrimary(false)
	_, err := w.items.InsertOne(t.Context(), item(1))
	require.Error(t, err)
	w.proxy.SetPrimary(true)
	require.Eventually(t, func() bool {
		_, err := w.items.InsertOne(t.Context(), item(2))
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
}

func TestHolds(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	fault := w.proxy.On(mongoproxy.Rule{Command: "createIndexes"}, mongoproxy.Hold(release))
	made := make(chan error, 1)
	go func() {
		_, err := w.items.Indexes().CreateOne(context.Background(), mongo.IndexModel{Keys: bson.D{{Key: "a", Value: 1}}})
		made <- err
	}()
	require.Eventually(t, func() bool { return fault.Struck() == 1 }, 20*time.Second, time.Millisecond)
	_, err := w.items.InsertOne(t.Context(), item(1))
	require.NoError(t, err, "others go on")
	close(release)
	require.NoError(t, <-made)
}

func TestFindsNothing(t *testing.T) {
	w := newWorld(t)
	_, err := w.items.InsertOne(t.Context(), item(1))
	require.NoError(t, err)
	w.proxy.On(mongoproxy.Rule{Command: "find", Times: 1}, mongoproxy.FindNothing(w.items.Database().Name()))
	require.ErrorIs(t, w.items.FindOne(t.Context(), item(1)).Err(), mongo.ErrNoDocuments)
	require.NoError(t, w.items.FindOne(t.Context(), item(1)).Err())
}
