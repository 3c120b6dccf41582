package limiter

import (
	"math/rand/v2"
	"time"
)

const (
	// failuresToOpen is how many failures open the breaker of an endpoint of which
	// nothing good is known.
	failuresToOpen = 5
	// firstOpen is how long the breaker is open the first time. It doubles with each
	// probe that fails, up to longestOpen.
	firstOpen   = 5 * time.Second
	longestOpen = 5 * time.Minute
)

// breaker keeps attempts away from an endpoint that answers nothing good any more.
// It is closed as long as the endpoint does; open for a time; then half-open, when
// one attempt at a time probes whether the endpoint has come back.
//
// What opens it is a budget of failures. A success adds to the budget as much as a
// new endpoint has, up to four times that. So a receiver that has worked is given
// up after twenty failures in a row, and one that fails at random stays in use
// unless fewer than one in six attempts succeed.
type breaker struct {
	spent  int // failures that no success has made up for; negative when there is credit
	length time.Duration
	opened time.Time
	until  time.Time // the end of the time that it is open; zero when it is closed
}

// open reports whether no attempt may begin.
func (b *breaker) open(now time.Time) bool { return now.Before(b.until) }

// closed reports whether it is neither open nor half-open.
func (b *breaker) closed() bool { return b.until.IsZero() }

// succeed closes it. It reports whether it was not closed before.
func (b *breaker) succeed() (closes bool) {
	closes = !b.closed()
	if closes {
		*b = breaker{}
		return true
	}
	b.spent = max(b.spent-failuresToOpen, -3*failuresToOpen)
	return false
}

// fail learns from a failed attempt. It reports whether the breaker opens.
func (b *breaker) fail(a attempt) (opens bool) {
	if a.began.Before(b.opened) {
		return false // it was under way already, and says nothing new
	}
	b.spent++
	if b.spent < failuresToOpen {
		return false
	}
	b.length = min(max(2*b.length, firstOpen), longestOpen)
	b.opened = a.ended
	// Jitter, so that many endpoints behind one host, or many dispatchers, do not all
	// probe at the same moment.
	b.until = a.ended.Add(b.length + rand.N(b.length/5+1)) //nolint:gosec // no secret depends on it
	return true
}

// hear opens it until another dispatcher, which found out, has probed.
func (b *breaker) hear(until, now time.Time) {
	until = until.Add(rand.N(firstOpen)) //nolint:gosec // no secret depends on it
	if until.After(b.until) {
		b.spent, b.length, b.opened, b.until = failuresToOpen, max(b.length, firstOpen), now, until
	}
}

// idle reports whether it may be forgotten. It is kept for as long again as it was
// open, so that what comes then finds it half-open.
func (b *breaker) idle(now time.Time) bool {
	return b.closed() || now.After(b.until.Add(b.length))
}
