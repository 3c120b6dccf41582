package deliver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const day = 24 * time.Hour

func TestRetriesByDefaultTakeAboutThreeDays(t *testing.T) {
	for _, chance := range []float64{0, 0.5, 0.999} {
		var sum time.Duration
		for attempt := uint32(1); attempt < 10; attempt++ {
			sum += defaults.wait(attempt, chance)
		}
		assert.Greater(t, sum, 5*day/2, "with chance %g", chance)
		assert.Less(t, sum, 7*day/2, "with chance %g", chance)
	}
}

func TestRetriesBeginWithTheFirstWait(t *testing.T) {
	assert.Equal(t, 5*time.Second, defaults.wait(1, 0))
	assert.Equal(t, 18500*time.Millisecond, defaults.wait(2, 0))
	assert.InDelta(t, float64(6*time.Second), float64(defaults.wait(1, 0.999999)), float64(time.Millisecond))
}

func TestRetriesGrowAndSpreadUpwardsOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Retries{
			Attempts:   30,
			First:      time.Duration(rapid.Int64Range(int64(10*time.Millisecond), int64(day)).Draw(t, "first")),
			Multiplier: rapid.Float64Range(1, 10).Draw(t, "multiplier"),
		}
		chance := rapid.Float64Range(0, 0.999999).Draw(t, "chance")
		previous := r.First
		for attempt := uint32(1); attempt <= 40; attempt++ {
			place, wait := r.wait(attempt, 0), r.wait(attempt, chance)
			require.GreaterOrEqual(t, place, previous, "attempt %d", attempt)
			require.LessOrEqual(t, place, maxWait, "attempt %d", attempt)
			require.GreaterOrEqual(t, wait, place, "attempt %d: never shorter", attempt)
			require.LessOrEqual(t, wait, place+place/5+1, "attempt %d: up to a fifth longer", attempt)
			previous = place
		}
	})
}
