package activity

import (
	"time"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Lately is what a list of webhooks shows of one: little beside its [Activity]. It is
// never changed.
type Lately struct {
	// hours are those with attempts, of the day that ends with the newest of them.
	hours   []hourly
	failure *webhooksv1.LogEntry
	missed  time.Time
}

// hourly is what became of the attempts of an hour, by its number.
type hourly struct {
	number            int64
	delivered, failed uint64
}

// Hour is what became of the attempts of an hour.
type Hour struct {
	Since             time.Time
	Delivered, Failed uint64
}

// Lately takes out what a list shows.
func (a *Activity) Lately() *Lately {
	l := &Lately{failure: a.LastFailure(), missed: a.LastMissed()}
	for _, h := range a.Counts.GetHours()[max(0, len(a.Counts.GetHours())-dayHours):] {
		one := hourly{number: h.GetHour(), delivered: uint64(h.GetDelivered())}
		for _, n := range h.GetFailed() {
			one.failed += uint64(n)
		}
		l.hours = append(l.hours, one)
	}
	return l
}

// LastFailure is the newest request that failed; nil when one was delivered since.
func (l *Lately) LastFailure() *webhooksv1.LogEntry { return l.failure }

// LastMissed is when the newest delivery was given up that has not arrived since; zero
// when there is none.
func (l *Lately) LastMissed() time.Time { return l.missed }

// Day is the last 24 hours, oldest first. The last hour is the one that now is in.
func (l *Lately) Day(now time.Time) []Hour {
	first := now.UnixMilli()/int64(hour) - dayHours + 1
	day := make([]Hour, dayHours)
	for i := range day {
		day[i].Since = startOf(first + int64(i))
	}
	for _, h := range l.hours {
		if i := h.number - first; 0 <= i && i < dayHours {
			day[i].Delivered, day[i].Failed = h.delivered, h.failed
		}
	}
	return day
}
