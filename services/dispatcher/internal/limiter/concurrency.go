package limiter

import "time"

const (
	// initialLimit is how many attempts at once an endpoint gets of which nothing is
	// known.
	initialLimit = 2
	// slow is how long an attempt may take before the endpoint gets fewer at once.
	slow = time.Second
	// samples is over about how many attempts slower answers are averaged.
	samples = 64
)

// concurrency decides how many attempts may be under way to one endpoint: additive
// increase, multiplicative decrease (AIMD). Each good answer that used the whole
// limit adds one, which doubles the limit in a round trip (slow start). After the
// first failure it adds one in a round trip. A failure halves the limit, once for
// all attempts that were under way together. An endpoint whose attempts take longer
// than [slow] is capped in proportion: at four seconds it gets a quarter, because
// each of its attempts holds a place for so long.
type concurrency struct {
	most    int // never more than this
	limit   float64
	growing bool          // in slow start: how quick the endpoint will be is not known yet
	took    time.Duration // how long an attempt lasts; 0 when none has ended
	cut     time.Time     // when the limit was last halved
	moved   time.Time     // when an attempt last ended, or began while none was under way
}

func newConcurrency(most int) concurrency {
	return concurrency{most: most, limit: initialLimit, growing: true}
}

// allowed is how many attempts may be under way at once.
func (c *concurrency) allowed() int {
	return max(1, int(min(c.limit, c.ceiling())))
}

func (c *concurrency) ceiling() float64 {
	ceiling := float64(c.most)
	if c.took > slow {
		ceiling *= float64(slow) / float64(c.took)
	}
	return ceiling
}

// begin counts an attempt that is added to so many others.
func (c *concurrency) begin(others int, now time.Time) {
	if others == 0 {
		c.moved = now
	}
}

// end learns from an attempt; inFlight counts it.
func (c *concurrency) end(a attempt, inFlight int) {
	c.learn(max(a.took, 1))
	switch {
	case a.failed && a.began.Before(c.cut):
	case a.failed:
		c.limit, c.growing, c.cut = max(1, c.limit/2), false, a.ended
	case inFlight < c.allowed():
	case c.growing:
		c.limit++
	default:
		c.limit += 1 / c.limit
	}
	if ceiling := max(1, c.ceiling()); c.limit >= ceiling {
		c.limit, c.growing = ceiling, false
	}
}

// learn averages how long an attempt lasts. A quicker answer counts eight times as
// much as a slower one: when this process stops for a moment, all answers that are
// under way look slow at once, and then nearly everybody would be turned away for
// nothing. Who is let into the line by mistake leaves it in time, anyway.
func (c *concurrency) learn(took time.Duration) {
	switch {
	case c.took == 0:
		c.took = took
	case took < c.took:
		c.took += (took - c.took) / (samples / 8)
	default:
		c.took += (took - c.took) / samples
	}
}

// wait is how long it takes until a delivery with so many others ahead can go. In
// slow start it is not known, and said to be nothing.
func (c *concurrency) wait(ahead int) time.Duration {
	if c.growing {
		return 0
	}
	return c.interval() * time.Duration(ahead+1)
}

// spacing is the time between the turns of two deliveries that are turned away: in
// slow start the shortest that there can be, after that half of the interval. It is
// better to ask twice than to leave a quick receiver without work: attempts take
// longer while much is being turned away. It is nothing when none has ended.
func (c *concurrency) spacing() time.Duration {
	if c.growing {
		return c.took / time.Duration(c.most)
	}
	return c.interval() / 2
}

// interval is the time from the end of one attempt to the end of the next, as far
// as is known.
func (c *concurrency) interval() time.Duration { return c.took / time.Duration(c.allowed()) }
