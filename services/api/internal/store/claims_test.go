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

	"github.com/dembrane/webhooks/services/api/internal/store"
)

func claim(id, makes string, age time.Duration) store.Claim {
	return store.Claim{
		ID: id, Makes: makes, Fingerprint: []byte("sealed"), CreatedAt: time.Now().Add(-age).UTC().Truncate(time.Millisecond),
	}
}

func TestAClaimIsMadeOnce(t *testing.T) {
	s := open(t)
	var first atomic.Int32
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			_, ours, err := s.Claim(context.WithoutCancel(t.Context()), claim("k", fmt.Sprint(i), 0))
			if assert.NoError(t, err) && ours {
				first.Add(1)
			}
		})
	}
	group.Wait()
	assert.EqualValues(t, 1, first.Load())

	held, ours, err := s.Claim(t.Context(), claim("k", "another", 0))
	require.NoError(t, err)
	assert.False(t, ours)
	assert.NotEqual(t, "another", held.Makes)
	assert.Nil(t, held.Answer)
	require.NoError(t, s.Answer(t.Context(), "k", []byte(`{"a":1}`)))
	held, _, err = s.Claim(t.Context(), claim("k", "another", 0))
	require.NoError(t, err)
	assert.JSONEq(t, `{"a":1}`, string(held.Answer))

	// Taking back another one's claim takes nothing back.
	require.NoError(t, s.Unclaim(t.Context(), claim("k", "another", 0)))
	_, ours, err = s.Claim(t.Context(), claim("k", "another", 0))
	require.NoError(t, err)
	assert.False(t, ours)
	require.NoError(t, s.Unclaim(t.Context(), held))
	_, ours, err = s.Claim(t.Context(), claim("k", "another", 0))
	require.NoError(t, err)
	assert.True(t, ours)
}

func TestAClaimEndsAfterADay(t *testing.T) {
	s := open(t)
	_, _, err := s.Claim(t.Context(), claim("k", "old", store.ClaimAge+time.Second))
	require.NoError(t, err)
	held, ours, err := s.Claim(t.Context(), claim("k", "new", 0))
	require.NoError(t, err)
	assert.True(t, ours)
	assert.Equal(t, "new", held.Makes)

	for i := range 5 {
		_, _, err := s.Claim(t.Context(), claim(fmt.Sprint("old-", i), "x", store.ClaimAge+time.Hour))
		require.NoError(t, err)
	}
	before := time.Now().Add(-store.ClaimAge)
	for _, want := range []int{3, 2, 0} {
		deleted, err := s.ExpireClaims(t.Context(), before, 3)
		require.NoError(t, err)
		assert.Equal(t, want, deleted)
	}
	_, ours, err = s.Claim(t.Context(), claim("k", "x", 0))
	require.NoError(t, err)
	assert.False(t, ours, "a young one stays")
}
