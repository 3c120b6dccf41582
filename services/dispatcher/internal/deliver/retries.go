package deliver

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Retries is the schedule of attempts.
type Retries struct {
	// Attempts is how many are made before a delivery is exhausted.
	Attempts int
	// First is the wait before the second attempt.
	First time.Duration
	// Multiplier is the growth of the waits.
	Multiplier float64
}

// maxWait is the longest place in the schedule. It is far beyond the waits that
// the defaults come to, and keeps every setting within what a time can hold.
const maxWait = 7 * 24 * time.Hour

// jitter is how much longer than its place in the schedule a wait may be.
const jitter = 0.2

// Patience is how long a delivery may be owed to a receiver that takes nothing:
// half as long again as its retries last.
func (r Retries) Patience() time.Duration {
	var total time.Duration
	for attempt := range r.Attempts - 1 {
		total += r.Wait(uint32(attempt+1), 1)
	}
	return total + total/2
}

// Wait is the time between the given attempt and the next: exponential up to a
// week, and up to a fifth longer by chance (in [0, 1)), never shorter.
func (r Retries) Wait(attempt uint32, chance float64) time.Duration {
	schedule := backoff.ExponentialBackOff{
		InitialInterval:     r.First,
		Multiplier:          r.Multiplier,
		RandomizationFactor: 0,
		MaxInterval:         maxWait,
		Stop:                backoff.Stop,
		Clock:               backoff.SystemClock,
	}
	schedule.Reset()
	wait := r.First
	for range attempt {
		wait = schedule.NextBackOff()
	}
	return wait + time.Duration(chance*jitter*float64(wait))
}
