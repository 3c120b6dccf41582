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
	"sync"
	"time"
)

// Verdict is what to do with a delivery.
type Verdict int

const (
	// Send it now; call [Lanes.Done] when the attempt has ended.
	Send Verdict = iota
	// Wait: it is in line, and comes out of [Lanes.Done] when it may be sent.
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

// initialPace is what an attempt is assumed to last before one has ended.
const initialPace = 50 * time.Millisecond

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
		return Park, own.nextSlot(own.pauseUntil, l.limits)
	case own.inFlight < l.limits.Concurrency && l.inFlight < l.limits.MaxInFlight:
		own.inFlight++
		l.inFlight++
		return Send, time.Time{}
	}
	wait := own.expectedWait(l.limits)
	if own.inFlight > 0 && wait <= l.limits.MaxWait {
		own.line = append(own.line, delivery)
		return Wait, time.Time{}
	}
	return Park, own.nextSlot(now.Add(max(wait, l.limits.MaxWait)), l.limits)
}

// Done ends an attempt at an endpoint. It returns the deliveries that leave the
// line because of it: at most one to be sent, for which Done is to be called
// again, and any number to be parked.
func (l *Lanes[T]) Done(endpoint string, result Result, now time.Time) []Next[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.lanes[endpoint]
	own.inFlight--
	l.inFlight--
	if result.Took > 0 {
		own.pace += (result.Took - own.pace) / 8
	}
	if result.PauseUntil.After(own.pauseUntil) {
		own.pauseUntil = result.PauseUntil
	}
	next := own.leave(now, l.limits)
	if len(next) == 1 && next[0].Verdict == Send {
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

// Forget drops the lanes that have nothing under way, nothing in line and nothing
// to remember. Call it now and then: a lane whose pause has passed is otherwise
// kept until its next delivery.
func (l *Lanes[T]) Forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for endpoint, own := range l.lanes {
		if own.idle(now) {
			delete(l.lanes, endpoint)
		}
	}
}

// leave takes out of the line what may go now, or everything when the receiver
// has asked for a pause.
func (own *lane[T]) leave(now time.Time, limits Limits) []Next[T] {
	if len(own.line) == 0 {
		return nil
	}
	if !now.Before(own.pauseUntil) {
		next := Next[T]{Delivery: own.line[0], Verdict: Send}
		var none T
		own.line[0] = none // nothing that has left is kept alive by the line
		own.line = own.line[1:]
		return []Next[T]{next}
	}
	parked := make([]Next[T], len(own.line))
	for i, delivery := range own.line {
		parked[i] = Next[T]{Delivery: delivery, Verdict: Park, At: own.nextSlot(own.pauseUntil, limits)}
	}
	own.line = nil
	return parked
}

// expectedWait is how long the next delivery in line would wait.
func (own *lane[T]) expectedWait(limits Limits) time.Duration {
	return own.gap(limits) * time.Duration(len(own.line)+1)
}

// gap is the time between two turns at the endpoint's pace.
func (own *lane[T]) gap(limits Limits) time.Duration {
	return max(own.pace/time.Duration(limits.Concurrency), 10*time.Microsecond)
}

// nextSlot gives out the first free slot at or after the earliest time.
func (own *lane[T]) nextSlot(earliest time.Time, limits Limits) time.Time {
	own.slot = own.slot.Add(own.gap(limits))
	if own.slot.Before(earliest) {
		own.slot = earliest
	}
	return own.slot
}

func (own *lane[T]) idle(now time.Time) bool {
	return own.inFlight == 0 && len(own.line) == 0 && !now.Before(own.pauseUntil) && !now.Before(own.slot)
}
