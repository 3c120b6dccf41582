package embedded

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	_ "modernc.org/sqlite" // the driver that the database has, too
)

// many is more than FerretDB has connections to SQLite.
const many = 120

// crowd is many clients of a database, and a number in it.
type crowd struct {
	database *Mongo
	numbers  *mongo.Collection
}

func startCrowd(t *testing.T) crowd {
	t.Helper()
	database, err := StartMongo(t.Context(), t.TempDir(), zap.NewNop())
	require.NoError(t, err)
	client, err := mongo.Connect(t.Context(), options.Client().ApplyURI(database.URI()).SetMaxPoolSize(many).SetMaxConnecting(many))
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, client.Disconnect(context.WithoutCancel(t.Context())))
		database.Stop()
	})
	c := crowd{database: database, numbers: client.Database("gate").Collection("numbers")}
	_, err = c.numbers.InsertOne(t.Context(), bson.D{{Key: "_id", Value: "one"}, {Key: "n", Value: 0}})
	require.NoError(t, err)
	return c
}

func (c crowd) add(ctx context.Context) error {
	_, err := c.numbers.UpdateOne(ctx, bson.D{{Key: "_id", Value: "one"}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}})
	return err
}

func (c crowd) number(t *testing.T) int {
	t.Helper()
	var one struct{ N int }
	require.NoError(t, c.numbers.FindOne(t.Context(), bson.D{{Key: "_id", Value: "one"}}).Decode(&one))
	return one.N
}

// occupy keeps everybody from writing until it is ended.
func (c crowd) occupy(t *testing.T) (end func()) {
	t.Helper()
	db, err := c.database.open("gate", time.Second)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	return func() {
		_, err := db.ExecContext(t.Context(), "ROLLBACK")
		assert.NoError(t, err)
		assert.NoError(t, db.Close())
	}
}

// A change that is answered is there, whatever others change at the same time.
func TestNoChangeIsLost(t *testing.T) {
	c := startCrowd(t)
	var all errgroup.Group
	for range many {
		all.Go(func() error { return c.add(t.Context()) })
	}
	require.NoError(t, all.Wait())
	assert.Equal(t, many, c.number(t))
}

// Also when more change something than the database has connections, and do not wait.
func TestTheDatabaseGoesOnAfterManyGaveUp(t *testing.T) {
	c := startCrowd(t)
	end := c.occupy(t)
	var gone sync.WaitGroup
	for range many {
		gone.Go(func() {
			impatient, cancel := context.WithTimeout(t.Context(), time.Second/2)
			defer cancel()
			assert.Error(t, c.add(impatient))
		})
	}
	gone.Wait()
	assert.Zero(t, c.number(t), "reading is possible")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var patient errgroup.Group
	for range many {
		patient.Go(func() error { return c.add(ctx) })
	}
	end()
	require.NoError(t, patient.Wait())
	assert.GreaterOrEqual(t, c.number(t), many)
}
