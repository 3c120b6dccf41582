package store_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"go.uber.org/zap/zaptest"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/lease"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
	"github.com/dembrane/webhooks/services/api/mongotest/mongoproxy"
)

// another is a store of another process.
func (f faulty) another(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), f.proxy.URI(), f.database, zaptest.NewLogger(t))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close(context.Background())) })
	return s
}

// before has something done before the next command of a kind.
func (f faulty) before(command, collection string, do func()) {
	f.proxy.On(mongoproxy.Rule{Command: command, Collection: collection, Times: 1}, func(call *mongoproxy.Call) (bson.Raw, error) {
		do()
		return call.Forward()
	})
}

// Two that erase different events of one page at once, each with an api of its own: what
// one has erased does not come back with the other.
func TestTwoEraseInOnePage(t *testing.T) {
	s := openFaulty(t)
	other := s.another(t)
	list := entries(210) // a page, and a tail
	for i, e := range list {
		e.EventId, e.Location = fmt.Sprint("e", i%2), "https://example.org/said"
	}
	require.NoError(t, s.AppendLog(t.Context(), "p1", "w1", list, never))
	erase := func(s *store.Store, event string) {
		_, err := s.EraseAnswers(context.WithoutCancel(t.Context()), "p1", "w1", func(e *webhooksv1.LogEntry) bool { return e.GetEventId() == event })
		assert.NoError(t, err)
	}
	s.before("update", "activity_pages", func() { erase(other, "e1") })

	erase(s.Store, "e0")

	left := 0
	_, err := s.WalkLog(t.Context(), "w1", store.LogWalk{Pages: allPages}, func(_ uint64, e *webhooksv1.LogEntry) bool {
		if e.GetLocation() != "" {
			left++
		}
		return true
	})
	require.NoError(t, err)
	assert.Zero(t, left)
}

// A wish to erase that is uttered again while the old one is being forgotten stays.
func TestAnErasureThatIsBegunAgainIsNotForgotten(t *testing.T) {
	s := openFaulty(t)
	other := s.another(t)
	wish := store.Erasure{ProjectID: "p1", By: "me", Through: 5}
	begun, err := s.BeginErasure(t.Context(), wish)
	require.NoError(t, err)
	require.NoError(t, s.EndErasure(t.Context(), begun))
	s.before("delete", "erasures", func() {
		_, err := other.BeginErasure(context.WithoutCancel(t.Context()), wish)
		assert.NoError(t, err)
	})

	_, err = s.ExpireErasures(t.Context(), time.Now().Add(time.Hour), 10)

	require.NoError(t, err)
	left, err := s.OpenErasures(t.Context())
	require.NoError(t, err)
	assert.Len(t, left, 1)
}

// What is recorded while the empty log of a deleted webhook is forgotten is not forgotten
// with it.
func TestALogIsNotForgottenWithWhatIsInIt(t *testing.T) {
	s := openFaulty(t)
	other := s.another(t)
	w := create(t, s.Store, "p1")
	require.NoError(t, s.AppendLog(t.Context(), "p1", w.ID, entries(1), never))
	require.NoError(t, s.Delete(t.Context(), "p1", w.ID))
	heads, err := s.LogHeads(t.Context())
	require.NoError(t, err)
	_, err = s.ExpireTail(t.Context(), heads[0], time.Now().Add(time.Hour))
	require.NoError(t, err)
	s.before("delete", "activity", func() {
		assert.NoError(t, other.AppendLog(context.WithoutCancel(t.Context()), "p1", w.ID, entries(1), never))
	})

	forgotten, err := s.ForgetLog(t.Context(), heads[0])

	require.NoError(t, err)
	assert.False(t, forgotten)
	a, err := s.Activity(t.Context(), w.ID)
	require.NoError(t, err)
	assert.Len(t, a.Tail, 1)
}

// Of many that repeat a key of yesterday at once, one makes something.
func TestOneTakesThePlaceOfAnOldClaim(t *testing.T) {
	s := open(t)
	for round := range 40 {
		key := fmt.Sprint("k", round)
		_, _, err := s.Claim(t.Context(), claim(key, "old", store.ClaimAge+time.Second))
		require.NoError(t, err)
		var ours atomic.Int32
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				_, made, err := s.Claim(context.WithoutCancel(t.Context()), claim(key, fmt.Sprint(i), 0))
				if assert.NoError(t, err) && made {
					ours.Add(1)
				}
			})
		}
		group.Wait()
		require.EqualValues(t, 1, ours.Load(), "round %d", round)
	}
}

// A replay that begins as the one before is let go of, by several and while its runner
// renews its lease, is the one that runs.
func TestTheNextReplayIsNotLetGoOf(t *testing.T) {
	s := open(t)
	for round := range 40 {
		before := store.Replay{ID: registration.NewID(), WebhookID: fmt.Sprint("w", round), State: store.ReplayRunning}
		next := store.Replay{ID: registration.NewID(), WebhookID: before.WebhookID, State: store.ReplayRunning}
		_, err := s.StartReplay(t.Context(), before)
		require.NoError(t, err)
		running, err := s.RunningReplay(t.Context(), before.WebhookID)
		require.NoError(t, err)
		ctx := context.WithoutCancel(t.Context())
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() { assert.NoError(t, s.ReleaseReplay(ctx, running)) })
		}
		group.Go(func() {
			_, err := s.SwapReplayLease(ctx, running, running.Lease, lease.Lease{Owner: "me", Until: time.Now().Add(time.Minute).UTC()})
			assert.NoError(t, err)
		})
		group.Go(func() {
			for {
				_, err := s.StartReplay(ctx, next)
				if err == nil {
					return
				}
				if !assert.ErrorIs(t, err, store.ErrReplayRunning) {
					return
				}
			}
		})
		group.Wait()
		running, err = s.RunningReplay(t.Context(), before.WebhookID)
		require.NoError(t, err, "round %d", round)
		require.Equal(t, next.ID, running.ReplayID, "round %d", round)
	}
}

// What two know of the health of a webhook is merged, also when they tell it at once.
func TestTwoMergeHealth(t *testing.T) {
	s := openFaulty(t)
	other := s.another(t)
	w := create(t, s.Store, "p1")
	at := time.Now().UTC().Truncate(time.Millisecond)
	s.before("update", "webhooks", func() {
		_, err := other.MergeHealth(context.WithoutCancel(t.Context()), w.ID, store.Health{LastAttemptAt: &at, LastSuccessAt: &at, LastStatusCode: 200})
		assert.NoError(t, err)
	})

	earlier := at.Add(-time.Second)
	merged, err := s.MergeHealth(t.Context(), w.ID, store.Health{LastAttemptAt: &earlier, FailingSince: &earlier, LastStatusCode: 500})

	require.NoError(t, err)
	got, err := s.Get(t.Context(), "p1", w.ID)
	require.NoError(t, err)
	assert.True(t, got.Health.Equal(merged))
	assert.Nil(t, got.Health.FailingSince)
	assert.Equal(t, 200, got.Health.LastStatusCode)
}
