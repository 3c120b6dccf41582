package store_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// all is more pages than any test here has.
const allPages = 1000

func entries(n int) []*webhooksv1.LogEntry {
	list := make([]*webhooksv1.LogEntry, n)
	for i := range list {
		a := attemptAt(time.Now())
		list[i] = activity.Entry(a, ulid.MustParse(a.GetId()))
	}
	return list
}

func idsOf(list []*webhooksv1.LogEntry) []string {
	ids := make([]string, len(list))
	for i, e := range list {
		ids[i] = activity.ID(e)
	}
	return ids
}

func never(string) bool  { return false }
func always(string) bool { return true }

// logged walks the whole log, limit attempts and pages at a time, and returns the
// ids, newest first. Between two steps it calls meanwhile.
func logged(t *testing.T, s *store.Store, limit, pages int, meanwhile func()) []string {
	t.Helper()
	var ids []string
	walk := store.LogWalk{Pages: pages}
	for {
		left := limit
		next, err := s.WalkLog(t.Context(), "w1", walk, func(_ uint64, e *webhooksv1.LogEntry) bool {
			ids = append(ids, activity.ID(e))
			left--
			return left > 0
		})
		require.NoError(t, err)
		if next == 0 {
			return ids
		}
		walk.Past = next
		meanwhile()
	}
}

func TestTheLogHasEveryAttemptOnce(t *testing.T) {
	s := open(t)
	var want []string
	for _, n := range []int{1, 99, 1, 250, 700, 3} {
		list := entries(n)
		require.NoError(t, s.AppendLog(t.Context(), "p1", "w1", list, never))
		want = append(want, slices.Sorted(slices.Values(idsOf(list)))...)
	}
	slices.Reverse(want)
	for _, limit := range []int{1000, 250, 50, 7} {
		for _, pages := range []int{1, 3, allPages} {
			assert.Equal(t, want, logged(t, s, limit, pages, func() {}), limit)
		}
	}
	a, err := s.Activity(t.Context(), "w1")
	require.NoError(t, err)
	assert.EqualValues(t, len(want), a.Newest())
	assert.EqualValues(t, len(want), a.Statistics(time.Now()).Week.Attempts)
	assert.Empty(t, logged(t, open(t), 50, 1, func() {}), "a webhook without attempts")
}

// The other way round it begins at a time, and goes on to what is the newest by then.
func TestTheLogFromTheOldest(t *testing.T) {
	s := open(t)
	up := func(since time.Time, limit, pages int, meanwhile func()) (ids []string) {
		t.Helper()
		walk := store.LogWalk{Oldest: true, Since: since, Pages: pages}
		for {
			left := limit
			next, err := s.WalkLog(t.Context(), "w1", walk, func(_ uint64, e *webhooksv1.LogEntry) bool {
				ids = append(ids, activity.ID(e))
				left--
				return left > 0
			})
			require.NoError(t, err)
			if next == 0 {
				return ids
			}
			walk.Past = next
			meanwhile()
		}
	}
	assert.Empty(t, up(time.Time{}, 50, 1, nil), "a webhook without attempts")
	var want []string
	add := func() {
		list := entries(150)
		require.NoError(t, s.AppendLog(t.Context(), "p1", "w1", list, never))
		want = append(want, slices.Sorted(slices.Values(idsOf(list)))...)
	}
	for range 6 {
		add()
	}
	for _, limit := range []int{1000, 250, 7} {
		for _, pages := range []int{1, 3, allPages} {
			assert.Equal(t, want, up(time.Time{}, limit, pages, func() {}), "%d, %d", limit, pages)
			assert.Equal(t, want, up(time.Now().Add(-time.Hour), limit, pages, func() {}), "%d, %d", limit, pages)
		}
	}
	tail := up(time.Now().Add(time.Hour), 1000, 1, nil)
	assert.Equal(t, want[len(want)-len(tail):], tail, "no page is as young")
	assert.Less(t, len(tail), 400)
	got := up(time.Time{}, 250, allPages, func() {
		if len(want) < 3000 {
			add()
		}
	})
	assert.Equal(t, want, got)
}

// Batches come again: at once, after others, after so many that the first are in
// pages, and as parts of other batches.
func TestTheLogTakesAnAttemptOnce(t *testing.T) {
	s := open(t)
	first, second, many := entries(40), entries(5), entries(600)
	add := func(list []*webhooksv1.LogEntry, recorded func(string) bool) {
		t.Helper()
		require.NoError(t, s.AppendLog(t.Context(), "p1", "w1", list, recorded))
	}
	add(first, never)
	add(first, always)
	add(append(slices.Clone(first), second...), func(id string) bool { return slices.Contains(idsOf(first), id) })
	add(append(slices.Clone(second), second...), always)
	add(many, never)
	add(first, always)
	add(many, always)
	add(append(slices.Clone(many), first...), always)
	got := logged(t, s, 1000, allPages, func() {})
	assert.Len(t, got, 645)
	slices.Sort(got)
	assert.Len(t, slices.Compact(got), 645)
	a, err := s.Activity(t.Context(), "w1")
	require.NoError(t, err)
	assert.EqualValues(t, 645, a.Statistics(time.Now()).Week.Attempts)
}

// Several apis record at once, some of them the same. Each has a store of its own.
func TestSeveralWriteTheSameLog(t *testing.T) {
	server := mongotest.Start(t)
	const writers, batches = 4, 12
	var batch [writers][batches][]*webhooksv1.LogEntry
	var want []string
	for w := range writers {
		for b := range batches {
			batch[w][b] = entries(30)
			want = append(want, idsOf(batch[w][b])...)
		}
	}
	// FerretDB 1 loses one of two updates that come at once from two processes, which
	// is why standalone has one: see Store.locks.
	stores := make([]*store.Store, writers)
	for w := range writers {
		stores[w] = openAt(t, server)
		if strings.Contains(server.URI(), "127.0.0.1") {
			stores[w] = stores[0]
		}
	}
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for b := range batches {
				assert.NoError(t, stores[w].AppendLog(t.Context(), "p1", "w1", batch[w][b], never))
				assert.NoError(t, stores[w].AppendLog(t.Context(), "p1", "w1", batch[(w+1)%writers][b], always))
			}
		})
	}
	all.Wait()
	got := logged(t, stores[0], 1000, allPages, func() {})
	slices.Sort(got)
	slices.Sort(want)
	assert.Equal(t, want, got)
}

// Whoever walks sees what was there at the start once, whatever comes meanwhile.
func TestAWalkIsStable(t *testing.T) {
	s := open(t)
	before := entries(430)
	require.NoError(t, s.AppendLog(t.Context(), "p1", "w1", before, never))
	got := logged(t, s, 20, allPages, func() {
		require.NoError(t, s.AppendLog(t.Context(), "p1", "w1", entries(35), never))
	})
	slices.Sort(got)
	assert.Equal(t, slices.Sorted(slices.Values(idsOf(before))), got)
}

// A walk ends where everything is older than what is looked for.
func TestAWalkEndsWithSince(t *testing.T) {
	s := open(t)
	require.NoError(t, s.AppendLog(t.Context(), "p1", "w1", entries(200), never))
	require.NoError(t, s.AppendLog(t.Context(), "p1", "w1", entries(200), never))
	for since, want := range map[time.Time]int{time.Now().Add(time.Hour): 300, time.Now().Add(-time.Hour): 400} {
		seen := 0
		next, err := s.WalkLog(t.Context(), "w1", store.LogWalk{Since: since, Pages: allPages}, func(uint64, *webhooksv1.LogEntry) bool {
			seen++
			return true
		})
		require.NoError(t, err)
		assert.Zero(t, next)
		assert.Equal(t, want, seen)
	}
}

// What was recorded comes back as it was, down to the microsecond.
func TestAnAttemptIsReadAsItWasRecorded(t *testing.T) {
	s := open(t)
	a := attemptAt(time.Now().Truncate(time.Millisecond))
	fill(a)
	_, err := s.InsertAttempts(t.Context(), []*webhooksv1.Attempt{a})
	require.NoError(t, err)
	got, err := s.Attempt(t.Context(), "p1", "w1", a.GetId())
	require.NoError(t, err)
	assertProto(t, a, got)
	for _, other := range [][3]string{{"p2", "w1", a.GetId()}, {"p1", "w2", a.GetId()}, {"p1", "w1", ulid.Make().String()}, {"", "", ""}} {
		_, err := s.Attempt(t.Context(), other[0], other[1], other[2])
		require.ErrorIs(t, err, store.ErrNoAttempt)
	}
}
