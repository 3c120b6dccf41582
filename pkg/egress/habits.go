package egress

import (
	"net/url"
	"sync"
	"time"
)

const (
	// maxHabits bounds what is remembered about receivers. Beyond it all is forgotten, which costs each of them one
	// superfluous connection or repetition.
	maxHabits = 1 << 16
	// unkeptFor is for how long a receiver's connections are not kept the first time that it ended one without a
	// word. Every further time takes twice as long, up to maxUnkeptFor: one that was only restarted is soon treated
	// like others, one that serves a request per connection is seldom asked again.
	unkeptFor    = time.Minute
	maxUnkeptFor = time.Hour
	// onlyHTTP1For is for how long a receiver is spoken to over HTTP/1.1 that asked for that.
	onlyHTTP1For = time.Hour
)

// host is what a connection leads to, as URLs name it.
type host struct{ scheme, name string }

func hostOf(u *url.URL) host { return host{u.Scheme, u.Host} }

// habit is how a receiver likes to be talked to.
type habit struct {
	http2          bool      // it speaks HTTP/2
	onlyHTTP1Until time.Time // it has asked for HTTP/1.1
	unkeptUntil    time.Time // it ends connections that are kept
	unkeptFor      time.Duration
}

func (h habit) onlyHTTP1() bool {
	return !h.onlyHTTP1Until.IsZero() && time.Now().Before(h.onlyHTTP1Until)
}
func (h habit) unkept() bool { return !h.unkeptUntil.IsZero() && time.Now().Before(h.unkeptUntil) }

// habits is what receivers have taught us. Its zero value is ready.
type habits struct {
	mu    sync.Mutex
	known map[host]habit
}

func (s *habits) of(h host) habit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[h]
}

// learn changes what is known of a host, and returns it.
func (s *habits) learn(h host, change func(*habit)) habit {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.known[h]
	change(&known)
	if s.known == nil || len(s.known) >= maxHabits {
		s.known = map[host]habit{}
	}
	s.known[h] = known
	return known
}

func speaksHTTP2(h *habit)    { h.http2 = true }
func speaksHTTP1(h *habit)    { h.http2 = false }
func speaksAnything(h *habit) { h.onlyHTTP1Until = time.Time{} }
func asksForHTTP1(h *habit) {
	h.http2, h.onlyHTTP1Until = false, time.Now().Add(onlyHTTP1For)
}

// endsKeptConnections is learned once for all the requests that were under way at that time.
func endsKeptConnections(h *habit) {
	if h.unkept() {
		return
	}
	h.unkeptFor = min(max(2*h.unkeptFor, unkeptFor), maxUnkeptFor)
	h.unkeptUntil = time.Now().Add(h.unkeptFor)
}
