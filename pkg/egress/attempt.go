package egress

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Phase is a part of an attempt's time.
type Phase int

// The phases, in their order.
const (
	PhaseNone    Phase = iota // over
	PhaseDNS                  // looking the name up
	PhaseConnect              // connecting
	PhaseTLS                  // agreeing on TLS
	PhaseSend                 // sending the request
	PhaseWait                 // waiting for the response's headers
)

// String is the phase as logs and the delivery log write it.
func (p Phase) String() string {
	return [...]string{"none", "dns", "connect", "tls", "send", "wait"}[p]
}

// attempt is one call of Post, and the context of its requests, in which the dialer finds it to note where the time
// goes.
type attempt struct {
	context.Context //nolint:containedctx // it is one, which saves an allocation for every request

	call   Call
	host   host
	habit  habit
	bodies [2]bytes.Reader // one for each time that the request is sent
	resent bool            // the request is sent a second time
	single bool            // on a connection of its own
	notes  []string

	mu     sync.Mutex // a dial for HTTP/2 may outlive the attempt
	timing Timing
	phase  Phase
	since  time.Time
}

type attemptKey struct{}

// Value implements [context.Context].
func (a *attempt) Value(key any) any {
	if _, ok := key.(attemptKey); ok {
		return a
	}
	return a.Context.Value(key)
}

func attemptOf(ctx context.Context) *attempt {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		return a
	}
	return &attempt{}
}

// enter ends the phase that is under way and begins another.
func (a *attempt) enter(next Phase) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	spent := now.Sub(a.since)
	switch a.phase {
	case PhaseDNS:
		a.timing.DNS += spent
	case PhaseConnect:
		a.timing.Connect += spent
	case PhaseTLS:
		a.timing.TLS += spent
	case PhaseSend, PhaseWait:
		a.timing.Wait += spent
	case PhaseNone:
	}
	a.phase, a.since = next, now
}

// current is the phase that is under way.
func (a *attempt) current() Phase {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.phase
}

// describe adds to a result what was noted on the way.
func (a *attempt) describe(result Result) Result {
	if a.current() != PhaseNone {
		a.enter(PhaseNone)
	}
	ended := result.Timing.Ended
	a.mu.Lock()
	result.Timing = a.timing
	a.mu.Unlock()
	result.Timing.Ended = ended
	result.Resent, result.Notes = a.resent, a.notes
	return result
}

// alone reports whether the request gets a connection of its own.
func (a *attempt) alone() bool { return a.single || a.habit.unkept() }

func (a *attempt) late() bool { return late(a.Context) }

// late reports whether the time of the attempt, or of its caller, is over. A connection may notice before the context.
func late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || (ok && !time.Now().Before(deadline))
}

func (a *attempt) request() *http.Request {
	r := new(http.Request).WithContext(a)
	r.Method, r.URL, r.Host, r.Header = http.MethodPost, a.call.URL, hostHeader(a.host), a.call.Header
	r.Close = a.alone()
	r.Body = http.NoBody
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if len(a.call.Body) > 0 {
		b := &a.bodies[0]
		if a.resent {
			b = &a.bodies[1]
		}
		b.Reset(a.call.Body)
		r.Body = io.NopCloser(b) // as which net/http knows it, and writes it together with the headers
		r.ContentLength = int64(len(a.call.Body))
	}
	return r
}

// hostHeader is the host as servers expect it: without the port that goes without saying, and without the dot that
// only name servers know.
func hostHeader(h host) string {
	name, port := h.name, ""
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") {
		name, port = name[:i], name[i:]
	}
	name = strings.TrimSuffix(name, ".")
	if (h.scheme == "http" && port == ":80") || (h.scheme == "https" && port == ":443") || port == ":" {
		port = ""
	}
	if len(name)+len(port) == len(h.name) {
		return h.name
	}
	return name + port
}

// forget makes the attempt say nothing about how long anything took.
func (a *attempt) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.timing, a.phase = Timing{}, PhaseNone
}
