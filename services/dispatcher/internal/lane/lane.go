// Package lane decides whether a delivery may go to its endpoint now. Each
// endpoint has a lane: a number of attempts that may be under way, a short line
// of deliveries that wait for one of them to end, and a time before which the
// receiver wants nothing. What would wait too long is told when its turn is
// expected instead, one slot after the other at the endpoint's real pace, so
// that a backlog never wakes as a herd and a slow endpoint holds no memory.
//
// The package is pure: time is a parameter, nothing is sent, nothing sleeps.
// Lanes are in memory, per replica, and forgotten when idle.
package lane

import (
	"math"
	"sync"
	"time"
)

// Verdict is what to do with a delivery.
type Verdict int

const (
	// Send it now; call [Lanes.Done] when the attempt has ended.
	Send Verdict = iota
	// Wait in line: it comes out of [Lanes.Done] when it may be sent.
	Wait
	// Park it: try again no earlier than the time that came with the verdict.
	Park
)

// Limits bounds every lane and all of them together.
type Limits struct {
	// Concurrency is the number of attempts under way at once to one endpoint.
	Concurrency int
	// MaxWait is the longest expected wait in line.
	MaxWait time.Duration
	// MaxInFlight is the number of attempts under way at once to all endpoints.
	MaxInFlight int
}

// Result is what an ended attempt says about its endpoint.
type Result struct {
	// Took is how long the attempt lasted; 0 when nothing was sent.
	Took time.Duration
	// PauseUntil is when the receiver wants to be called again; zero when it did
	// not say.
	PauseUntil time.Time
}

// Next is a delivery that leaves the line: to be sent now, or parked until At.
type Next[T any] struct {
	Delivery T
	Verdict  Verdict
	At       time.Time
}

const (
	// initialPace is what an attempt is assumed to last before one has ended.
	initialPace = 50 * time.Millisecond
	// rateWindow is the time over which the rate is averaged.
	rateWindow = time.Second
)

// Lanes is the lanes of all endpoints. It is safe for concurrent use.
type Lanes[T any] struct {
	limits Limits

	mu       sync.Mutex
	lanes    map[string]*lane[T]
	inFlight int
}

type lane[T any] struct {
	inFlight   int
	line       []T
	pace       time.Duration // moving average of how long an attempt lasts
	rate       float64       // moving average of how many attempts end, per second, as of progress
	progress   time.Time     // when an attempt last ended, or began with nothing under way
	busy       time.Time     // since when something has been under way
	pauseUntil time.Time
	slot       time.Time // the last slot that was given to a parked delivery
}

// New returns empty lanes.
func New[T any](limits Limits) *Lanes[T] {
	return &Lanes[T]{limits: limits, lanes: map[string]*lane[T]{}}
}

// Offer asks for a turn of a delivery at an endpoint. With [Park] it returns when
// to offer it again.
func (l *Lanes[T]) Offer(endpoint string, delivery T, now time.Time) (Verdict, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.lanes[endpoint]
	if own == nil {
		own = &lane[T]{pace: initialPace}
		l.lanes[endpoint] = own
	}
	switch {
	case now.Before(own.pauseUntil):
		return Park, own.nextSlot(own.pauseUntil, now, l.limits)
	case l.room(own):
		if own.inFlight == 0 {
			own.rate, own.progress, own.busy = own.rateAt(now), now, now
		}
		own.inFlight++
		l.inFlight++
		return Send, time.Time{}
	}
	wait := own.turn(max(own.inFlight, 1), now) * time.Duration(len(own.line)+1)
	if own.inFlight > 0 && (wait <= l.limits.MaxWait || own.fresh(now, l.limits)) {
		own.line = append(own.line, delivery)
		return Wait, time.Time{}
	}
	return Park, own.nextSlot(now.Add(max(wait, l.limits.MaxWait)), now, l.limits)
}

// room reports whether one more attempt to the endpoint may begin. Besides its own
// limit, an endpoint may hold a share of what is free only: the more endpoints
// hang, the fewer attempts each can hold, so there is room left for the first
// attempts to one more until there are about as many of them as MaxInFlight. While
// a quarter of MaxInFlight is free, every endpoint gets its own limit.
func (l *Lanes[T]) room(own *lane[T]) bool {
	const shares = 4
	free := l.limits.MaxInFlight - l.inFlight
	return own.inFlight < l.limits.Concurrency && own.inFlight*l.limits.MaxInFlight < shares*l.limits.Concurrency*free
}

// Done ends an attempt at an endpoint. It returns the deliveries that leave the
// line because of it: at most one to be sent, for which Done is to be called
// again, and any number to be parked, because the receiver asked for a pause or
// has become too slow for them to wait.
func (l *Lanes[T]) Done(endpoint string, result Result, now time.Time) []Next[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.lanes[endpoint]
	own.inFlight--
	l.inFlight--
	own.rate = own.rateAt(now) + 1/rateWindow.Seconds()
	own.progress = now
	if result.Took > 0 {
		own.pace += (result.Took - own.pace) / 8
	}
	if result.PauseUntil.After(own.pauseUntil) {
		own.pauseUntil = result.PauseUntil
	}
	next := own.leave(now, l.limits)
	if len(next) > 0 && next[0].Verdict == Send {
		own.inFlight++
		l.inFlight++
	}
	if own.idle(now) {
		delete(l.lanes, endpoint)
	}
	return next
}

// Clear empties every line and returns what was waiting.
func (l *Lanes[T]) Clear() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []T
	for _, own := range l.lanes {
		all = append(all, own.line...)
		own.line = nil
	}
	return all
}

// InFlight is the number of attempts under way to all endpoints.
func (l *Lanes[T]) InFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight
}

// Len is the number of lanes that are remembered.
func (l *Lanes[T]) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lanes)
}

// Tend is to be called now and then. It returns the deliveries that would wait too
// long in the lines of endpoints where nothing ends any more, to be parked, and
// forgets the lanes that have nothing under way and nothing to remember.
func (l *Lanes[T]) Tend(now time.Time) []Next[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	var parked []Next[T]
	for endpoint, own := range l.lanes {
		if own.idle(now) {
			delete(l.lanes, endpoint)
			continue
		}
		parked = append(parked, own.trim(now, l.limits)...)
	}
	return parked
}

// leave takes out of the line the delivery that may go now, and from its end
// those that would wait too long at the pace of now; or everything, when the
// receiver has asked for a pause.
func (own *lane[T]) leave(now time.Time, limits Limits) []Next[T] {
	if len(own.line) == 0 {
		return nil
	}
	if now.Before(own.pauseUntil) {
		return own.park(0, own.pauseUntil, now, limits)
	}
	next := []Next[T]{{Delivery: own.line[0], Verdict: Send}}
	var none T
	own.line[0] = none // nothing that has left is kept alive by the line
	own.line = own.line[1:]
	return append(next, own.trim(now, limits)...)
}

// trim takes from the end of the line those that would wait too long.
func (own *lane[T]) trim(now time.Time, limits Limits) []Next[T] {
	if own.fresh(now, limits) {
		return nil
	}
	keep := int(limits.MaxWait / own.turn(max(own.inFlight, 1), now))
	if keep >= len(own.line) {
		return nil
	}
	return own.park(keep, now.Add(limits.MaxWait), now, limits)
}

// fresh reports whether the endpoint has been busy for too short a time to say how
// quick it is: a first connection, or a pause of our own, holds all its attempts up
// at once. Until then everything may wait.
func (own *lane[T]) fresh(now time.Time, limits Limits) bool {
	return now.Sub(own.busy) < limits.MaxWait
}

// park takes everything from the given place in the line on out of it.
func (own *lane[T]) park(from int, earliest, now time.Time, limits Limits) []Next[T] {
	parked := make([]Next[T], 0, len(own.line)-from)
	for _, delivery := range own.line[from:] {
		parked = append(parked, Next[T]{Delivery: delivery, Verdict: Park, At: own.nextSlot(earliest, now, limits)})
	}
	clear(own.line[from:])
	own.line = own.line[:from]
	if from == 0 {
		own.line = nil
	}
	return parked
}

// turn is the expected time from the end of one attempt to the end of the next,
// with this many of them under way.
//
// Two things are known: how many have ended in the last second or so, and how long
// each took. The first is too low for an endpoint that had little to do, the
// second too slow after a hiccup of our own that held all attempts up at once; so
// the quicker of the two is believed. An endpoint that has just begun to hang
// still looks quick by both: there, what counts is how long nothing has ended.
func (own *lane[T]) turn(attempts int, now time.Time) time.Duration {
	pace := own.pace
	if own.inFlight > 0 {
		pace = max(pace, now.Sub(own.progress))
	}
	rate := max(own.rateAt(now), float64(attempts)/pace.Seconds())
	return max(time.Duration(float64(time.Second)/rate), 10*time.Microsecond)
}

// rateAt is the rate as it has faded until now.
func (own *lane[T]) rateAt(now time.Time) float64 {
	return own.rate * math.Exp(-now.Sub(own.progress).Seconds()/rateWindow.Seconds())
}

// nextSlot gives out the first free slot at or after the earliest time.
func (own *lane[T]) nextSlot(earliest, now time.Time, limits Limits) time.Time {
	own.slot = own.slot.Add(own.turn(limits.Concurrency, now))
	if own.slot.Before(earliest) {
		own.slot = earliest
	}
	return own.slot
}

func (own *lane[T]) idle(now time.Time) bool {
	return own.inFlight == 0 && len(own.line) == 0 && !now.Before(own.pauseUntil) && !now.Before(own.slot)
}
