package limiter

import "time"

const (
	// unknownSpacing is what is taken for the time between two turns at an endpoint
	// that has never answered.
	unknownSpacing = time.Millisecond
	// fullLine is the least time after which to ask again when only the line was full:
	// its places are free again long before MaxWait is over.
	fullLine = 50 * time.Millisecond
	// maxSpacing is the longest time between the turns of two deliveries that were
	// turned away, unless the webhook's own rate asks for more. An endpoint that hangs
	// now may soon be quick again, and what was missed must not take days then.
	maxSpacing = 100 * time.Millisecond
)

// line is deliveries that wait for their turn at one endpoint, first come first
// served, and the times that were given to those which were turned away.
type line struct {
	waiters []*waiter // those that have left are still there until all before them have, too
	waiting int
	slot    time.Time // the last one given out
}

// waiter is a delivery in line.
type waiter struct {
	endpoint *endpoint
	request  Request
	turn     chan Turn // has room for the one answer
	left     bool
}

func (q *line) join(w *waiter) {
	q.waiters = append(q.waiters, w)
	q.waiting++
}

// first is whoever is next; nil when nobody waits.
func (q *line) first() *waiter {
	for len(q.waiters) > 0 {
		if w := q.waiters[0]; !w.left {
			return w
		}
		q.waiters[0] = nil
		q.waiters = q.waiters[1:]
	}
	q.waiters = nil
	return nil
}

func (q *line) leave(w *waiter) {
	w.left = true
	q.waiting--
	q.first() // lets go of those at the front that have left
}

// nextSlot gives out the next time, not before the earliest one.
func (q *line) nextSlot(earliest time.Time, spacing time.Duration) time.Time {
	q.slot = later(q.slot.Add(spacing), earliest)
	return q.slot
}
