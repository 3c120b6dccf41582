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
	soon := rested(t, rest{share: 0.1, strain: waiting(0)}, time.Hour)
	assert.InDelta(t, 100*time.Millisecond, soon, float64(20*time.Millisecond), "nothing waits")

	// A moment in which nothing waits is not calm, and one in which something does
	// is no strain.
	moments := func(waiting float64, every int) func() float64 {
		n := 0
		return func() float64 {
			if n++; n%every == 0 {
				return waiting
			}
			return 0
		}
	}
	assert.Less(t, rested(t, rest{share: 0.1, strain: moments(5, 10)}, time.Hour), 300*time.Millisecond)
	assert.Equal(t, 9*time.Second, rested(t, rest{share: 0.1, strain: moments(8, 2)}, time.Hour).Round(time.Millisecond))
	assert.Less(t, rested(t, rest{share: 0.1, strain: waiting(calm / 2.0)}, time.Hour), 300*time.Millisecond)
}

func TestARecorderThatRestsWritesLessInOneGo(t *testing.T) {
	assert.Less(t, rest{share: 0.5}.most(), rest{share: 1}.most())
}
