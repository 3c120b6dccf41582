package documents_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/store/documents"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) *documents.Database {
	t.Helper()
	server := mongotest.Start(t)
	in, err := documents.Open(t.Context(), server.URI(), server.Database(), zaptest.NewLogger(t))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, in.Close(context.Background())) })
	return in
}

type counter struct {
	ID    string `bson:"_id"`
	Count int    `bson:"count"`
}

func load(ctx context.Context, t *testing.T, in documents.Collection, id string) (c counter) {
	t.Helper()
	assert.NoError(t, in.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&c))
	return c
}

// Whatever is read for a change still holds when it is written, where this process is alone.
func TestNoChangeIsLost(t *testing.T) {
	database := open(t)
	database.Alone()
	var told atomic.Int32
	in := database.Collection("counters", func(id string, err error) {
		if id == "one" && err == nil {
			told.Add(1)
		}
	})
	const changes = 40
	_, err := in.InsertOne(t.Context(), counter{ID: "one"})
	require.NoError(t, err)
	var group sync.WaitGroup
	for range changes {
		group.Go(func() {
			assert.NoError(t, in.Change(t.Context(), "one", func(ctx context.Context, d *documents.Document) error {
				was := load(ctx, t, in, "one")
				fits, err := d.Update(ctx, d.SinceRead(bson.E{Key: "count", Value: was.Count}),
					bson.D{{Key: "$set", Value: bson.D{{Key: "count", Value: was.Count + 1}}}})
				assert.True(t, fits)
				return err
			}))
		})
	}
	group.Wait()
	assert.Equal(t, changes, load(t.Context(), t, in, "one").Count)
	assert.EqualValues(t, changes, told.Load())
}

// With others, what has changed since it was read is left alone.
func TestAChangeSinceTheReadingIsSeen(t *testing.T) {
	in := open(t).Collection("counters", nil)
	require.NoError(t, in.Change(t.Context(), "one", func(ctx context.Context, d *documents.Document) error {
		inserted, err := d.Insert(ctx, counter{ID: "one", Count: 2})
		require.NoError(t, err)
		assert.True(t, inserted)
		inserted, err = d.Insert(ctx, counter{ID: "one", Count: 3})
		require.NoError(t, err)
		assert.False(t, inserted)
		fits, err := d.Update(ctx, d.SinceRead(bson.E{Key: "count", Value: 1}), bson.D{{Key: "$set", Value: bson.D{{Key: "count", Value: 9}}}})
		require.NoError(t, err)
		assert.False(t, fits)
		deleted, err := d.Delete(ctx, bson.D{{Key: "count", Value: 1}})
		require.NoError(t, err)
		assert.False(t, deleted)
		return nil
	}))
	assert.Equal(t, 2, load(t.Context(), t, in, "one").Count)
}

// A change within another one might wait for itself: it always fails, not only when the
// two happen to share a lock. So does one that outlives its turn.
func TestAChangeHasItsTurnAlone(t *testing.T) {
	in := open(t).Collection("counters", nil)
	var kept *documents.Document
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.NoError(t, in.Change(t.Context(), "one", func(ctx context.Context, d *documents.Document) error {
		require.ErrorContains(t, in.Change(ctx, "two", func(context.Context, *documents.Document) error {
			assert.Fail(t, "it has two locks")
			return nil
		}), "within another one")
		kept = d
		require.ErrorIs(t, in.Change(short, "one", func(context.Context, *documents.Document) error {
			assert.Fail(t, "two have the same lock")
			return nil
		}), documents.ErrUnavailable)
		deadline, bounded := ctx.Deadline()
		assert.True(t, bounded)
		assert.LessOrEqual(t, time.Until(deadline), documents.CallTimeout)
		return nil
	}))
	_, err := kept.Delete(t.Context(), nil)
	require.ErrorContains(t, err, "over")
}

// More than the embedded database has connections for, in one command.
func TestManyAreDeletedAtOnce(t *testing.T) {
	in := open(t).Collection("counters", nil)
	const many = 300
	var ids []string
	var list []any
	for i := range many {
		ids = append(ids, strconv.Itoa(i))
		list = append(list, counter{ID: strconv.Itoa(i)})
	}
	_, err := in.InsertMany(t.Context(), list)
	require.NoError(t, err)
	require.NoError(t, in.DeleteByID(t.Context(), ids[1:]...))
	left, err := in.CountDocuments(t.Context(), bson.D{})
	require.NoError(t, err)
	assert.EqualValues(t, 1, left)
}
