package limiter

import "time"

// endpoint is what is known of one endpoint. The limiter's lock guards it.
type endpoint struct {
	name        string
	concurrency concurrency
	breaker     breaker
	rate        rate
	holding     holding
	live        line
	background  line
	used        time.Time // when it was last asked for, or an attempt ended

	starved bool        // is among the limiter's starved
	timer   *time.Timer // for what its rate holds back
	waking  bool        // the timer is set
}

// attempt is an attempt that has ended.
type attempt struct {
	took         time.Duration
	failed       bool
	began, ended time.Time
}

// shut says until when nothing may go, and why; no cause when something may.
func (e *endpoint) shut(now time.Time) (until time.Time, cause Cause) {
	switch {
	case e.breaker.open(now):
		return later(e.breaker.until, e.rate.pauseUntil), Broken
	case e.rate.paused(now):
		return e.rate.pauseUntil, Paused
	default:
		return time.Time{}, 0
	}
}

// room reports whether one more attempt may begin, as far as the endpoint itself is
// concerned. A half-open breaker allows one.
func (e *endpoint) room(now time.Time) bool {
	allowed := e.concurrency.allowed()
	if !e.breaker.closed() {
		allowed = 1
	}
	return e.holding.inFlight < allowed && !e.rate.blocked(now)
}

// next reports whether nobody waits who goes before this one.
func (e *endpoint) next(r Request) bool {
	return e.live.waiting == 0 && (!r.Background || e.background.waiting == 0)
}

// first is who goes next; nil when nobody waits.
func (e *endpoint) first() *waiter {
	if w := e.live.first(); w != nil {
		return w
	}
	return e.background.first()
}

func (e *endpoint) lineOf(r Request) *line {
	if r.Background {
		return &e.background
	}
	return &e.live
}

// wait is how long a delivery is expected to wait.
func (e *endpoint) wait(r Request, now time.Time) time.Duration {
	ahead := e.live.waiting
	if r.Background {
		ahead += e.background.waiting
	}
	return max(e.concurrency.wait(ahead), e.rate.wait(ahead, now))
}

// longestLine is how many may stand in line: any number, unless the endpoint is
// flooded. Then it needs longer than MaxWait for what is in line and in the queue that
// the delivery comes from, as far as its pace is known.
func (e *endpoint) longestLine(r Request, limits Limits) int {
	const most = 1 << 20 // keeps the product of it and an interval in range
	if e.concurrency.wait(e.live.waiting+int(min(r.Behind, most))) > limits.MaxWait {
		return lineOfFlood * limits.Concurrency
	}
	return limits.MaxWaiting
}

// hangs reports whether attempts are under way of which none has ended for so long.
// The time before this process resumed does not count.
func (e *endpoint) hangs(resumed, now time.Time, long time.Duration) bool {
	return e.holding.inFlight > 0 && now.Sub(later(e.concurrency.moved, resumed)) >= long
}

// busy is the cause of a line that is too long.
func (e *endpoint) busy() Cause {
	if e.rate.interval > e.concurrency.interval() {
		return RateLimited
	}
	return Busy
}

// turnAway gives a delivery the next time at which to ask again.
func (e *endpoint) turnAway(r Request, earliest time.Time, cause Cause) Turn {
	spacing := unknownSpacing
	if learned := e.concurrency.spacing(); learned > 0 {
		spacing = min(learned, maxSpacing)
	}
	return Turn{NotBefore: e.lineOf(r).nextSlot(earliest, max(spacing, e.rate.interval)), Cause: cause}
}

// learn tells the parts what became of an attempt. It reports whether the breaker
// has opened or closed.
func (e *endpoint) learn(a attempt) (news bool) {
	e.concurrency.end(a, e.holding.inFlight)
	if a.failed {
		return e.breaker.fail(a)
	}
	return e.breaker.succeed()
}

// hint is what others should know.
func (e *endpoint) hint(now time.Time) Hint {
	until, cause := e.shut(now)
	return Hint{Endpoint: e.name, Until: until, Cause: cause}
}

// wakeAt sets the timer, unless it is set.
func (e *endpoint) wakeAt(at, now time.Time, wake func()) {
	switch {
	case e.waking:
		return
	case e.timer == nil:
		e.timer = time.AfterFunc(at.Sub(now), wake)
	default:
		e.timer.Reset(at.Sub(now))
	}
	e.waking = true
}

// idle reports whether there is nothing to do and nothing worth remembering.
func (e *endpoint) idle(now time.Time) bool {
	return e.holding == holding{} && !e.starved && !e.waking && now.Sub(e.used) >= rememberFor &&
		!e.rate.paused(now) && !e.rate.blocked(now) && !e.live.slot.After(now) && !e.background.slot.After(now) &&
		e.breaker.idle(now)
}
