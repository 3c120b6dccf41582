package health_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// counting counts what the health of webhooks costs.
type counting struct {
	*store.Store

	merged atomic.Int32
}

func (c *counting) MergeHealth(ctx context.Context, id string, known store.Health) (store.Health, error) {
	c.merged.Add(1)
	return c.Store.MergeHealth(ctx, id, known)
}

// A busy webhook is not written with every batch, and its last word still gets
// there, at the latest with the stop.
func TestHealthIsWrittenOnceForMany(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	counted := &counting{Store: w.store}
	tracker := w.tracker(counted)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { tracker.Run(ctx) })
	const rounds = 20
	var last *webhooksv1.Attempt
	for range rounds {
		last = attemptOf(made, webhooksv1.Outcome_OUTCOME_DELIVERED, 200)
		require.NoError(t, tracker.Update(t.Context(), []*webhooksv1.Attempt{last}))
	}
	assert.Less(t, counted.merged.Load(), int32(rounds/2))
	stop()
	running.Wait()
	got, err := w.store.Get(t.Context(), "p1", made.ID)
	require.NoError(t, err)
	assert.Equal(t, last.GetStartedAt().AsTime().Truncate(time.Millisecond), got.Health.LastSuccessAt.UTC())

	// A transition is there when Update returns.
	require.NoError(t, tracker.Update(t.Context(), []*webhooksv1.Attempt{attemptOf(made, webhooksv1.Outcome_OUTCOME_RETRY, 500)}))
	got, err = w.store.Get(t.Context(), "p1", made.ID)
	require.NoError(t, err)
	assert.NotNil(t, got.Health.FailingSince)
}
