package throttle

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// paused is how long the pause after half a second's work lasts, in a bubble of its
// own.
func paused(t *testing.T, queue func() float64, stopAfter time.Duration) (lasted time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), stopAfter)
		defer cancel()
		began := time.Now()
		CPU{share: 0.1, queue: queue}.Wait(ctx, time.Second/2)
		lasted = time.Since(began)
	})
	return lasted
}

func TestWorkPausesWhileOthersWaitForACPU(t *testing.T) {
	waiting := func(n float64) func() float64 { return func() float64 { return n } }
	const whole = 9 * time.Second / 2
	assert.Equal(t, whole, paused(t, waiting(50), time.Hour).Round(time.Millisecond))
	assert.Equal(t, 3*time.Second, paused(t, waiting(50), 3*time.Second), "a stop ends it")
	assert.InDelta(t, 100*time.Millisecond, paused(t, waiting(0), time.Hour), float64(20*time.Millisecond), "nothing waits")

	// A moment in which nothing waits does not end it, and one in which something
	// does is no reason to go on.
	moments := func(waiting float64, every int) func() float64 {
		n := 0
		return func() float64 {
			if n++; n%every == 0 {
				return waiting
			}
			return 0
		}
	}
	assert.Less(t, paused(t, moments(5, 10), time.Hour), 300*time.Millisecond)
	assert.Equal(t, whole, paused(t, moments(8, 2), time.Hour).Round(time.Millisecond))
	assert.Less(t, paused(t, waiting(idleQueue/2.0), time.Hour), 300*time.Millisecond)
}

// Unless a test says otherwise, it is this process's queue, and a twentieth.
func TestTheShareIsATwentieth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		CPU{queue: func() float64 { return 50 }}.Wait(t.Context(), time.Second/10)
		assert.Equal(t, 19*time.Second/10, time.Since(began).Round(time.Millisecond))
		began = time.Now()
		CPU{queue: func() float64 { return 50 }}.Wait(t.Context(), time.Minute)
		assert.Equal(t, longestPause, time.Since(began), "what waited itself is not waited for much longer")
	})
	CPU{}.Wait(t.Context(), time.Millisecond)
}
