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
	made, full := 0, 0
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
			default:
				assert.NoError(t, err)
			}
		})
	}
	group.Wait()
	assert.Equal(t, limit, made)
	assert.Equal(t, callers-limit, full)
	list, err := s.List(t.Context(), "p1")
	require.NoError(t, err)
	assert.Len(t, list, limit)
	t.Logf("%d creates took %s", callers, time.Since(began))
}
