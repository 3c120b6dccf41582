package natstest

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync"

	"github.com/nats-io/nats.go"
)

// Test is what a proxy needs of the test, or of the program, that it is part of.
type Test interface {
	Helper()
	Errorf(format string, args ...any)
	FailNow()
	Cleanup(do func())
	Context() context.Context
}

// Proxy stands between one client and a server, and plays a bad network. Its
// methods are called from the test's goroutine.
type Proxy struct {
	tb       Test
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	moved *sync.Cond
	state proxyState
	conns map[net.Conn]struct{}
}

type proxyState int

const (
	proxyForwards proxyState = iota
	proxyFrozen
	proxyCut
	proxyEnded
)

// NewProxy starts a proxy in front of the server at this URL. It ends with the test.
func NewProxy(tb Test, serverURL string) *Proxy {
	tb.Helper()
	target, err := url.Parse(serverURL)
	if err != nil {
		fail(tb, "parse the test's server URL: %v", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		fail(tb, "listen for the test's proxy: %v", err)
	}
	p := &Proxy{tb: tb, target: target.Host, listener: listener, conns: map[net.Conn]struct{}{}}
	p.moved = sync.NewCond(&p.mu)
	p.running.Go(p.accept)
	tb.Cleanup(func() {
		p.become(proxyEnded)
		_ = listener.Close() // nothing is lost
		p.running.Wait()
	})
	return p
}

// Connect opens a connection through the proxy that ends with the test.
func (p *Proxy) Connect(options ...nats.Option) *nats.Conn {
	p.tb.Helper()
	return connect(p.tb, p.URL(), append([]nats.Option{nats.IgnoreDiscoveredServers(), nats.RetryOnFailedConnect(true)}, options...))
}

// URL is where the proxy listens.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Freeze keeps every byte back: both ends believe in their connection until they
// hear nothing for too long.
func (p *Proxy) Freeze() { p.become(proxyFrozen) }

// Cut ends every connection and refuses new ones.
func (p *Proxy) Cut() { p.become(proxyCut) }

// Heal forwards again, what was kept back first.
func (p *Proxy) Heal() { p.become(proxyForwards) }

// Tell sends a line of the protocol to every client, as if the server had. Nothing
// else should be on its way to them.
func (p *Proxy) Tell(line string) {
	p.tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		if conn.LocalAddr().String() != p.listener.Addr().String() {
			continue // to the server
		}
		if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
			fail(p.tb, "tell a client of the test's nats-server: %v", err)
		}
	}
}

func (p *Proxy) become(state proxyState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = state
	if state == proxyCut || state == proxyEnded {
		for conn := range p.conns {
			hangUp(conn)
		}
		clear(p.conns)
	}
	p.moved.Broadcast()
}

// forwarding waits while the proxy is frozen and reports whether bytes may pass.
func (p *Proxy) forwarding() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.state == proxyFrozen {
		p.moved.Wait()
	}
	return p.state == proxyForwards
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer hangUp(client)
	if !p.forwarding() || !p.keep(client) {
		return
	}
	server, err := (&net.Dialer{}).DialContext(p.tb.Context(), "tcp", p.target) //nolint:forbidigo // a test's proxy
	if err != nil {
		return
	}
	defer hangUp(server)
	if !p.keep(server) {
		return
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(client, server) })
	pumps.Go(func() { p.pump(server, client) })
	pumps.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, client)
	delete(p.conns, server)
}

// keep remembers a connection so that it can be cut.
func (p *Proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == proxyCut || p.state == proxyEnded {
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *Proxy) pump(from, to net.Conn) {
	defer hangUp(from)
	defer hangUp(to)
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !p.forwarding() {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hangUp ends a connection, of which nobody expects anything any more.
func hangUp(conn net.Conn) { _ = conn.Close() }

func fail(tb Test, format string, args ...any) {
	tb.Helper()
	tb.Errorf(format, args...)
	tb.FailNow()
}
