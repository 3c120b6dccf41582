package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const maxAge = 30 * 24 * time.Hour

func open(t *testing.T) *store.Store {
	t.Helper()
	return openAt(t, mongotest.Start(t))
}

func openAt(t *testing.T, server *mongotest.Server) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), server.URI(), server.Database(), zaptest.NewLogger(t))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close(context.Background())) })
	require.NoError(t, s.Prepare(t.Context()))
	return s
}

func fresh(projectID string) store.Webhook {
	return store.Webhook{
		ID: registration.NewID(), ProjectID: projectID, Name: "CRM", URL: "https://example.org/hook",
		Events: []string{"report.generated"}, Status: registration.Published,
		Secrets:   []store.Secret{{Ciphertext: []byte("sealed")}},
		Headers:   []store.Header{{Name: "X-Api-Key", Ciphertext: []byte("sealed, too")}},
		CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
}

func create(t *testing.T, s *store.Store, projectID string) store.Webhook {
	t.Helper()
	w, err := s.Create(t.Context(), fresh(projectID), 50)
	require.NoError(t, err)
	return w
}

func TestPrepareTwice(t *testing.T) {
	s := open(t)
	require.NoError(t, s.Prepare(t.Context()))
	require.NoError(t, s.BuildIndexes(t.Context(), maxAge))
	require.NoError(t, s.BuildIndexes(t.Context(), maxAge/2), "with another age")
	require.NoError(t, s.Ping(t.Context()))
}

func TestCreateGetList(t *testing.T) {
	s := open(t)
	first := create(t, s, "p1")
	second := create(t, s, "p1")
	create(t, s, "p2")

	got, err := s.Get(t.Context(), "p1", first.ID)
	require.NoError(t, err)
	assert.Equal(t, first.Slot, got.Slot)
	first.Slot, got.Slot = "", ""
	assert.Equal(t, first, got)
	assert.EqualValues(t, 1, got.Revision)
	assert.True(t, got.Pending)

	list, err := s.List(t.Context(), "p1")
	require.NoError(t, err)
	require.Len(t, list, 2)
	assert.Equal(t, second.ID, list[0].ID, "newest first")

	// Nasty case 40: another project's webhook is one that never existed.
	_, err = s.Get(t.Context(), "p2", first.ID)
	require.ErrorIs(t, err, store.ErrNotFound)
	_, err = s.Get(t.Context(), "p1", "unknown")
	require.ErrorIs(t, err, store.ErrNotFound)
	none, err := s.List(t.Context(), "p3")
	require.NoError(t, err)
	assert.Empty(t, none)
}

// However many are made at once, the limit holds, and it is reached.
func TestLimitIsStrict(t *testing.T) {
	s := open(t)
	const limit, askers = 7, 20
	var group sync.WaitGroup
	results := make([]error, askers)
	for i := range askers {
		group.Go(func() { _, results[i] = s.Create(t.Context(), fresh("p1"), limit) })
	}
	group.Wait()
	made := 0
	for _, err := range results {
		if err == nil {
			made++
			continue
		}
		require.ErrorIs(t, err, store.ErrLimit)
	}
	assert.Equal(t, limit, made)
	list, err := s.List(t.Context(), "p1")
	require.NoError(t, err)
	require.Len(t, list, limit)

	require.NoError(t, s.Delete(t.Context(), "p1", list[3].ID))
	_, err = s.Create(t.Context(), fresh("p1"), limit)
	require.NoError(t, err, "a deleted webhook makes room")
	_, err = s.Create(t.Context(), fresh("p1"), limit)
	require.ErrorIs(t, err, store.ErrLimit)
	_, err = s.Create(t.Context(), fresh("p2"), limit)
	require.NoError(t, err, "another project has a limit of its own")
	_, err = s.Create(t.Context(), fresh("p1"), limit-3)
	require.ErrorIs(t, err, store.ErrLimit, "a limit that was lowered")
}

func TestChange(t *testing.T) {
	s := open(t)
	w := create(t, s, "p1")
	require.NoError(t, s.Settle(t.Context(), w.ID, 1))

	changed, err := s.Change(t.Context(), "p1", w.ID, func(w *store.Webhook) error {
		w.Name, w.Status, w.Secrets = "Other", registration.Archived, nil
		return nil
	})
	require.NoError(t, err)
	assert.EqualValues(t, 2, changed.Revision)
	got, err := s.Get(t.Context(), "p1", w.ID)
	require.NoError(t, err)
	assert.Equal(t, changed, got)
	assert.True(t, got.Pending)
	assert.Equal(t, "https://example.org/hook", got.URL)

	refused := errors.New("refused")
	_, err = s.Change(t.Context(), "p1", w.ID, func(*store.Webhook) error { return refused })
	require.ErrorIs(t, err, refused)
	_, err = s.Change(t.Context(), "p2", w.ID, func(*store.Webhook) error { return nil })
	require.ErrorIs(t, err, store.ErrNotFound)
}

func TestConcurrentChangesAllCount(t *testing.T) {
	s := open(t)
	w := create(t, s, "p1")
	const writers = 5
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			_, err := s.Change(t.Context(), "p1", w.ID, func(w *store.Webhook) error {
				w.Name += "+"
				return nil
			})
			assert.NoError(t, err)
		})
	}
	group.Go(func() {
		at := time.Now()
		_, err := s.MergeHealth(t.Context(), w.ID, store.Health{LastAttemptAt: &at, LastSuccessAt: &at, LastStatusCode: 204})
		assert.NoError(t, err)
	})
	group.Wait()
	got, err := s.Get(t.Context(), "p1", w.ID)
	require.NoError(t, err)
	assert.Equal(t, "CRM+++++", got.Name)
	assert.EqualValues(t, 1+writers, got.Revision, "health raises no revision")
	assert.Equal(t, 204, got.Health.LastStatusCode)
}

// Another replica writes between reading and writing.
func TestChangeMeetsAnotherReplica(t *testing.T) {
	server := mongotest.Start(t)
	s, other := openAt(t, server), openAt(t, server)
	w := create(t, s, "p1")
	interfere := func(w *store.Webhook) error {
		w.Name += "!"
		return nil
	}
	tries := 0
	changed, err := s.Change(t.Context(), "p1", w.ID, func(w *store.Webhook) error {
		if tries++; tries <= 2 {
			_, err := other.Change(t.Context(), "p1", w.ID, interfere)
			require.NoError(t, err)
		}
		w.Name += "?"
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, "CRM!!?", changed.Name)
	assert.EqualValues(t, 4, changed.Revision)

	_, err = s.Change(t.Context(), "p1", w.ID, func(w *store.Webhook) error {
		_, err := other.Change(t.Context(), "p1", w.ID, interfere)
		return err
	})
	require.ErrorIs(t, err, store.ErrConflict)
}

func TestDeleteLeavesABareTombstone(t *testing.T) {
	s := open(t)
	w := create(t, s, "p1")
	require.NoError(t, s.Delete(t.Context(), "p1", w.ID))
	require.ErrorIs(t, s.Delete(t.Context(), "p1", w.ID), store.ErrNotFound)
	_, err := s.Get(t.Context(), "p1", w.ID)
	require.ErrorIs(t, err, store.ErrNotFound)

	tombstone, err := s.Load(t.Context(), w.ID)
	require.NoError(t, err)
	assert.True(t, tombstone.Deleted())
	assert.Empty(t, tombstone.URL)
	assert.Empty(t, tombstone.Secrets)
	assert.Empty(t, tombstone.Headers)
	assert.True(t, tombstone.Registration().GetDeleted())
	assert.EqualValues(t, 2, tombstone.Registration().GetRevision())

	at := time.Now()
	_, err = s.MergeHealth(t.Context(), w.ID, store.Health{LastAttemptAt: &at})
	require.NoError(t, err)
	tombstone, err = s.Load(t.Context(), w.ID)
	require.NoError(t, err)
	assert.Nil(t, tombstone.Health.LastAttemptAt)
	purged, err := s.Purge(t.Context(), time.Now().Add(-time.Hour), 10)
	require.NoError(t, err)
	assert.Zero(t, purged, "too young")
	live := create(t, s, "p1")
	purged, err = s.Purge(t.Context(), time.Now().Add(time.Hour), 10)
	require.NoError(t, err)
	assert.Equal(t, 1, purged)
	_, err = s.Load(t.Context(), w.ID)
	require.ErrorIs(t, err, store.ErrNotFound)
	_, err = s.Load(t.Context(), live.ID)
	require.NoError(t, err)
}

func TestOutbox(t *testing.T) {
	s := open(t)
	a, b := create(t, s, "p1"), create(t, s, "p2")
	pending, err := s.Pending(t.Context(), 10)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{a.ID, b.ID}, pending)

	require.NoError(t, s.Settle(t.Context(), a.ID, 1))
	pending, err = s.Pending(t.Context(), 10)
	require.NoError(t, err)
	assert.Equal(t, []string{b.ID}, pending)

	_, err = s.Change(t.Context(), "p1", a.ID, func(*store.Webhook) error { return nil })
	require.NoError(t, err)
	require.NoError(t, s.Settle(t.Context(), a.ID, 1), "of an older revision")
	got, err := s.Load(t.Context(), a.ID)
	require.NoError(t, err)
	assert.True(t, got.Pending)

	require.NoError(t, s.Raise(t.Context(), a.ID, 1, 40), "it has changed since")
	require.NoError(t, s.Raise(t.Context(), a.ID, 2, 40))
	got, err = s.Load(t.Context(), a.ID)
	require.NoError(t, err)
	assert.EqualValues(t, 41, got.Revision)

	seen := map[string]bool{}
	require.NoError(t, s.Each(t.Context(), func(w store.Webhook) error {
		seen[w.ID] = true
		return nil
	}))
	assert.Equal(t, map[string]bool{a.ID: true, b.ID: true}, seen)
}

func TestListElsewhere(t *testing.T) {
	s := open(t)
	var ids []string
	for _, project := range []string{"p1", "p2", "p3", "p2"} {
		ids = append(ids, create(t, s, project).ID)
	}
	require.NoError(t, s.Delete(t.Context(), "p3", ids[2]))
	for name, row := range map[string]struct {
		given store.Elsewhere
		want  []string
	}{
		"all":       {store.Elsewhere{Except: "p1", All: true}, []string{ids[3], ids[1]}},
		"some":      {store.Elsewhere{Except: "p2", Projects: []string{"p1", "p2", "p3"}}, []string{ids[0]}},
		"only self": {store.Elsewhere{Except: "p2", Projects: []string{"p2"}}, nil},
		"page":      {store.Elsewhere{Except: "p4", All: true, Offset: 1, Limit: 1}, []string{ids[1]}},
		"past end":  {store.Elsewhere{Except: "p4", All: true, Offset: 9}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := s.ListElsewhere(t.Context(), row.given)
			require.NoError(t, err)
			var got []string
			for _, w := range list {
				got = append(got, w.ID)
			}
			assert.Equal(t, row.want, got)
		})
	}
}

func TestDisable(t *testing.T) {
	s := open(t)
	w := create(t, s, "p1")
	changed, err := s.Change(t.Context(), "p1", w.ID, func(*store.Webhook) error { return nil })
	require.NoError(t, err)

	disabled, err := s.Disable(t.Context(), "p1", w.ID, 1, store.DisabledGone)
	require.NoError(t, err)
	assert.False(t, disabled, "the answer was to an older registration")
	disabled, err = s.Disable(t.Context(), "p1", w.ID, changed.Revision, store.DisabledGone)
	require.NoError(t, err)
	assert.True(t, disabled)
	got, err := s.Get(t.Context(), "p1", w.ID)
	require.NoError(t, err)
	assert.Equal(t, store.DisabledGone, got.DisabledReason)
	assert.False(t, got.Status.Enabled())
	assert.True(t, got.Pending)

	disabled, err = s.Disable(t.Context(), "p1", w.ID, got.Revision, store.DisabledGone)
	require.NoError(t, err)
	assert.False(t, disabled, "it is already")
	disabled, err = s.Disable(t.Context(), "p1", "unknown", 9, store.DisabledGone)
	require.NoError(t, err)
	assert.False(t, disabled)
}
