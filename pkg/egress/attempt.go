package egress

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// attempt is one call of Post.
type attempt struct {
	call   Call
	host   host
	habit  habit
	alone  bool // the request gets a connection of its own
	resent bool // the request is sent a second time
	notes  []string
	timing Timing
	phase  webhooksv1.Phase // unspecified when it is over
	since  time.Time
}

func (c *Client) newAttempt(call Call) *attempt {
	h := hostOf(call.URL)
	habit := c.habits.of(h)
	return &attempt{call: call, host: h, habit: habit, alone: habit.unkept(), phase: webhooksv1.Phase_PHASE_WAIT, since: time.Now()}
}

// attemptKey is where the dialer finds the attempt in a request's context, to note where the time goes.
type attemptKey struct{}

// enter ends the phase that is under way and begins another.
func (a *attempt) enter(next webhooksv1.Phase) {
	now := time.Now()
	spent := now.Sub(a.since)
	switch a.phase {
	case webhooksv1.Phase_PHASE_DNS:
		a.timing.DNS += spent
	case webhooksv1.Phase_PHASE_CONNECT:
		a.timing.Connect += spent
	case webhooksv1.Phase_PHASE_TLS:
		a.timing.TLS += spent
	case webhooksv1.Phase_PHASE_SEND, webhooksv1.Phase_PHASE_WAIT:
		a.timing.Wait += spent
	case webhooksv1.Phase_PHASE_UNSPECIFIED:
	}
	a.phase, a.since = next, now
}

// describe adds to a result what was noted on the way.
func (a *attempt) describe(result Result) Result {
	a.enter(webhooksv1.Phase_PHASE_UNSPECIFIED)
	if !a.resent { // then the first one may have gone further
		a.timing = a.timing.until(result.Timing.Ended)
	}
	a.timing.Ended = result.Timing.Ended
	result.Timing, result.Resent, result.Notes = a.timing, a.resent, a.notes
	return result
}

// until leaves out what was spent between the phases: those after the last one did not take place.
func (t Timing) until(last webhooksv1.Phase) Timing {
	switch last {
	case webhooksv1.Phase_PHASE_DNS:
		t.Connect, t.TLS, t.Wait = 0, 0, 0
	case webhooksv1.Phase_PHASE_CONNECT:
		t.TLS, t.Wait = 0, 0
	case webhooksv1.Phase_PHASE_TLS:
		t.Wait = 0
	case webhooksv1.Phase_PHASE_SEND, webhooksv1.Phase_PHASE_WAIT, webhooksv1.Phase_PHASE_UNSPECIFIED:
	}
	return t
}

// late reports whether the time of a context is over, of which a dial may notice before the context does.
func late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || (ok && !time.Now().Before(deadline))
}

// request is the attempt's, for either protocol.
func (a *attempt) request(ctx context.Context) *http.Request {
	r := new(http.Request).WithContext(ctx)
	r.Method, r.URL, r.Host, r.Header = http.MethodPost, a.call.URL, hostHeader(a.host), a.call.Header
	r.Body = http.NoBody
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if len(a.call.Body) > 0 {
		// As which net/http knows it, and writes it together with the headers; and without a GetBody, so that it never
		// sends it a second time.
		r.Body = io.NopCloser(bytes.NewReader(a.call.Body))
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
