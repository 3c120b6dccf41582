package main

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dembrane/webhooks/pkg/signature"
)

// ledger is what the receiver remembers: when each event of the current phase
// arrived first. Its methods may be called by any number of requests at once.
type ledger struct {
	current atomic.Pointer[phase]
	strays  atomic.Int64
}

// phase is one measurement. Its events are numbered; the number is the last part
// of the event's id, the phase's name the rest.
type phase struct {
	name       string
	arrived    []atomic.Int64 // unix nanoseconds, 0 when it has not
	distinct   atomic.Int64
	duplicates atomic.Int64
	bytes      atomic.Int64
	complete   chan struct{}
	once       sync.Once
}

// report says what arrived in a phase.
type report struct {
	Distinct   int   `json:"distinct"`
	Duplicates int   `json:"duplicates"`
	Bytes      int64 `json:"bytes"`
	// Strays are deliveries that belong to no phase, or to an earlier one; they
	// are counted over the receiver's whole life.
	Strays int `json:"strays"`
	// Arrived is when each event was received first, in unix nanoseconds.
	Arrived []int64 `json:"arrived"`
}

// last is when the last distinct event was received.
func (r report) last() time.Time { return time.Unix(0, slices.Max(r.Arrived)) }

// eventID numbers an event of a phase. All ids of a phase are equally long.
func eventID(phaseName string, number int) string {
	digits := strconv.Itoa(number)
	return phaseName + "-" + "00000000"[:max(0, 8-len(digits))] + digits
}

// begin starts a phase that expects events 0 to events-1.
func (l *ledger) begin(name string, events int) {
	l.current.Store(&phase{name: name, arrived: make([]atomic.Int64, events), complete: make(chan struct{})})
}

func (l *ledger) note(id string, size int64, at time.Time) {
	p := l.current.Load()
	name, digits, _ := cutLast(id)
	number, err := strconv.Atoi(digits)
	if p == nil || name != p.name || err != nil || number < 0 || number >= len(p.arrived) {
		l.strays.Add(1)
		return
	}
	p.bytes.Add(size)
	if !p.arrived[number].CompareAndSwap(0, at.UnixNano()) {
		p.duplicates.Add(1)
		return
	}
	if p.distinct.Add(1) == int64(len(p.arrived)) {
		p.once.Do(func() { close(p.complete) })
	}
}

func cutLast(id string) (before, after string, found bool) {
	if i := strings.LastIndexByte(id, '-'); i >= 0 {
		return id[:i], id[i+1:], true
	}
	return id, "", false
}

func (l *ledger) report() report {
	p := l.current.Load()
	if p == nil {
		return report{Strays: int(l.strays.Load())}
	}
	r := report{
		Distinct:   int(p.distinct.Load()),
		Duplicates: int(p.duplicates.Load()),
		Bytes:      p.bytes.Load(),
		Strays:     int(l.strays.Load()),
		Arrived:    make([]int64, len(p.arrived)),
	}
	for i := range p.arrived {
		r.Arrived[i] = p.arrived[i].Load()
	}
	return r
}

// ServeHTTP is a receiver that does as little as one can: read, note, answer.
func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	size, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	l.note(r.Header.Get(signature.HeaderID), size, time.Now())
	_, _ = io.WriteString(w, "ok") // a sender that went away needs no answer
}
