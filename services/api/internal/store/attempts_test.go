package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

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
	assert.Equal(t, store.Recorded{Inserted: 1, Known: known(a, b)}, recorded)
	recorded, err = s.InsertAttempts(t.Context(), nil)
	require.NoError(t, err)
	assert.Zero(t, recorded)
	count, err := s.CountAttempts(t.Context(), "w1")
	require.NoError(t, err)
	assert.Equal(t, 3, count)
}

// known are the ids of attempts, in their order.
func known(list ...*webhooksv1.Attempt) []string {
	ids := make([]string, len(list))
	for i, a := range list {
		ids[i] = a.GetId()
	}
	slices.Sort(ids)
	return ids
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
