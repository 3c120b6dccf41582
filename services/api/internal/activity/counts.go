package activity

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

const (
	// Hours is how many hours are counted: seven days.
	Hours = 7 * 24
	// dayHours is how many of them are the last day.
	dayHours = 24
	// exhaustedMost is how many of the last deliveries that were given up are
	// remembered.
	exhaustedMost = 10
	// classesPerDoubling is how finely durations are told apart: a quantile is right
	// within a tenth.
	classesPerDoubling = 4
	// lastClass takes everything above a minute.
	lastClass = 16 * classesPerDoubling
)

const hour = time.Hour / time.Millisecond

// count adds one attempt. Tests are no deliveries, so they are in the log only.
func count(c *webhooksv1.Counts, e *webhooksv1.LogEntry) {
	if e.GetTrigger() == webhooksv1.Trigger_TRIGGER_TEST {
		return
	}
	at := StartedAt(e).UnixMilli()
	if e.GetOutcome() == webhooksv1.Outcome_OUTCOME_EXHAUSTED {
		c.ExhaustedMs = append(c.ExhaustedMs, at)
		slices.Sort(c.ExhaustedMs)
		c.ExhaustedMs = c.ExhaustedMs[max(0, len(c.ExhaustedMs)-exhaustedMost):]
	}
	h := hourOf(c, at/int64(hour))
	if h == nil {
		return
	}
	if !made(e) {
		h.Ended++
		return
	}
	h.Attempts++
	add(&h.Durations, class(e.GetDurationUs()))
	if e.GetOutcome() == webhooksv1.Outcome_OUTCOME_DELIVERED {
		h.Delivered++
	} else {
		add(&h.Failed, int32(e.GetReason()))
	}
}

func add[K comparable](to *map[K]uint32, key K) {
	if *to == nil {
		*to = map[K]uint32{}
	}
	(*to)[key]++
}

// made reports whether a request was made at all.
func made(e *webhooksv1.LogEntry) bool {
	switch e.GetOutcome() {
	case webhooksv1.Outcome_OUTCOME_DELIVERED, webhooksv1.Outcome_OUTCOME_RETRY, webhooksv1.Outcome_OUTCOME_GONE:
		return true
	case webhooksv1.Outcome_OUTCOME_EXHAUSTED:
		return e.GetReason() != webhooksv1.Reason_REASON_RECEIVER_FAILING
	case webhooksv1.Outcome_OUTCOME_UNSPECIFIED, webhooksv1.Outcome_OUTCOME_DELETED,
		webhooksv1.Outcome_OUTCOME_DISABLED, webhooksv1.Outcome_OUTCOME_EXPIRED, webhooksv1.Outcome_OUTCOME_ERASED:
		return false
	}
	return false
}

// hourOf finds or makes the counts of an hour, and drops what is older than
// [Hours] before the newest one; nil for an hour that is itself so old.
func hourOf(c *webhooksv1.Counts, number int64) *webhooksv1.HourCounts {
	i, found := slices.BinarySearchFunc(c.GetHours(), number, func(h *webhooksv1.HourCounts, n int64) int {
		return int(h.GetHour() - n)
	})
	if found {
		return c.GetHours()[i]
	}
	if n := len(c.GetHours()); n > 0 && number <= c.GetHours()[n-1].GetHour()-Hours {
		return nil
	}
	made := &webhooksv1.HourCounts{Hour: number}
	c.Hours = slices.Insert(c.GetHours(), i, made)
	newest := c.GetHours()[len(c.GetHours())-1].GetHour()
	c.Hours = slices.DeleteFunc(c.GetHours(), func(h *webhooksv1.HourCounts) bool { return h.GetHour() <= newest-Hours })
	return made
}

// class is the number of the class of a duration.
func class(us int64) uint32 {
	ms := float64(us) / 1000
	if ms < 1 {
		return 0
	}
	return uint32(min(lastClass, 1+math.Floor(math.Log2(ms)*classesPerDoubling)))
}

// duration stands for those of a class: the middle of it.
func duration(class uint32) time.Duration {
	ms := 0.5
	if class > 0 {
		ms = math.Exp2((float64(class) - 0.5) / classesPerDoubling)
	}
	return time.Duration(ms * float64(time.Millisecond)).Round(100 * time.Microsecond)
}

// LastFailure is the newest request that failed, of those that are remembered in
// summary; nil when one was delivered since. Tests do not count.
func (a *Activity) LastFailure() *webhooksv1.LogEntry {
	for _, e := range slices.Backward(a.Tail) {
		switch {
		case e.GetTrigger() == webhooksv1.Trigger_TRIGGER_TEST || !made(e):
		case e.GetOutcome() == webhooksv1.Outcome_OUTCOME_DELIVERED:
			return nil
		default:
			return e
		}
	}
	return nil
}

// Sum is what became of attempts in some time.
type Sum struct {
	// Since is when that time began.
	Since               time.Time
	Attempts, Delivered uint64
	// Failed is by the label of the reason.
	Failed map[string]uint64
	// Ended counts deliveries that ended without a request.
	Ended uint64

	durations map[uint32]uint64
}

func newSum(since time.Time) Sum {
	return Sum{Since: since, Failed: map[string]uint64{}, durations: map[uint32]uint64{}}
}

func (s *Sum) add(h *webhooksv1.HourCounts) {
	s.Attempts += uint64(h.GetAttempts())
	s.Delivered += uint64(h.GetDelivered())
	s.Ended += uint64(h.GetEnded())
	for reason, n := range h.GetFailed() {
		s.Failed[webhooksv1.Reason(reason).Label()] += uint64(n)
	}
	for class, n := range h.GetDurations() {
		s.durations[class] += uint64(n)
	}
}

// Quantile is how long at least that share of the requests took at most, within a
// tenth; false when there were none.
func (s *Sum) Quantile(share float64) (time.Duration, bool) {
	if s.Attempts == 0 {
		return 0, false
	}
	rank := uint64(math.Ceil(share * float64(s.Attempts)))
	var seen uint64
	classes := slices.Sorted(maps.Keys(s.durations))
	for _, class := range classes {
		if seen += s.durations[class]; seen >= rank {
			return duration(class), true
		}
	}
	return 0, false
}

// Statistics is what became of a webhook's attempts of late.
type Statistics struct {
	// ByHour has the last seven days, oldest first, hours without attempts too.
	ByHour []Sum
	// Day and Week are their sums: of the last 24 of these hours, and of all.
	Day, Week Sum
}

// Statistics sums the counts up. The last hour is the one that now is in.
func (a *Activity) Statistics(now time.Time) Statistics {
	current := now.UnixMilli() / int64(hour)
	first := current - Hours + 1
	s := Statistics{Day: newSum(startOf(current - dayHours + 1)), Week: newSum(startOf(first))}
	byNumber := map[int64]*webhooksv1.HourCounts{}
	for _, h := range a.Counts.GetHours() {
		byNumber[h.GetHour()] = h
	}
	for number := first; number <= current; number++ {
		sum := newSum(startOf(number))
		if h := byNumber[number]; h != nil {
			sum.add(h)
			s.Week.add(h)
			if number > current-dayHours {
				s.Day.add(h)
			}
		}
		s.ByHour = append(s.ByHour, sum)
	}
	return s
}

func startOf(number int64) time.Time { return time.UnixMilli(number * int64(hour)).UTC() }

// ExhaustedSince counts the deliveries that were given up since a time, but no
// further than ten.
func (a *Activity) ExhaustedSince(since time.Time) int {
	n := 0
	for _, at := range a.Counts.GetExhaustedMs() {
		if at >= since.UnixMilli() {
			n++
		}
	}
	return n
}
