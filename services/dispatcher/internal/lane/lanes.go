package lane

import (
	"sync"
	"time"
)

// Verdict is what to do with a delivery.
type Verdict int

const (
	// Send it now; call [Lanes.Done] when the attempt has ended.
	Send Verdict = iota
	// Wait in line: it comes out of [Lanes.Done] or [Lanes.Tend].
	Wait
	// Park it: offer it again no earlier than the time that came with the verdict.
	Park
)

// Cause is why a delivery is parked.
type Cause int

// The causes.
const (
	// Busy: its turn would come too late.
	Busy Cause = iota + 1
	// Limited: the webhook's own rate limit holds it back.
	Limited
	// Paused: the receiver asked for a pause.
	Paused
	// Broken: the receiver fails, and it is not its turn to probe.
	Broken
)

// String is the cause as metrics write it.
func (c Cause) String() string {
	return [...]string{"", "busy", "rate_limited", "retry_after", "receiver_failing"}[c]
}

// Answer is a verdict and what belongs to it.
type Answer struct {
	Verdict Verdict
	// At is with Park when to offer again; with Wait, unless zero, when
	// [Lanes.Tend] has to be called at the latest.
	At time.Time
	// Why is with Park the cause.
	Why Cause
}

// Ask is a delivery that asks for its turn.
type Ask struct {
	// Endpoint names the lane.
	Endpoint string
	// Bytes is what the delivery holds in memory until it has left.
	Bytes int64
	// MaxPerSecond is the rate limit of its webhook; 0 for none.
	MaxPerSecond float64
}

// Limits bounds every lane and all of them together.
type Limits struct {
	// Concurrency is the number of attempts under way at once to one endpoint.
	Concurrency int
	// MaxWait is the longest expected wait in line.
	MaxWait time.Duration
	// MaxInFlight is the number of attempts under way at once to all endpoints.
	MaxInFlight int
	// MinInFlight is how many of them there may be however busy the processors are.
	MinInFlight int
	// MaxWaiting is the number of deliveries in all lines.
	MaxWaiting int
	// MaxLine is the number of deliveries in one line that does not move quickly. What
	// is in line is unsettled, and of that there is a limit for all that are taken in
	// together.
	MaxLine int
	// MaxBytes is what all deliveries under way and in line hold in memory.
	MaxBytes int64
}

// Result is what an ended attempt says about its endpoint.
type Result struct {
	// Took is how long the attempt lasted; 0 when nothing was sent.
	Took time.Duration
	// Failed says that the receiver did not take the delivery.
	Failed bool
	// PauseUntil is when the receiver wants to be called again; zero when it did
	// not say.
	PauseUntil time.Time
	// Bytes is what the delivery held, as asked.
	Bytes int64
}

// Next is a delivery that leaves the line: to be sent now, or parked.
type Next[T any] struct {
	Delivery T
	Answer

	bytes int64
}

// Lanes is the lanes of all endpoints. It is safe for concurrent use.
type Lanes[T any] struct {
	limits Limits

	mu       sync.Mutex
	lanes    map[string]*lane[T]
	inFlight int
	bound    bound // of inFlight
	waiting  int
	bytes    int64
	starved  []*lane[T] // wait for a slot although nothing is under way to them
	resumed  time.Time  // the end of the last time in which this process did not run
}

// New returns empty lanes.
func New[T any](limits Limits) *Lanes[T] {
	return &Lanes[T]{limits: limits, lanes: map[string]*lane[T]{}, bound: newBound(limits)}
}

// Offer asks for a turn of a delivery.
func (l *Lanes[T]) Offer(ask Ask, delivery T, now time.Time) Answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.lanes[ask.Endpoint]
	if own == nil {
		own = newLane[T](now)
		l.lanes[ask.Endpoint] = own
	}
	own.spacing = spacing(ask.MaxPerSecond)
	if until, why := own.closed(now); why != 0 {
		return own.parkAt(until, why, now, l.limits)
	}
	fits := l.fits(own, ask.Bytes)
	if fits && len(own.line) == 0 && own.room(now, l.limits) && l.share(own) {
		l.begin(own, now)
		l.hold(own, ask.Bytes)
		return Answer{Verdict: Send}
	}
	wait := own.wait(now, l.limits)
	if fits && l.mayWait(own, wait, now) {
		own.line = append(own.line, waiting[T]{delivery, ask.Bytes})
		l.waiting++
		l.hold(own, ask.Bytes)
		l.starve(own, now)
		answer := Answer{Verdict: Wait}
		if own.inFlight == 0 && own.spacing > 0 {
			answer.At = later(own.free, now.Add(soon)) // nothing that ends will call it
		}
		return answer
	}
	why := Busy
	if own.spacing > 0 {
		why = Limited
	}
	return own.parkAt(now.Add(max(wait, l.limits.MaxWait)), why, now, l.limits)
}

func (own *lane[T]) parkAt(earliest time.Time, why Cause, now time.Time, limits Limits) Answer {
	return Answer{Verdict: Park, At: own.nextSlot(earliest, now, limits), Why: why}
}

func spacing(maxPerSecond float64) time.Duration {
	if maxPerSecond <= 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / maxPerSecond)
}

// share reports whether the endpoint may have one more of the slots that all
// share. It gets a part of what is free only: the more endpoints hang, the fewer
// attempts each can hold, so there is room left for the first attempts to one
// more until there are about as many of them as may be. While a quarter of what may
// be is free, every endpoint gets its own limit.
func (l *Lanes[T]) share(own *lane[T]) bool {
	const shares = 4
	free := l.bound.value - l.inFlight
	return own.inFlight*l.bound.value < shares*l.limits.Concurrency*free
}

// fits reports whether the endpoint may hold this much more memory: never more
// than a quarter of what is free, except for a single delivery.
func (l *Lanes[T]) fits(own *lane[T], bytes int64) bool {
	const part = 4
	free := l.limits.MaxBytes - l.bytes
	return bytes <= free && (own.bytes == 0 || (own.bytes+bytes)*part <= free)
}

// mayWait reports whether there is a place in line: when the turn comes soon, or
// nothing is known of the endpoint yet; as long as the line keeps nobody else from
// being taken in; and in three quarters of the places that others leave only. What
// waits is called by an attempt that ends, at its own endpoint or at any, or by the
// tending.
func (l *Lanes[T]) mayWait(own *lane[T], wait time.Duration, now time.Time) bool {
	free := l.limits.MaxWaiting - l.waiting
	switch {
	case len(own.line) >= 3*free, own.breaker.probing():
		return false
	case len(own.line) >= l.limits.MaxLine && wait > quickly && !own.bursting(now):
		return false
	default:
		return wait <= l.limits.MaxWait || own.fresh(now)
	}
}

func (l *Lanes[T]) begin(own *lane[T], now time.Time) {
	own.begin(now)
	l.inFlight++
}

func (l *Lanes[T]) hold(own *lane[T], bytes int64) {
	own.bytes += bytes
	l.bytes += bytes
}

// Done ends an attempt at an endpoint. It returns the deliveries that leave the
// line because of it: those to be sent, for each of which Done is to be called
// again, and those to be parked, because the receiver wants nothing for a while or
// has become too slow for them to wait.
func (l *Lanes[T]) Done(endpoint string, result Result, now time.Time) []Next[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.lanes[endpoint]
	if now.Add(-result.Took).Before(l.resumed) {
		result.Took, result.Failed = 0, false
	}
	own.end(result, now)
	l.inFlight--
	l.hold(own, -result.Bytes)
	next := l.feed(now)
	next = append(next, l.leave(own, now)...)
	l.starve(own, now)
	return next
}

// starve has an endpoint called when any attempt ends, if there is none of its own
// to call it: others hold every slot.
func (l *Lanes[T]) starve(own *lane[T], now time.Time) {
	if len(own.line) > 0 && own.inFlight == 0 && own.spacing == 0 && own.starved.IsZero() {
		own.starved = now
		l.starved = append(l.starved, own)
	}
}

// feed gives slots that are free to those that have none, one each, in the order
// in which they came to be without.
func (l *Lanes[T]) feed(now time.Time) []Next[T] {
	var next []Next[T]
	for len(l.starved) > 0 && l.inFlight < l.bound.value {
		own := l.starved[0]
		l.starved[0] = nil
		l.starved = l.starved[1:]
		own.starved = time.Time{}
		next = append(next, l.leave(own, now)...)
	}
	return next
}

// leave takes out of the line what may go now, and what has to be parked.
func (l *Lanes[T]) leave(own *lane[T], now time.Time) []Next[T] {
	if len(own.line) == 0 {
		return nil
	}
	var next []Next[T]
	if _, why := own.closed(now); why == 0 {
		for len(own.line) > 0 && own.room(now, l.limits) && l.share(own) {
			first := own.shift()
			l.begin(own, now)
			l.waiting--
			next = append(next, Next[T]{Delivery: first.delivery, bytes: first.bytes})
		}
	}
	parked := own.trim(now, l.limits)
	l.waiting -= len(parked)
	for i := range parked {
		l.bytes -= parked[i].bytes
	}
	return append(next, parked...)
}

// Tend is to be called now and then, and whenever an answer said so. It returns
// the deliveries that leave their lines without an attempt that ended: those whose
// rate limit allows them to be sent now, and those to be parked, because nothing
// ends at their endpoints any more. It forgets lanes that are idle, and says when
// it has to be called again at the latest; zero when it does not matter.
func (l *Lanes[T]) Tend(now time.Time) (leaving []Next[T], again time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for endpoint, own := range l.lanes {
		if own.idle(now) {
			delete(l.lanes, endpoint)
			continue
		}
		leaving = append(leaving, l.leave(own, now)...)
		if len(own.line) > 0 && own.spacing > 0 {
			again = earlier(again, later(own.free, now.Add(soon)))
		}
	}
	return leaving, again
}

// Strained tells how many goroutines of this process wait for each of its
// processors; it is to be called many times a second. From it follows how many
// attempts may be under way: between MinInFlight and MaxInFlight. It returns the
// deliveries that leave their lines because there may be more than before.
func (l *Lanes[T]) Strained(perProcessor float64, now time.Time) []Next[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bound.learn(perProcessor, l.inFlight)
	return l.feed(now)
}

// soon is the least time between two calls of [Lanes.Tend] for the sake of rate
// limits.
const soon = 10 * time.Millisecond

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earlier is the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// Recovered tells that a receiver has just taken something that did not come
// through its lane, such as a host's test: whatever was held against it is
// forgotten.
func (l *Lanes[T]) Recovered(endpoint string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if own := l.lanes[endpoint]; own != nil {
		own.breaker.succeed()
		own.slot = time.Time{}
	}
}

// Stood tells that this process did not run for a time, because it was stopped or
// its machine was: no receiver was slow then, nobody listened to them. Attempts
// that were under way teach nothing.
func (l *Lanes[T]) Stood(from, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resumed = until
	for _, own := range l.lanes {
		own.pace.skip(until.Sub(from))
		own.busy = own.busy.Add(until.Sub(from))
		if !own.starved.IsZero() {
			own.starved = own.starved.Add(until.Sub(from))
		}
	}
}

// Clear empties every line and returns what was waiting.
func (l *Lanes[T]) Clear() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []T
	for _, own := range l.lanes {
		for _, w := range own.line {
			all = append(all, w.delivery)
			l.hold(own, -w.bytes)
		}
		l.waiting -= len(own.line)
		own.line = nil
	}
	return all
}

// Load is what goes through the lanes at one moment.
type Load struct {
	// Lanes are remembered, and Broken of them have an open or half-open breaker.
	Lanes, Broken int
	// InFlight attempts are under way, and Waiting deliveries stand in line.
	InFlight, Waiting int
	// Allowed is how many attempts may be under way at once.
	Allowed int
}

// Load tells what goes through the lanes.
func (l *Lanes[T]) Load() Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	load := Load{Lanes: len(l.lanes), InFlight: l.inFlight, Waiting: l.waiting, Allowed: l.bound.value}
	for _, own := range l.lanes {
		if own.breaker.probing() {
			load.Broken++
		}
	}
	return load
}
