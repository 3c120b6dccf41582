package egress

import (
	"container/list"
	"net/url"
	"sync"
	"time"
)

// host is what a connection leads to, as URLs name it.
type host struct{ scheme, name string }

func hostOf(u *url.URL) host { return host{u.Scheme, u.Host} }

// pool keeps the HTTP/1 connections that nobody uses. It is bounded in connections
// over all, in connections to one host, and in how long they are kept.
type pool struct {
	maxAll, maxPerHost int
	timeout            time.Duration

	mu     sync.Mutex
	closed bool
	hosts  map[host][]*http1Conn // each kept the longest first
	all    list.List             // of *http1Conn, kept the longest first
	sweep  *time.Timer           // set while there is anything to sweep
}

// keptMark is a connection's place in the pool.
type keptMark struct {
	before  bool // it has been in the pool
	since   time.Time
	element *list.Element
}

func newPool(o Options) *pool {
	return &pool{
		maxAll: o.MaxIdleConns, maxPerHost: o.MaxIdleConnsPerHost, timeout: o.IdleTimeout,
		hosts: map[host][]*http1Conn{},
	}
}

// take returns a connection to the host with the deadline set, or nil. It is the
// one that was used last, so that those which are not needed grow old, and a moment
// ago its receiver had not closed it.
func (p *pool) take(h host, deadline time.Time) *http1Conn {
	for {
		conn := p.newest(h)
		if conn == nil {
			return nil
		}
		if conn.ready(deadline) {
			return conn
		}
		_ = conn.Close()
	}
}

func (p *pool) newest(h host) *http1Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := p.hosts[h]
	if len(conns) == 0 {
		return nil
	}
	conn := conns[len(conns)-1]
	p.remove(conn, len(conns)-1)
	return conn
}

// put keeps a connection that is in order and has nothing under way. In its place,
// one that was kept for longer may be closed.
func (p *pool) put(conn *http1Conn) {
	if surplus := p.keep(conn); surplus != nil {
		_ = surplus.Close()
	}
}

func (p *pool) keep(conn *http1Conn) (surplus *http1Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return conn
	}
	switch {
	case len(p.hosts[conn.host]) >= p.maxPerHost:
		surplus = p.hosts[conn.host][0]
	case p.all.Len() >= p.maxAll:
		surplus = p.oldest()
	}
	if surplus != nil {
		p.remove(surplus, 0)
	}
	conn.kept = keptMark{before: true, since: time.Now(), element: p.all.PushBack(conn)}
	p.hosts[conn.host] = append(p.hosts[conn.host], conn)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(p.timeout, p.expire)
	}
	return surplus
}

// oldest is the connection that was kept the longest, or nil.
func (p *pool) oldest() *http1Conn {
	if front := p.all.Front(); front != nil {
		conn, _ := front.Value.(*http1Conn)
		return conn
	}
	return nil
}

// remove takes out the host's i-th connection. A host without any stays until it
// is swept: it is likely to get one back.
func (p *pool) remove(conn *http1Conn, i int) {
	conns := p.hosts[conn.host]
	copy(conns[i:], conns[i+1:])
	conns[len(conns)-1] = nil
	p.hosts[conn.host] = conns[:len(conns)-1]
	p.all.Remove(conn.kept.element)
}

// expire closes the connections that have been idle for too long.
func (p *pool) expire() {
	for _, conn := range p.expired() {
		_ = conn.Close()
	}
}

func (p *pool) expired() []*http1Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	var gone []*http1Conn
	now := time.Now()
	conn := p.oldest()
	for ; conn != nil && now.Sub(conn.kept.since) >= p.timeout; conn = p.oldest() {
		p.remove(conn, 0)
		gone = append(gone, conn)
	}
	for h, conns := range p.hosts {
		if len(conns) == 0 {
			delete(p.hosts, h)
		}
	}
	p.sweep = nil
	if conn != nil {
		// Not for every connection by itself: one more eighth does no harm.
		p.sweep = time.AfterFunc(max(p.timeout-now.Sub(conn.kept.since), p.timeout/8), p.expire)
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
	var gone []*http1Conn
	for conn := p.oldest(); conn != nil; conn = p.oldest() {
		p.remove(conn, 0)
		gone = append(gone, conn)
	}
	p.mu.Unlock()
	for _, conn := range gone {
		_ = conn.Close()
	}
}
