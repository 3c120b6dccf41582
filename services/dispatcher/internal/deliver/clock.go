package deliver

import (
	"sync"
	"time"
)

// stoodStill is how long nobody has to have asked for the time for it to mean that
// this process did not run: the lanes are tended several times as often.
const stoodStill = 3 * tendEvery

// clock tells the time to the lanes. A process that was stopped, or whose machine
// was, finds all its attempts ended late when it goes on; the clock tells of it
// before anybody can hold that against a receiver.
type clock struct {
	stood func(from, until time.Time)

	mu   sync.Mutex
	last time.Time // when it was last asked
}

func newClock(stood func(from, until time.Time)) *clock {
	return &clock{stood: stood, last: time.Now()}
}

// now is the time.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.last) > stoodStill {
		c.stood(c.last, now)
	}
	c.last = now
	return now
}
