// Package lane decides whether a delivery may go to its endpoint now. Each
// endpoint has a lane: a number of attempts that may be under way, which adapts
// to how the receiver does; a short line of deliveries that wait for one of them
// to end; a breaker for receivers that answer nothing good any more; and a time
// before which the receiver wants nothing. What would wait too long is told when
// its turn is expected instead, one slot after the other at the endpoint's real
// pace, so that a backlog never wakes as a herd and a slow endpoint holds no
// memory.
//
//	limit.go    how many attempts at once       (grows and collapses)
//	pace.go     how quickly attempts end        (so how long a line takes)
//	breaker.go  whether any may be made at all  (open, probe, closed)
//	lane.go     one endpoint: all of it together
//	bound.go    how many attempts at once altogether (as the processors can follow)
//	lanes.go    all endpoints, and what they share
//
// The package is pure: time is a parameter, nothing is sent, nothing sleeps.
// Lanes are in memory, per replica, and forgotten when idle.
package lane

import "time"

const (
	// freshFor is how long an endpoint must have been busy before its pace means
	// anything: a first connection, or a burst that is still being taken in, holds
	// all its first attempts up at once.
	freshFor = time.Second
	// burstFor is how long an endpoint must have been busy before the length of its
	// line means anything.
	burstFor = 200 * time.Millisecond
	// quickly is how soon a line must have passed to be longer than MaxLine: then it
	// gives the places that it takes from others back before they are missed.
	quickly = 500 * time.Millisecond
	// patience is how many times LANE_MAX_WAIT what is in line already may come to
	// wait, before it is taken out: a short delay is not worth two more messages.
	patience = 2
	// rememberFor is how long an idle lane is kept for what it has learned.
	rememberFor = 30 * time.Second
	// brokenSpacing is the least time between the slots of an endpoint that is
	// broken: how quick it will be is not known.
	brokenSpacing = time.Millisecond
)

// lane is one endpoint.
type lane[T any] struct {
	inFlight int
	bytes    int64 // of the deliveries under way and in line
	line     []waiting[T]
	limit    limit
	pace     pace
	breaker  breaker

	busy       time.Time     // since when something has been under way
	pauseUntil time.Time     // the receiver wants nothing before
	spacing    time.Duration // least time between two attempts; 0 for none
	free       time.Time     // when spacing allows the next attempt
	slot       time.Time     // the last slot that was given to a parked delivery
	starved    time.Time     // since when the line has had nobody to call it; zero when it has
}

// waiting is a delivery in line.
type waiting[T any] struct {
	delivery T
	bytes    int64
}

func newLane[T any](now time.Time) *lane[T] {
	return &lane[T]{limit: newLimit(), pace: newPace(now)}
}

// closed says until when nothing may be sent at all, and why; zero when something
// may.
func (own *lane[T]) closed(now time.Time) (until time.Time, why Cause) {
	switch {
	case own.breaker.open(now):
		return later(own.breaker.until, own.pauseUntil), Broken
	case now.Before(own.pauseUntil):
		return own.pauseUntil, Paused
	default:
		return time.Time{}, 0
	}
}

// room reports whether one more attempt may begin, as far as the endpoint itself
// is concerned.
func (own *lane[T]) room(now time.Time, limits Limits) bool {
	if own.breaker.probing() {
		return own.inFlight == 0
	}
	return own.inFlight < own.limit.allowed(own.pace.took, limits.Concurrency) && !now.Before(own.free)
}

// begin counts an attempt.
func (own *lane[T]) begin(now time.Time) {
	if own.inFlight == 0 {
		own.busy = now
	}
	own.pace.begin(now)
	own.inFlight++
	if own.spacing > 0 {
		own.free = now.Add(own.spacing)
	}
}

// end counts what became of an attempt.
func (own *lane[T]) end(result Result, now time.Time) {
	own.inFlight--
	own.pace.end(result.Took, now)
	if result.Took > 0 {
		if result.Failed {
			own.breaker.fail(now)
		} else {
			own.breaker.succeed()
		}
		own.limit.end(result, len(own.line) > 0, now)
	}
	if result.PauseUntil.After(own.pauseUntil) {
		own.pauseUntil = result.PauseUntil
	}
}

// wait is the time that a delivery at the end of the line is expected to wait.
func (own *lane[T]) wait(now time.Time, limits Limits) time.Duration {
	wait := own.turn(now, limits) * time.Duration(len(own.line)+1)
	if own.spacing > 0 {
		wait = max(wait, own.free.Sub(now)+own.spacing*time.Duration(len(own.line)))
	}
	return wait
}

// turn is the expected time from one attempt's end to the next one's.
func (own *lane[T]) turn(now time.Time, limits Limits) time.Duration {
	atOnce := max(own.inFlight, own.limit.allowed(own.pace.took, limits.Concurrency))
	return max(own.pace.turn(atOnce, now), own.spacing)
}

// fresh reports whether the endpoint has been busy for too short a time to say how
// quick it is. A rate limit says it from the start.
func (own *lane[T]) fresh(now time.Time) bool {
	return own.spacing == 0 && own.inFlight > 0 && now.Sub(own.busy) < freshFor
}

// bursting reports whether the endpoint has been busy for too short a time for the
// length of its line to mean anything.
func (own *lane[T]) bursting(now time.Time) bool {
	return own.inFlight > 0 && now.Sub(own.busy) < burstFor
}

// trim takes from the end of the line what would wait too long at the pace of now,
// and what crowds others out; everything, when nothing may be sent for a while.
func (own *lane[T]) trim(now time.Time, limits Limits) []Next[T] {
	if len(own.line) == 0 {
		return nil
	}
	if until, why := own.closed(now); why != 0 {
		return own.park(0, until, why, now, limits)
	}
	if !own.starved.IsZero() && now.Sub(own.starved) > limits.MaxWait {
		own.starved = now
		return own.park(0, now.Add(limits.MaxWait), Busy, now, limits)
	}
	keep, turn := len(own.line), own.turn(now, limits)
	if !own.fresh(now) {
		keep = min(keep, int(patience*limits.MaxWait/turn))
	}
	most := max(limits.MaxLine, int(quickly/turn))
	if keep > most+most/4 && !own.bursting(now) { // a little more is not worth two more messages either
		keep = most
	}
	if keep >= len(own.line) {
		return nil
	}
	why := Busy
	if own.spacing > 0 {
		why = Limited
	}
	return own.park(keep, now.Add(limits.MaxWait), why, now, limits)
}

// shift takes the first delivery out of the line.
func (own *lane[T]) shift() waiting[T] {
	first := own.line[0]
	own.line[0] = waiting[T]{} // nothing that has left is kept alive by the line
	own.line = own.line[1:]
	if len(own.line) == 0 {
		own.line = nil
	}
	return first
}

// park takes everything from the given place in the line on out of it.
func (own *lane[T]) park(from int, earliest time.Time, why Cause, now time.Time, limits Limits) []Next[T] {
	parked := make([]Next[T], 0, len(own.line)-from)
	for _, w := range own.line[from:] {
		own.bytes -= w.bytes
		parked = append(parked, Next[T]{
			Delivery: w.delivery, bytes: w.bytes,
			Answer: Answer{Verdict: Park, At: own.nextSlot(earliest, now, limits), Why: why},
		})
	}
	clear(own.line[from:])
	own.line = own.line[:from]
	if from == 0 {
		own.line = nil
	}
	return parked
}

// nextSlot gives out the first free slot at or after the earliest time.
func (own *lane[T]) nextSlot(earliest, now time.Time, limits Limits) time.Time {
	spacing := own.turn(now, limits)
	if own.breaker.failing() {
		spacing = max(spacing, brokenSpacing)
	}
	own.slot = own.slot.Add(spacing)
	if own.slot.Before(earliest) {
		own.slot = earliest
	}
	return own.slot
}

// idle reports whether there is nothing to do and nothing worth remembering.
func (own *lane[T]) idle(now time.Time) bool {
	return own.inFlight == 0 && len(own.line) == 0 &&
		!now.Before(own.pauseUntil) && !now.Before(own.slot) &&
		now.Sub(own.pace.progress) >= rememberFor && own.breaker.idle(now)
}
