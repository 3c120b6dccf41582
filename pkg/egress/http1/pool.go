package http1

import (
	"container/list"
	"sync"
	"time"
)

const (
	// settle is how long a connection is watched after a response before its silence counts. A receiver that sends
	// more than its answer (a body to a 204, the same answer twice) does so within that time.
	settle = 50 * time.Millisecond
	// trustAfter is how many times in a row, settle apart, a connection must have been found silent before those to
	// its host are used again. Until then they are only watched: what comes late must not be taken for the answer to
	// another request. Once is not enough, because any machine may stand still for that long.
	trustAfter = 2
	// watchedConns is how many connections to one host are watched at a time; more are closed after their response.
	watchedConns = 2
)

// host is what a connection leads to, as URLs name it.
type host struct{ scheme, name string }

// pool keeps the connections that nobody uses. It is bounded in connections over all, in connections to one host, and
// in how long they are kept. Its zero value is ready.
type pool struct {
	mu      sync.Mutex
	closed  bool
	timeout time.Duration
	hosts   map[host]*hostConns
	all     list.List   // of *conn, kept the longest first
	sweep   *time.Timer // set while there is anything to sweep
}

// hostConns are the unused connections to one host.
type hostConns struct {
	idle  []*conn   // kept the longest first
	quiet int       // how many times in a row one was found silent, until that is enough
	heard time.Time // when that was the last time
	used  time.Time // when one was kept last
}

func (h *hostConns) trusted() bool { return h.quiet >= trustAfter }

// keptMark is a connection's place in the pool.
type keptMark struct {
	before  bool // it has been in the pool
	since   time.Time
	element *list.Element
}

// take returns a connection to the host, or nil. A moment ago its receiver had neither closed it nor said anything on it.
func (p *pool) take(h host, t *Transport) *conn {
	for {
		c, trusted := p.candidate(h)
		if c == nil {
			return nil
		}
		ready, stray := c.ready()
		if stray || (ready && !trusted) {
			trusted = p.learn(h, ready)
		}
		switch {
		case !ready:
			_ = c.Close()
		case trusted:
			return c
		default:
			p.put(c, t) // it is watched for longer
			return nil
		}
	}
}

// candidate takes out the connection that was used last, so that those which are not needed grow old. If the host is
// not trusted, it is the one that was used first, when it is time to see whether that is silent.
func (p *pool) candidate(h host) (c *conn, trusted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := p.hosts[h]
	if conns == nil || len(conns.idle) == 0 {
		return nil, false
	}
	if conns.trusted() {
		return p.remove(conns, len(conns.idle)-1), true
	}
	if now := time.Now(); now.Sub(conns.idle[0].kept.since) < settle || now.Sub(conns.heard) < settle {
		return nil, false
	}
	return p.remove(conns, 0), false
}

// learn remembers whether a connection was silent, and reports whether its host is trusted now.
func (p *pool) learn(h host, silent bool) (trusted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := p.hosts[h]
	switch {
	case conns == nil:
		return false
	case !silent:
		conns.quiet = 0
	case !conns.trusted():
		conns.quiet, conns.heard = conns.quiet+1, time.Now()
	}
	return conns.trusted()
}

// put keeps a connection that is in order and has nothing under way. In its place, one that was kept for longer may be
// closed.
func (p *pool) put(c *conn, t *Transport) {
	if surplus := p.keep(c, t); surplus != nil {
		_ = surplus.Close()
	}
}

func (p *pool) keep(c *conn, t *Transport) (surplus *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hosts == nil {
		p.hosts = map[host]*hostConns{}
	}
	conns := p.hosts[c.host]
	if conns == nil {
		conns = &hostConns{}
		p.hosts[c.host] = conns
	}
	switch {
	case p.closed, t.MaxIdleConns < 1, t.MaxIdleConnsPerHost < 1, !conns.trusted() && len(conns.idle) >= watchedConns:
		return c
	case len(conns.idle) >= t.MaxIdleConnsPerHost:
		surplus = p.remove(conns, 0)
	case p.all.Len() >= t.MaxIdleConns:
		surplus = p.removeOldest()
	}
	c.kept = keptMark{before: true, since: time.Now(), element: p.all.PushBack(c)}
	conns.idle, conns.used = append(conns.idle, c), c.kept.since
	p.timeout = t.IdleConnTimeout
	if p.sweep == nil {
		p.sweep = time.AfterFunc(p.timeout, p.expire)
	}
	return surplus
}

// oldest is the connection that was kept the longest, or nil.
func (p *pool) oldest() *conn {
	if front := p.all.Front(); front != nil {
		c, _ := front.Value.(*conn)
		return c
	}
	return nil
}

func (p *pool) removeOldest() *conn { return p.remove(p.hosts[p.oldest().host], 0) }

// remove takes out a host's i-th connection. A host without any is remembered for as long as a connection would be: it
// is likely to get one back, and what was learned of it is not to be learned again.
func (p *pool) remove(conns *hostConns, i int) *conn {
	c, last := conns.idle[i], len(conns.idle)-1
	copy(conns.idle[i:], conns.idle[i+1:])
	conns.idle[last] = nil
	conns.idle = conns.idle[:last]
	p.all.Remove(c.kept.element)
	return c
}

// expire closes the connections that have been idle for too long.
func (p *pool) expire() {
	for _, c := range p.expired() {
		_ = c.Close()
	}
}

func (p *pool) expired() []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	var gone []*conn
	now := time.Now()
	next := p.oldest()
	for ; next != nil && now.Sub(next.kept.since) >= p.timeout; next = p.oldest() {
		gone = append(gone, p.removeOldest())
	}
	for h, conns := range p.hosts {
		if len(conns.idle) == 0 && now.Sub(conns.used) >= p.timeout {
			delete(p.hosts, h)
		}
	}
	switch {
	case next != nil:
		// A few times in every timeout, and not for every connection by itself.
		p.sweep = time.AfterFunc(max(p.timeout-now.Sub(next.kept.since), p.timeout/8), p.expire)
	case len(p.hosts) > 0:
		p.sweep = time.AfterFunc(p.timeout, p.expire)
	default:
		p.sweep = nil
	}
	return gone
}

// close closes all, and from then on whatever is put.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	if p.sweep != nil {
		p.sweep.Stop()
	}
	var gone []*conn
	for p.oldest() != nil {
		gone = append(gone, p.removeOldest())
	}
	p.mu.Unlock()
	for _, c := range gone {
		_ = c.Close()
	}
}
