package http1

import (
	"container/list"
	"sync"
	"time"
)

const (
	// settle is how long a connection rests after a response before it is used again, unless its host is trusted. A
	// receiver that sends more than its answer (a body to a 204, the same answer twice) does so within that time, and
	// is found out before that could be taken for the answer to another request.
	settle = 50 * time.Millisecond
	// trustAfter is how many connections in a row must have been found quiet after that time before the next ones are
	// used again at once.
	trustAfter = 3
	// restingConns is how many connections rest for one host at a time; more are closed after their response.
	restingConns = 8
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
	quiet int       // how many in a row were found quiet when they had settled
	used  time.Time // when one was kept last
}

func (h *hostConns) trusted() bool { return h.quiet >= trustAfter }

// keptMark is a connection's place in the pool.
type keptMark struct {
	before  bool // it has been in the pool
	since   time.Time
	element *list.Element
}

// take returns a connection to the host with the deadline set, or nil. A moment ago its receiver had neither closed it
// nor said anything on it.
func (p *pool) take(h host, deadline time.Time) *conn {
	for {
		c, trusted := p.settled(h)
		if c == nil {
			return nil
		}
		ready := c.ready(deadline)
		if !ready || !trusted {
			p.learn(h, ready)
		}
		if ready {
			return c
		}
		_ = c.Close()
	}
}

// settled takes out the connection that was used last, so that those which are not needed grow old; or the one that
// was used first, if only that has rested for long enough.
func (p *pool) settled(h host) (c *conn, trusted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := p.hosts[h]
	if conns == nil || len(conns.idle) == 0 {
		return nil, false
	}
	if conns.trusted() {
		return p.remove(conns, len(conns.idle)-1), true
	}
	if time.Since(conns.idle[0].kept.since) < settle {
		return nil, false
	}
	return p.remove(conns, 0), false
}

// learn remembers whether a connection was quiet that was taken out.
func (p *pool) learn(h host, quiet bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := p.hosts[h]
	switch {
	case conns == nil:
	case !quiet:
		conns.quiet = 0
	case !conns.trusted():
		conns.quiet++
	}
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
	case p.closed, t.MaxIdleConns < 1, t.MaxIdleConnsPerHost < 1, !conns.trusted() && len(conns.idle) >= restingConns:
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
