package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/api/internal/store"
)

// Report B26: as many at once as a script makes, in a database that holds other
// projects' webhooks. Nobody is told to try again, least of all after the write.
func TestEightyCreatesAtOnce(t *testing.T) {
	const limit, callers, others = 50, 80, 500
	s := open(t)
	for i := range others {
		_, err := s.Create(t.Context(), fresh(fmt.Sprintf("other-%d", i)), limit)
		require.NoError(t, err)
	}
	began := time.Now()
	var group sync.WaitGroup
	var mu sync.Mutex
	made, full, tooMany := 0, 0, 0
	for range callers {
		group.Go(func() {
			_, err := s.Create(context.WithoutCancel(t.Context()), fresh("p1"), limit)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				made++
			case errors.Is(err, store.ErrLimit):
				full++
			case errors.Is(err, store.ErrUnavailable): // a slow machine: nothing was written
				tooMany++
			default:
				assert.NoError(t, err)
			}
		})
	}
	group.Wait()
	assert.Equal(t, callers, made+full+tooMany)
	assert.Equal(t, min(limit, callers-tooMany), made, "%d were too many", tooMany)
	list, err := s.List(t.Context(), "p1")
	require.NoError(t, err)
	assert.Len(t, list, made, "what was refused does not exist")
	t.Logf("%d creates took %s", callers, time.Since(began))
}

// Whoever repeats a request in a project that is full by now gets what it made.
func TestCreateAgainInAFullProject(t *testing.T) {
	s := open(t)
	const limit = 3
	first := fresh("p1")
	_, err := s.Create(t.Context(), first, limit)
	require.NoError(t, err)
	for range limit - 1 {
		_, err := s.Create(t.Context(), fresh("p1"), limit)
		require.NoError(t, err)
	}
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			again, other := first, fresh("p1")
			if i%2 == 0 {
				made, err := s.Create(context.WithoutCancel(t.Context()), again, limit)
				if assert.NoError(t, err) {
					assert.Equal(t, first.ID, made.ID)
				}
				return
			}
			_, err := s.Create(context.WithoutCancel(t.Context()), other, limit)
			assert.ErrorIs(t, err, store.ErrLimit)
		})
	}
	group.Wait()
	list, err := s.List(t.Context(), "p1")
	require.NoError(t, err)
	assert.Len(t, list, limit)
}
