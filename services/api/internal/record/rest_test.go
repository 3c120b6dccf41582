package record

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// rested is how long a rest after a second's work lasts, in a bubble of its own.
func rested(t *testing.T, r rest, stopAfter time.Duration) (lasted time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), stopAfter)
		defer cancel()
		began := time.Now()
		r.after(ctx, time.Second)
		lasted = time.Since(began)
	})
	return lasted
}

func TestARecorderRestsWhileOthersWaitForAProcessor(t *testing.T) {
	waiting := func(n float64) func() float64 { return func() float64 { return n } }
	assert.Zero(t, rested(t, rest{share: 1, strain: waiting(50)}, time.Hour))
	assert.Equal(t, 9*time.Second, rested(t, rest{share: 0.1, strain: waiting(50)}, time.Hour).Round(time.Millisecond))
	assert.Equal(t, 3*time.Second, rested(t, rest{share: 0.1, strain: waiting(50)}, 3*time.Second), "a stop ends it")
	assert.Equal(t, calmFor, rested(t, rest{share: 0.1, strain: waiting(calm)}, time.Hour), "nothing waits")

	looks := 0
	calmAfterASecond := func() float64 {
		if looks++; looks <= int(time.Second/calmEvery) {
			return float64(looks % 3) // a moment in which nothing waits is not calm
		}
		return 0
	}
	assert.InDelta(t, float64(time.Second+calmFor), float64(rested(t, rest{share: 0.1, strain: calmAfterASecond}, time.Hour)), float64(2*calmEvery))
}

func TestARecorderThatRestsWritesLessInOneGo(t *testing.T) {
	assert.Less(t, rest{share: 0.5}.most(), rest{share: 1}.most())
}
