package lane

import "time"

const (
	// initialLimit is the number of attempts at once to an endpoint of which
	// nothing is known.
	initialLimit = 2
	// comfortable is how much longer than usual an attempt may last without being
	// called slow. It has to be well above the delays that we cause ourselves by
	// having more to do than processors to do it with: a limit kept low because of
	// those would leave the endpoint even less of them.
	comfortable = 40 * time.Millisecond
	// unhurried is how long an attempt may last without holding the limit down.
	unhurried = time.Second
)

// limit is the number of attempts that may be under way to an endpoint. As long
// as the endpoint answers well and about as quickly as it can, it grows with
// every answer that others waited for: doubling at first, by one in a round after
// the first set-back. An attempt much slower than usual takes a tenth of it, a
// failure half, down to one. That is how TCP finds out what a path carries, with
// the time that an answer takes in the place of lost packets.
type limit struct {
	value   float64
	settled bool          // it has met a set-back, and so grows slowly
	usual   time.Duration // what an attempt takes when nothing is in its way
	cut     time.Time     // when it was last lowered
}

func newLimit() limit { return limit{value: initialLimit} }

// allowed is the limit in whole attempts. An endpoint whose attempts take longer
// than a second gets fewer at once, in proportion: it holds a slot for a long
// time, and more at once rarely make such a receiver quicker.
func (l *limit) allowed(took time.Duration, most int) int {
	ceiling := float64(most)
	if took > unhurried {
		ceiling *= float64(unhurried) / float64(took)
	}
	return max(1, int(min(l.value, ceiling)))
}

// end learns from an attempt. pressed says whether others waited for it.
func (l *limit) end(result Result, pressed bool, now time.Time) {
	took := result.Took
	if result.Failed {
		l.lower(0.5, took, now)
		return
	}
	l.learn(took)
	switch {
	case took > 4*l.usual+10*comfortable:
		l.lower(0.9, took, now)
	case !pressed || took > 2*l.usual+comfortable || took > unhurried:
	case l.settled:
		l.value += 1 / l.value
	default:
		l.value++
	}
	l.value = min(l.value, highestLimit)
}

// highestLimit keeps the value near what any setting can allow.
const highestLimit = 1 << 12

// learn keeps the usual time: at once when an attempt was quicker, slowly when
// attempts have become slower for good.
func (l *limit) learn(took time.Duration) {
	const drift = 256
	if l.usual == 0 || took < l.usual {
		l.usual = took
		return
	}
	l.usual += (took - l.usual) / drift
}

// lower multiplies the limit, once for all attempts that were under way together.
func (l *limit) lower(by float64, took time.Duration, now time.Time) {
	if now.Add(-took).Before(l.cut) {
		return
	}
	l.value, l.settled, l.cut = max(1, l.value*by), true, now
}
