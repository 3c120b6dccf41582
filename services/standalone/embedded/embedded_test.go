package embedded

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheBrokerKeepsWhatItStored(t *testing.T) {
	folder := t.TempDir()
	first, err := StartNATS(t.Context(), "127.0.0.1:0", NATSStore{Dir: folder}, zap.NewNop())
	require.NoError(t, err)
	js, leave := client(t, first)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "kept", make([]byte, topology.MaxEventBytes))
	require.NoError(t, err, "the largest event is not too large")
	leave()
	first.Stop()

	second, err := StartNATS(t.Context(), "127.0.0.1:0", NATSStore{Dir: folder}, zap.NewNop())
	require.NoError(t, err)
	defer second.Stop()
	js, leave = client(t, second)
	defer leave()
	stream, err := js.Stream(t.Context(), "KEPT")
	require.NoError(t, err)
	assert.Equal(t, uint64(1), stream.CachedInfo().State.Msgs)
}

// What a person sets is what the server does, and only what it can do is accepted.
func TestTheBrokerSyncsAsItIsTold(t *testing.T) {
	for text, want := range map[string]struct {
		always bool
		every  time.Duration
	}{
		"always": {always: true, every: 2 * time.Minute},
		"1s":     {every: time.Second},
		"2m0s":   {every: 2 * time.Minute},
	} {
		var interval SyncInterval
		require.NoError(t, interval.UnmarshalText([]byte(text)))
		broker, err := StartNATS(t.Context(), "127.0.0.1:0", NATSStore{Dir: t.TempDir(), Sync: interval}, zap.NewNop())
		require.NoError(t, err)
		config := broker.server.JetStreamConfig()
		broker.Stop()
		assert.Equal(t, want.always, config.SyncAlways, text)
		assert.Equal(t, want.every, config.SyncInterval, text)
		printed, err := interval.MarshalText()
		require.NoError(t, err)
		assert.Equal(t, text, string(printed))
	}
	for _, text := range []string{"", "never", "0", "0s", "-1s", "10ms", "2h", "1", "Always"} {
		var interval SyncInterval
		assert.ErrorContains(t, interval.UnmarshalText([]byte(text)), "always, or a duration", text)
	}
}

func client(t *testing.T, broker *NATS) (jetstream.JetStream, func()) {
	t.Helper()
	nc, err := nats.Connect(broker.URL())
	require.NoError(t, err)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return js, nc.Close
}

func TestABrokerWhosePortIsTakenSaysSo(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()

	_, err = StartNATS(t.Context(), taken.Addr().String(), NATSStore{Dir: t.TempDir()}, zap.NewNop())

	require.ErrorContains(t, err, taken.Addr().String())
	assert.ErrorContains(t, err, "address already in use")
}

func TestABrokerThatCannotStoreSaysSo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))

	_, err := StartNATS(t.Context(), "127.0.0.1:0", NATSStore{Dir: file}, zap.NewNop())

	require.Error(t, err)
}

func TestABrokerThatDiedIsNoticed(t *testing.T) {
	broker, err := StartNATS(t.Context(), "127.0.0.1:0", NATSStore{Dir: t.TempDir()}, zap.NewNop())
	require.NoError(t, err)
	broker.Stop()
	assert.Error(t, broker.Watch(t.Context()))
}

func TestTheDatabaseKeepsWhatItStored(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "with space")
	first, err := StartMongo(t.Context(), folder, zap.NewNop())
	require.NoError(t, err)
	things, leave := collection(t, first)
	_, err = things.InsertOne(t.Context(), bson.M{"_id": "kept"})
	require.NoError(t, err)
	leave()
	first.Stop()
	require.Error(t, first.Watch(t.Context()), "a database that died is noticed")

	second, err := StartMongo(t.Context(), folder, zap.NewNop())
	require.NoError(t, err)
	defer second.Stop()
	things, leave = collection(t, second)
	defer leave()
	count, err := things.CountDocuments(t.Context(), bson.M{"_id": "kept"})
	require.NoError(t, err)
	assert.Equal(t, int64(1), count)
}

func TestLookUpsByIDUseTheIndex(t *testing.T) {
	folder := t.TempDir()
	database, err := StartMongo(t.Context(), folder, zap.NewNop())
	require.NoError(t, err)
	defer database.Stop()
	things, leave := collection(t, database)
	defer leave()
	_, err = things.InsertOne(t.Context(), bson.M{"_id": "one", "value": 1})
	require.NoError(t, err)

	require.NoError(t, database.IndexIDs(t.Context(), "test"))
	require.NoError(t, database.IndexIDs(t.Context(), "test"), "once is as good as twice")

	// What FerretDB asks, and what it writes with.
	for _, statement := range []string{
		`SELECT _ferretdb_sjson FROM %q WHERE _ferretdb_sjson->'$._id' = ?`,
		`UPDATE %q SET _ferretdb_sjson = _ferretdb_sjson WHERE _ferretdb_sjson->'$._id' = ?`,
	} {
		assert.Contains(t, plan(t, folder, statement), "USING INDEX")
	}
	result, err := things.UpdateOne(t.Context(), bson.M{"_id": "one"}, bson.M{"$set": bson.M{"value": 2}})
	require.NoError(t, err)
	assert.Equal(t, int64(1), result.ModifiedCount)
	require.Error(t, database.IndexIDs(t.Context(), "missing"))
}

// plan is how SQLite would execute a statement on the first table.
func plan(t *testing.T, folder, statement string) string {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(folder, "test.sqlite"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	list, err := tables(t.Context(), db)
	require.NoError(t, err)
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+fmt.Sprintf(statement, list[0]), `"one"`)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &step))
		steps = append(steps, step)
	}
	require.NoError(t, rows.Err())
	return strings.Join(steps, "\n")
}

func collection(t *testing.T, database *Mongo) (*mongo.Collection, func()) {
	t.Helper()
	c, err := mongo.Connect(t.Context(), options.Client().ApplyURI(database.URI()))
	require.NoError(t, err)
	return c.Database("test").Collection("things"), func() { require.NoError(t, c.Disconnect(t.Context())) }
}

func TestReachable(t *testing.T) {
	for given, want := range map[string]string{
		"127.0.0.1:4222": "127.0.0.1:4222",
		"0.0.0.0:4222":   "127.0.0.1:4222",
		"[::]:4222":      "127.0.0.1:4222",
		"10.1.2.3:4222":  "10.1.2.3:4222",
	} {
		addr, err := net.ResolveTCPAddr("tcp", given)
		require.NoError(t, err)
		assert.Equal(t, want, reachable(addr))
	}
}
