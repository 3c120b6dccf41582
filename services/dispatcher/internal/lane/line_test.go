package lane_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/dispatcher/internal/lane"
)

// flood offers as many a second to an endpoint that needs a while for each, ends
// what has taken that long, and returns the longest line after two seconds.
func (m *model) flood(t *testing.T, perSecond int, took, lasting time.Duration) (longest int) {
	t.Helper()
	const step = 5 * time.Millisecond
	begun := map[int]time.Time{}
	started := m.now
	owed := 0.0
	for m.now.Sub(started) < lasting {
		for owed += float64(perSecond) * step.Seconds(); owed >= 1; owed-- {
			m.offer(t, "a")
		}
		m.now = m.now.Add(step)
		for len(m.inFlight["a"]) > 0 {
			first := m.inFlight["a"][0]
			if _, known := begun[first]; !known {
				for _, under := range m.inFlight["a"] {
					if _, known := begun[under]; !known {
						begun[under] = m.now.Add(-step)
					}
				}
			}
			if m.now.Sub(begun[first]) < took {
				break
			}
			m.done(t, "a", lane.Result{Took: took})
		}
		m.check(t)
		if m.now.Sub(started) > 2*time.Second {
			longest = max(longest, len(m.waiting["a"]))
		}
	}
	return longest
}

// A flooded endpoint that is slow would otherwise hold all that its part of the
// projects may have unsettled, and with it the events of the others in that part.
func TestCase34ALineLeavesPlacesForWhatIsTakenInWithIt(t *testing.T) {
	for took, perSecond := range map[time.Duration]int{
		25 * time.Millisecond: 20_000, 50 * time.Millisecond: 5000, 500 * time.Millisecond: 1000, 5 * time.Second: 1000,
	} {
		m := newModel(production())

		assert.LessOrEqual(t, m.flood(t, perSecond, took, 10*time.Second), 3*production().MaxLine, took)
		assert.NotZero(t, m.causes[lane.Busy], took)
	}
}

func TestALineThatMovesQuicklyMayBeLong(t *testing.T) {
	m := newModel(production())
	m.grow(t)
	m.now = m.now.Add(time.Second)
	for len(m.inFlight["a"]) > 0 && len(m.waiting["a"]) > 0 {
		m.done(t, "a", lane.Result{Took: 100 * time.Microsecond})
	}
	for range 2 * production().MaxLine {
		require.NotEqual(t, lane.Park, m.offer(t, "a"))
	}
}

// A burst for a quick endpoint stays in line, however our own first moments slow
// its first attempts down.
func TestABurstForAQuickEndpointWaits(t *testing.T) {
	m := newModel(production())
	for range 1200 {
		require.NotEqual(t, lane.Park, m.offer(t, "a"))
	}
	for step := 0; len(m.inFlight["a"]) > 0; step++ {
		took := 4 * time.Millisecond
		if step < 500 {
			took = 60 * time.Millisecond
		}
		m.now = m.now.Add(200 * time.Microsecond)
		m.done(t, "a", lane.Result{Took: took})
	}
	assert.Empty(t, m.waiting["a"])
	assert.Empty(t, m.lastSlot, "nothing was parked")
}

func TestAFloodLeavesPlacesInLineToOthers(t *testing.T) {
	m := newModel(production())
	for range 100_000 {
		m.offer(t, "flooded")
	}
	require.Less(t, len(m.waiting["flooded"]), 12500)
	for range 100 {
		require.NotEqual(t, lane.Park, m.offer(t, "other"))
	}
}
