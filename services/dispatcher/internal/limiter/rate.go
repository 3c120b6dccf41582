package limiter

import "time"

// rate keeps to what was asked for: the max_per_second of the webhook, and the
// pause that its receiver asked for with Retry-After.
type rate struct {
	interval   time.Duration // between two attempts; 0 for no limit
	next       time.Time     // when the next attempt may begin
	woken      bool          // by the timer for next, just now
	pauseUntil time.Time     // nothing begins before
}

// set says how many attempts a second all replicas together may begin. Each takes
// its share.
func (r *rate) set(maxPerSecond float64, replicas int, now time.Time) {
	if maxPerSecond <= 0 {
		r.interval, r.next = 0, time.Time{}
		return
	}
	interval := time.Duration(float64(time.Second) / maxPerSecond * float64(replicas))
	if interval == r.interval {
		return
	}
	r.interval = interval
	r.next = earlier(r.next, now.Add(interval)) // a limit that was raised holds at once
}

// pause is heard from the receiver. It reports whether that is news.
func (r *rate) pause(until time.Time) bool {
	if !until.After(r.pauseUntil) {
		return false
	}
	r.pauseUntil = until
	return true
}

// paused reports whether the receiver wants nothing.
func (r *rate) paused(now time.Time) bool { return now.Before(r.pauseUntil) }

// blocked reports whether it is too early for another attempt.
func (r *rate) blocked(now time.Time) bool { return now.Before(r.next) }

// begin counts an attempt. One that a timer has let go a little late does not make
// those after it late as well: on average the rate is exact.
func (r *rate) begin(now time.Time) {
	if r.interval == 0 {
		return
	}
	from := now
	if r.woken && now.Sub(r.next) < r.interval {
		from = r.next
	}
	r.woken = false
	r.next = from.Add(r.interval)
}

// wait is how long it takes until a delivery with so many others ahead may go.
func (r *rate) wait(ahead int, now time.Time) time.Duration {
	return max(0, r.next.Sub(now)) + r.interval*time.Duration(ahead)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
