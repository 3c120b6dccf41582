package main

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dembrane/webhooks/pkg/signature"
)

// hookPath is the path of every target, or what it begins with: behind it stands
// the number of the webhook, where an event goes to several.
const hookPath = "/hook"

// ledger is what the receiver remembers: when each event of the current phases
// arrived first. Its methods may be called by any number of requests at once.
type ledger struct {
	begins  sync.Mutex
	current atomic.Pointer[map[string]*phase] // by name; replaced, never changed
	strays  atomic.Int64
	hung    atomic.Int64
}

// phase is one measurement. Its events are numbered; the number is the last part
// of the event's id, the phase's name the rest.
type phase struct {
	webhooks   int            // that each event goes to
	arrived    []atomic.Int64 // unix nanoseconds, 0 when it has not; by event, then by webhook
	distinct   atomic.Int64
	duplicates atomic.Int64
	bytes      atomic.Int64
}

// report says what arrived in a phase.
type report struct {
	Distinct   int   `json:"distinct"`
	Duplicates int   `json:"duplicates"`
	Bytes      int64 `json:"bytes"`
	// Strays are deliveries that belong to no phase, or to an earlier one; they
	// are counted over the receiver's whole life. So is Hung: deliveries that were
	// never answered, because their endpoint hangs.
	Strays int `json:"strays"`
	Hung   int `json:"hung"`
	// Arrived is when each event was received first, in unix nanoseconds; where an
	// event goes to several webhooks, once for each of them.
	Arrived []int64 `json:"arrived"`
}

// last is when the last distinct event was received.
func (r report) last() time.Time { return time.Unix(0, slices.Max(r.Arrived)) }

// eventID numbers an event of a phase. All ids of a phase are equally long.
func eventID(phaseName string, number int) string {
	digits := strconv.Itoa(number)
	return phaseName + "-" + "00000000"[:max(0, 8-len(digits))] + digits
}

// begin starts a phase of as many events at most, each for a number of webhooks.
// It ends all other phases, unless it runs beside them.
func (l *ledger) begin(name string, events, webhooks int, beside bool) { //nolint:revive // it is what the caller of the program's control says
	l.begins.Lock()
	defer l.begins.Unlock()
	phases := map[string]*phase{}
	if current := l.current.Load(); beside && current != nil {
		phases = maps.Clone(*current)
	}
	phases[name] = &phase{webhooks: webhooks, arrived: make([]atomic.Int64, events*webhooks)}
	l.current.Store(&phases)
}

// find returns a phase, or nil when it is not under way.
func (l *ledger) find(name string) *phase {
	if current := l.current.Load(); current != nil {
		return (*current)[name]
	}
	return nil
}

func (l *ledger) note(id, path string, size int64, at time.Time) {
	name, digits := cutLast(id, '-')
	number, err := strconv.Atoi(digits)
	p := l.find(name)
	if p == nil || err != nil {
		l.strays.Add(1)
		return
	}
	slot := number
	if p.webhooks > 1 {
		webhook, err := strconv.Atoi(strings.TrimPrefix(path, hookPath+"/"))
		if err != nil || webhook < 0 || webhook >= p.webhooks {
			l.strays.Add(1)
			return
		}
		slot = number*p.webhooks + webhook
	}
	if slot < 0 || slot >= len(p.arrived) {
		l.strays.Add(1)
		return
	}
	p.bytes.Add(size)
	if !p.arrived[slot].CompareAndSwap(0, at.UnixNano()) {
		p.duplicates.Add(1)
		return
	}
	p.distinct.Add(1)
}

func cutLast(id string, separator byte) (before, after string) {
	if i := strings.LastIndexByte(id, separator); i >= 0 {
		return id[:i], id[i+1:]
	}
	return id, ""
}

func (l *ledger) report(p *phase) report {
	r := report{
		Distinct:   int(p.distinct.Load()),
		Duplicates: int(p.duplicates.Load()),
		Bytes:      p.bytes.Load(),
		Strays:     int(l.strays.Load()),
		Hung:       int(l.hung.Load()),
		Arrived:    make([]int64, len(p.arrived)),
	}
	for i := range p.arrived {
		r.Arrived[i] = p.arrived[i].Load()
	}
	return r
}

const (
	// slowPath ends the path of an endpoint that takes slowAnswer to answer.
	slowPath   = "/slow"
	slowAnswer = 50 * time.Millisecond
)

// ServeHTTP is a receiver that does as little as one can: read, note, answer.
func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	size, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	l.note(r.Header.Get(signature.HeaderID), r.URL.Path, size, time.Now())
	if strings.HasSuffix(r.URL.Path, slowPath) {
		select {
		case <-time.After(slowAnswer):
		case <-r.Context().Done():
		}
	}
	_, _ = io.WriteString(w, "ok") // a sender that went away needs no answer
}

// hang is a receiver that takes a delivery and says nothing until the sender has
// given up.
func (l *ledger) hang(_ http.ResponseWriter, r *http.Request) {
	l.hung.Add(1)
	_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the sender is gone
	<-r.Context().Done()
}
