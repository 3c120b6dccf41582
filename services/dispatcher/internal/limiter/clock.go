package limiter

import "time"

// clock tells the time, and notices when this process did not run for a while.
// Attempts that were under way then say nothing about their receivers.
type clock struct {
	last    time.Time // when it was last asked
	resumed time.Time // the end of the last standstill
}

func (c *clock) now() time.Time {
	now := time.Now()
	if now.Sub(c.last) > standstill {
		c.resumed = now
	}
	c.last = now
	return now
}
