package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
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
	s, err := store.Open(server.URI(), server.Database(), zaptest.NewLogger(t))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close(context.Background())) })
	require.NoError(t, s.Prepare(t.Context(), maxAge))
	return s
}

func fresh(projectID string) store.Webhook {
	return store.Webhook{
		ID: webhook.NewID(), ProjectID: projectID, Name: "CRM", URL: "https://example.org/hook",
		Events: []string{"report.generated"}, Status: webhook.Published,
		Secrets:   []store.Secret{{Ciphertext: []byte("sealed")}},
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
	require.NoError(t, s.Prepare(t.Context(), maxAge))
	require.NoError(t, s.Prepare(t.Context(), maxAge/2), "with another age")
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
		w.Name, w.Status, w.Secrets = "Other", webhook.Archived, nil
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
		assert.NoError(t, s.UpdateHealth(t.Context(), w.ID, func(h store.Health) store.Health {
			h.LastStatusCode = 204
			return h
		}))
	})
	group.Wait()
	got, err := s.Get(t.Context(), "p1", w.ID)
	require.NoError(t, err)
	assert.Equal(t, "CRM+++++", got.Name)
	assert.EqualValues(t, 1+writers, got.Revision, "health raises no revision")
	assert.Equal(t, 204, got.Health.LastStatusCode)
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
	assert.True(t, tombstone.Registration().GetDeleted())
	assert.EqualValues(t, 2, tombstone.Registration().GetRevision())

	require.NoError(t, s.UpdateHealth(t.Context(), w.ID, func(h store.Health) store.Health {
		t.Error("health of a deleted webhook")
		return h
	}))
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

func attemptAt(at time.Time) *webhooksv1.Attempt {
	return &webhooksv1.Attempt{
		Id: ulid.MustNew(ulid.Timestamp(at), ulid.DefaultEntropy()).String(), WebhookId: "w1", ProjectId: "p1",
		StartedAt: timestamppb.New(at), Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: 200,
		Response: &webhooksv1.Response{Body: []byte{0, 0xff}, Headers: []*webhooksv1.Header{{Name: "A", Value: "b"}}},
	}
}

func TestAttempts(t *testing.T) {
	s := open(t)
	at := time.Now()
	a, b, c := attemptAt(at), attemptAt(at), attemptAt(at)

	recorded, err := s.InsertAttempts(t.Context(), []*webhooksv1.Attempt{a, b})
	require.NoError(t, err)
	assert.Equal(t, store.Recorded{Inserted: 2}, recorded)
	recorded, err = s.InsertAttempts(t.Context(), []*webhooksv1.Attempt{a, c, b})
	require.NoError(t, err)
	assert.Equal(t, store.Recorded{Inserted: 1, Duplicates: 2}, recorded)
	recorded, err = s.InsertAttempts(t.Context(), nil)
	require.NoError(t, err)
	assert.Zero(t, recorded)
	count, err := s.CountAttempts(t.Context(), "w1")
	require.NoError(t, err)
	assert.Equal(t, 3, count)
}

func TestExpireIsBounded(t *testing.T) {
	s := open(t)
	now := time.Now()
	var list []*webhooksv1.Attempt
	for i := range 10 {
		list = append(list, attemptAt(now.Add(-time.Duration(i)*time.Hour)))
	}
	_, err := s.InsertAttempts(t.Context(), list)
	require.NoError(t, err)

	before := now.Add(-5*time.Hour + time.Minute)
	deleted, err := s.Expire(t.Context(), before, 3)
	require.NoError(t, err)
	assert.Equal(t, 3, deleted)
	deleted, err = s.Expire(t.Context(), before, 3)
	require.NoError(t, err)
	assert.Equal(t, 2, deleted)
	deleted, err = s.Expire(t.Context(), before, 3)
	require.NoError(t, err)
	assert.Zero(t, deleted)
	count, err := s.CountAttempts(t.Context(), "w1")
	require.NoError(t, err)
	assert.Equal(t, 5, count)
}

func TestUnavailable(t *testing.T) {
	server := mongotest.StartEmbedded(t)
	s := openAt(t, server)
	w := create(t, s, "p1")
	server.Stop()

	_, err := s.Get(t.Context(), "p1", w.ID)
	require.ErrorIs(t, err, store.ErrUnavailable)
	_, err = s.InsertAttempts(t.Context(), []*webhooksv1.Attempt{attemptAt(time.Now())})
	require.ErrorIs(t, err, store.ErrUnavailable)

	server.Restart()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, err := s.Get(t.Context(), "p1", w.ID)
		assert.NoError(c, err)
	}, 20*time.Second, 50*time.Millisecond, "it comes back by itself")
}

func TestOpenRefusesWhatCanNeverWork(t *testing.T) {
	_, err := store.Open("mongodb://user:hunter2@", "db", zaptest.NewLogger(t))
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
}
