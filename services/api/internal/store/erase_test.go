package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
	"github.com/dembrane/webhooks/services/api/internal/lease"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// Answers go out of records, pages and tail, of the events that match and no others.
func TestErasingAnswers(t *testing.T) {
	s := open(t)
	const all = 210 // a page, and a tail
	var list []*webhooksv1.Attempt
	var entries []*webhooksv1.LogEntry
	for i := range all {
		id := ulid.Make()
		a := &webhooksv1.Attempt{
			Id: id.String(), ProjectId: "p1", WebhookId: "w1", EventId: []string{"e0", "e1", "e2", "e3", "e4", "e5", "e6"}[i%7], EventSequence: uint64(i + 1),
			StartedAt: timestamppb.Now(), Outcome: webhooksv1.Outcome_OUTCOME_RETRY, Reason: webhooksv1.Reason_REASON_REDIRECT,
			StatusCode: 302, Detail: "It said so.", Number: 1,
			Response: &webhooksv1.Response{Body: []byte("said"), Headers: []*webhooksv1.Header{{Name: "Location", Value: "https://example.org/said"}}},
		}
		list, entries = append(list, a), append(entries, activity.Entry(a, id))
	}
	_, err := s.InsertAttempts(t.Context(), list)
	require.NoError(t, err)
	require.NoError(t, s.AppendLog(t.Context(), "p1", "w1", entries, func(string) bool { return false }))
	logs, err := s.LogsOf(t.Context(), "p1")
	require.NoError(t, err)
	assert.Equal(t, []string{"w1"}, logs)
	none, err := s.LogsOf(t.Context(), "p2")
	require.NoError(t, err)
	assert.Empty(t, none)

	n, err := s.EraseAnswers(t.Context(), "p1", "w1", func(e *webhooksv1.LogEntry) bool { return e.GetEventId() == "e1" })
	require.NoError(t, err)
	assert.EqualValues(t, all/7, n)

	var seen []*webhooksv1.LogEntry
	_, err = s.WalkLog(t.Context(), "w1", store.LogWalk{Pages: 100}, func(_ uint64, e *webhooksv1.LogEntry) bool {
		seen = append(seen, e)
		return true
	})
	require.NoError(t, err)
	require.Len(t, seen, all, "the log keeps that they were made")
	for i, e := range seen {
		kept := e.GetEventId() != "e1"
		assert.Equal(t, kept, e.GetLocation() != "")
		if kept && i%20 > 0 {
			continue // a look takes its time here
		}
		a, err := s.Attempt(t.Context(), "p1", "w1", activity.ID(e))
		require.NoError(t, err)
		assert.Equal(t, kept, a.GetResponse() != nil)
		assert.Equal(t, kept, a.GetDetail() != "")
		assert.EqualValues(t, 302, a.GetStatusCode())
	}

	n, err = s.EraseAnswers(t.Context(), "p1", "w1", func(*webhooksv1.LogEntry) bool { return true })
	require.NoError(t, err, "as many at once as there are")
	assert.EqualValues(t, all, n)
}

func TestAnErasureIsBegunOnceAndAgainWhenItIsDone(t *testing.T) {
	s := open(t)
	first, err := s.BeginErasure(t.Context(), store.Erasure{ProjectID: "p1", By: "me", Through: 5})
	require.NoError(t, err)
	_, err = s.BeginErasure(t.Context(), store.Erasure{ProjectID: "p1", EventID: "e1", By: "me", Through: 6})
	require.NoError(t, err)
	same, err := s.BeginErasure(t.Context(), store.Erasure{ProjectID: "p1", By: "you", Through: 9})
	require.NoError(t, err)
	assert.Equal(t, "me", same.By)
	assert.EqualValues(t, 5, same.Through)

	opened, err := s.OpenErasures(t.Context())
	require.NoError(t, err)
	require.Len(t, opened, 2)
	mine := lease.Lease{Owner: "one", Until: time.Now().Add(time.Minute)}
	first.Attempts = 2
	ok, err := s.SwapErasureLease(t.Context(), first, first.Lease, mine)
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = s.SwapErasureLease(t.Context(), first, first.Lease, lease.Lease{Owner: "two", Until: mine.Until})
	require.NoError(t, err)
	assert.False(t, ok, "somebody else has it")
	held, err := s.LoadErasure(t.Context(), "p1", "")
	require.NoError(t, err)
	assert.Equal(t, "one", held.Owner)
	assert.WithinDuration(t, mine.Until, held.Until, time.Millisecond)
	assert.EqualValues(t, 2, held.Attempts, "how far it is goes with the lease")
	held.Events = 3
	require.NoError(t, s.EndErasure(t.Context(), held))
	ok, err = s.SwapErasureLease(t.Context(), held, held.Lease, mine)
	require.NoError(t, err)
	assert.False(t, ok, "it is done")
	ended, err := s.LoadErasure(t.Context(), "p1", "")
	require.NoError(t, err)
	assert.True(t, ended.Done)
	assert.EqualValues(t, 3, ended.Events)

	begun, err := s.ErasuresBegun(t.Context())
	require.NoError(t, err)
	again, err := s.BeginErasure(t.Context(), store.Erasure{ProjectID: "p1", By: "you", Through: 9})
	require.NoError(t, err)
	assert.False(t, again.Done)
	assert.EqualValues(t, 9, again.Through)
	more, err := s.ErasuresBegun(t.Context())
	require.NoError(t, err)
	assert.Greater(t, more, begun, "recorders look again")
	deleted, err := s.ExpireErasures(t.Context(), time.Now().Add(time.Hour), 10)
	require.NoError(t, err)
	assert.Zero(t, deleted, "what is not done is not forgotten")
}

// Locks are shared by what has the same hash: one is not taken within another.
func TestManyErasuresBegin(t *testing.T) {
	s := open(t)
	for i := range 200 { // three for each lock
		_, err := s.BeginErasure(t.Context(), store.Erasure{ProjectID: "p1", EventID: fmt.Sprint("e", i)})
		require.NoError(t, err)
	}
}
