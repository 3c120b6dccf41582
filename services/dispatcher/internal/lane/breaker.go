package lane

import "time"

const (
	// breakAfter is the number of failures in a row that open the breaker.
	breakAfter = 5
	// wellEnough is the share of the last attempts that went well above which it
	// stays closed all the same: a receiver that fails now and then is not broken.
	wellEnough = 0.25
	// breakerWindow is about how many attempts are the last ones.
	breakerWindow = 16
	// firstBreak is how long it is open the first time; each failed probe doubles
	// it, up to longestBreak.
	firstBreak   = 5 * time.Second
	longestBreak = 5 * time.Minute
)

// breaker keeps attempts away from an endpoint that answers nothing good any
// more: closed, as long as it does; open, for a time; then half open, when one
// attempt probes whether it has come back.
type breaker struct {
	failures int     // in a row
	well     float64 // moving share of the attempts that went well
	length   time.Duration
	until    time.Time // end of the time that it is open; zero when it is closed
}

// open reports whether no attempt may begin.
func (b *breaker) open(now time.Time) bool { return now.Before(b.until) }

// probing reports whether it is open or half open: one attempt at a time.
func (b *breaker) probing() bool { return !b.until.IsZero() }

// failing reports whether the last attempts failed, all of them.
func (b *breaker) failing() bool { return b.failures >= breakAfter }

// succeed closes it: the receiver has taken something.
func (b *breaker) succeed() {
	*b = breaker{well: b.well + (1-b.well)/breakerWindow}
}

// fail learns from a failure.
func (b *breaker) fail(now time.Time) {
	b.failures++
	b.well -= b.well / breakerWindow
	switch {
	case b.failures < breakAfter, b.well > wellEnough, b.open(now):
		// Attempts that were under way when it opened prove nothing new.
		return
	case b.length == 0:
		b.length = firstBreak
	default:
		b.length = min(2*b.length, longestBreak)
	}
	b.until = now.Add(b.length)
}

// idle reports whether it may be forgotten. What was broken is remembered for as
// long again as it was open, so that the next probe finds it half open.
func (b *breaker) idle(now time.Time) bool {
	return b.until.IsZero() || !now.Before(b.until.Add(b.length+rememberFor))
}
