package deliver

import (
	"math"
	"time"
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

// maxWait is the longest wait between two attempts. It is far beyond what the
// defaults come to, and keeps every setting within what a time can hold.
const maxWait = 7 * 24 * time.Hour

// jitter is how much longer than its place in the schedule a wait may be.
const jitter = 0.2

// wait is the time between the given attempt, counted from 1, and the next one:
// First * Multiplier^(attempt-1), a week at most, and up to a fifth longer by
// chance (in [0, 1)), never shorter.
func (r Retries) wait(attempt uint32, chance float64) time.Duration {
	exact := float64(r.First) * math.Pow(r.Multiplier, float64(max(attempt, 1)-1))
	wait := time.Duration(min(exact, float64(maxWait)))
	return wait + time.Duration(chance*jitter*float64(wait))
}

// patience is how long a delivery may be owed to a receiver that takes nothing:
// half as long again as its retries last.
func (r Retries) patience() time.Duration {
	var total time.Duration
	for attempt := range r.Attempts - 1 {
		total += r.wait(uint32(attempt+1), 1)
	}
	return total + total/2
}
