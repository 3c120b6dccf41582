package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"

	"github.com/dembrane/webhooks/services/api/internal/store"
	"github.com/dembrane/webhooks/services/api/mongotest/mongoproxy"
)

// A list is what the database has, whatever was listed before: with and without others
// that write to it.
func TestListIsNeverOld(t *testing.T) {
	for name, alone := range map[string]bool{"alone": true, "with others": false} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			if alone {
				s.Alone()
			}
			listed := func() []store.Webhook {
				t.Helper()
				list, err := s.List(t.Context(), "p1")
				require.NoError(t, err)
				again, err := s.List(t.Context(), "p1")
				require.NoError(t, err)
				assert.Equal(t, list, again)
				return again
			}
			assert.Empty(t, listed())
			older, newer := fresh("p1"), fresh("p1")
			newer.CreatedAt = newer.CreatedAt.Add(time.Second)
			for _, w := range []store.Webhook{older, newer, fresh("p2")} {
				_, err := s.Create(t.Context(), w, 50)
				require.NoError(t, err)
				listed()
			}
			assert.Equal(t, []string{newer.ID, older.ID}, []string{listed()[0].ID, listed()[1].ID})

			_, err := s.Change(t.Context(), "p1", older.ID, func(w *store.Webhook) error { w.Name = "changed"; return nil })
			require.NoError(t, err)
			assert.Equal(t, "changed", listed()[1].Name)
			at := time.Now().UTC().Truncate(time.Millisecond)
			_, err = s.MergeHealth(t.Context(), older.ID, store.Health{LastAttemptAt: &at, FailingSince: &at})
			require.NoError(t, err)
			assert.Equal(t, at, listed()[1].Health.FailingSince.UTC())
			require.NoError(t, s.Settle(t.Context(), older.ID, 2))
			assert.False(t, listed()[1].Pending)

			require.NoError(t, s.Delete(t.Context(), "p1", newer.ID))
			assert.Len(t, listed(), 1)
			_, err = s.Purge(t.Context(), time.Now().Add(time.Hour), 10)
			require.NoError(t, err)
			assert.Equal(t, older.ID, listed()[0].ID)
		})
	}
}

// On the embedded database, whoever looks at a project again does not read the webhooks
// of all others; of a write that may still happen, nothing is remembered.
func TestListReadsNoOtherProjects(t *testing.T) {
	f := openFaulty(t)
	f.Alone()
	made, err := f.Create(t.Context(), fresh("p1"), 50)
	require.NoError(t, err)
	list := func() []store.Webhook {
		t.Helper()
		found, err := f.List(t.Context(), "p1")
		require.NoError(t, err)
		return found
	}
	list()
	var byID, others int
	f.proxy.On(mongoproxy.Rule{Match: func(command bson.Raw) bool {
		if filter, isFind := command.Lookup("filter").DocumentOK(); isFind {
			if id, ok := filter.Lookup("_id").StringValueOK(); ok && id == made.ID {
				byID++
			} else {
				others++
			}
		}
		return false
	}}, mongoproxy.DropBefore())
	for range 3 {
		assert.Len(t, list(), 1)
	}
	assert.Equal(t, []int{1, 0}, []int{byID, others}, "looked up by _id alone, and once")

	failing := f.proxy.On(mongoproxy.Rule{Command: "update"}, mongoproxy.RefuseApplied(mongoproxy.OutOfDiskSpace))
	_, err = f.MergeHealth(t.Context(), made.ID, store.Health{LastAttemptAt: new(time.Now()), LastStatusCode: 500})
	require.ErrorIs(t, err, store.ErrUnavailable)
	failing.Mend()
	byID = 0
	for range 3 {
		assert.Equal(t, 500, list()[0].Health.LastStatusCode)
	}
	assert.Equal(t, []int{3, 0}, []int{byID, others}, "it may have happened later")
}
