package erase

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// wishes plays the store.
type wishes struct {
	list  []store.Erasure
	begun int64
	asked int
	err   error
}

func (w *wishes) ErasuresBegun(context.Context) (int64, error) { return w.begun, w.err }

func (w *wishes) ErasuresSince(_ context.Context, since time.Time) (found []store.Erasure, _ error) {
	w.asked++
	for _, e := range w.list {
		if !e.BegunAt.Before(since) {
			found = append(found, e)
		}
	}
	return found, w.err
}

func (w *wishes) erase(projectID, eventID string, through int64) {
	w.begun++
	w.list = append(w.list, store.Erasure{ProjectID: projectID, EventID: eventID, Through: through, BegunAt: time.Now()})
}

func answered(projectID, eventID string, sequence uint64) *webhooksv1.Attempt {
	return &webhooksv1.Attempt{
		ProjectId: projectID, EventId: eventID, EventSequence: sequence, Detail: "said", Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED,
		Response: &webhooksv1.Response{Body: []byte("said")},
	}
}

func TestOnlyErasedEventsLoseTheirAnswers(t *testing.T) {
	w := &wishes{}
	k := NewKnown(w)
	kept := func(a *webhooksv1.Attempt) bool {
		t.Helper()
		require.NoError(t, k.Apply(t.Context(), []*webhooksv1.Attempt{a}))
		require.Equal(t, a.GetResponse() == nil, a.GetDetail() == "")
		require.Equal(t, webhooksv1.Outcome_OUTCOME_DELIVERED, a.GetOutcome(), "what was delivered stays delivered")
		return a.GetResponse() != nil
	}
	assert.True(t, kept(answered("p1", "e1", 5)), "nothing was erased")
	w.erase("p1", "e1", 5)
	w.erase("p2", "", 100)
	for _, row := range []struct {
		a    *webhooksv1.Attempt
		want bool
	}{
		{answered("p1", "e1", 5), false},
		{answered("p1", "e1", 6), true}, // published again
		{answered("p1", "e2", 5), true},
		{answered("p3", "e1", 5), true},
		{answered("p2", "e1", 100), false},
		{answered("p2", "e1", 101), true},
		{answered("p2", "evt_test", 0), true}, // a test is of no event
	} {
		assert.Equal(t, row.want, kept(row.a), row.a)
	}
	w.erase("p1", "e1", 6)
	assert.False(t, kept(answered("p1", "e1", 6)))
	asked := w.asked
	kept(answered("p1", "e1", 6))
	assert.Equal(t, asked, w.asked, "the store is asked for a number alone while nothing is new")
}

func TestAnErasedEventDidNotExpire(t *testing.T) {
	w := &wishes{}
	w.erase("p1", "e1", 5)
	for id, want := range map[string]webhooksv1.Outcome{
		"e1": webhooksv1.Outcome_OUTCOME_ERASED, "e2": webhooksv1.Outcome_OUTCOME_EXPIRED,
	} {
		a := answered("p1", id, 5)
		a.Outcome = webhooksv1.Outcome_OUTCOME_EXPIRED
		require.NoError(t, NewKnown(w).Apply(t.Context(), []*webhooksv1.Attempt{a}))
		assert.Equal(t, want, a.GetOutcome(), id)
	}
}

func TestNothingIsWrittenWhenItIsNotKnownWhatWasErased(t *testing.T) {
	w := &wishes{err: errors.New("away")}
	require.ErrorIs(t, NewKnown(w).Apply(t.Context(), nil), w.err)
}

// What the store forgets is not kept here for as long as the process lives.
func TestWhatTheStoreForgetsIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wishes{}
		k := NewKnown(w)
		for i := range uint64(100) {
			w.erase("p1", fmt.Sprint("e", i), int64(i))
			require.NoError(t, k.Apply(t.Context(), nil))
		}
		assert.Len(t, k.through, 100)
		w.list = nil
		<-time.After(rereadEvery)
		w.erase("p1", "new", 500)
		a := answered("p1", "new", 500)
		require.NoError(t, k.Apply(t.Context(), []*webhooksv1.Attempt{a}))
		assert.Nil(t, a.GetResponse())
		assert.Len(t, k.through, 1)
	})
}
