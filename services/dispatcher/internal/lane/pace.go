package lane

import (
	"math"
	"time"
)

const (
	// initialPace is what an attempt is assumed to last before one has ended.
	initialPace = 50 * time.Millisecond
	// paceWindow is the time over which the pace is averaged.
	paceWindow = time.Second
	// leastActive is the least share of the window that says anything.
	leastActive = 0.01
	// quickestTurn bounds the estimate.
	quickestTurn = 10 * time.Microsecond
	// standstill is how long nothing has to have ended for it to count: with a
	// long line, a hiccup of ours would look like minutes.
	standstill = 500 * time.Millisecond
)

// pace is how quickly attempts to an endpoint end.
//
// Two things are known: how many have ended while any was under way, and how long
// each took. The first is too low for an endpoint that could do with more at
// once, the second too slow after a hiccup of our own that held all attempts up
// together; so the quicker of the two is believed. An endpoint that has just
// begun to hang still looks quick by both: there, what counts is how long nothing
// has ended.
type pace struct {
	took     time.Duration // moving average of how long an attempt lasts
	ends     float64       // moving average of how many end, a second
	active   float64       // moving average of the share of time with any under way
	under    int           // attempts under way
	at       time.Time     // when the averages were brought up to date
	progress time.Time     // when an attempt last ended, or began with none under way
}

func newPace(now time.Time) pace { return pace{took: initialPace, at: now, progress: now} }

// begin is an attempt's beginning.
func (p *pace) begin(now time.Time) {
	p.fade(now)
	if p.under == 0 {
		p.progress = now
	}
	p.under++
}

// end is an attempt's end; took is 0 when nothing was sent.
func (p *pace) end(took time.Duration, now time.Time) {
	p.fade(now)
	p.under--
	p.ends += 1 / paceWindow.Seconds()
	p.progress = now
	if took > 0 {
		p.took += (took - p.took) / 8
	}
}

// skip leaves a time out in which this process did not run.
func (p *pace) skip(gap time.Duration) {
	p.at = p.at.Add(gap)
	p.progress = p.progress.Add(gap)
}

// fade brings the averages up to date.
func (p *pace) fade(now time.Time) {
	keep := fading(now.Sub(p.at))
	p.ends *= keep
	p.active *= keep
	if p.under > 0 {
		p.active += 1 - keep
	}
	p.at = now
}

func fading(passed time.Duration) float64 {
	return math.Exp(-max(passed, 0).Seconds() / paceWindow.Seconds())
}

// turn is the expected time from the end of one attempt to the end of the next,
// with this many of them under way.
func (p *pace) turn(attempts int, now time.Time) time.Duration {
	current := *p
	current.fade(now)
	took := current.took
	if stood := now.Sub(current.progress); current.under > 0 && stood >= standstill {
		took = max(took, stood)
	}
	rate := max(current.ends/max(current.active, leastActive), float64(attempts)/took.Seconds())
	return max(time.Duration(float64(time.Second)/rate), quickestTurn)
}
