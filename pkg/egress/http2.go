package egress

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Protocols as ALPN names them.
const (
	alpnHTTP1 = "http/1.1"
	alpnHTTP2 = "h2"
)

// errNotHTTP2 says that a host which used to speak HTTP/2 does not any more.
var errNotHTTP2 = errors.New("the receiver does not speak HTTP/2")

// http2Offer is a new connection over which the receiver wants to speak HTTP/2.
type http2Offer struct{ conn *tls.Conn }

func (*http2Offer) Error() string { return "the receiver wants to speak HTTP/2" }

// dialHTTP1 makes a connection for HTTP/1, unless the receiver prefers HTTP/2, which is an [http2Offer].
func (d *dialer) dialHTTP1(ctx context.Context, network, address string) (net.Conn, error) {
	if attemptOf(ctx).habit.onlyHTTP1() {
		return d.dialTLS(ctx, network, address, alpnHTTP1)
	}
	conn, err := d.dialTLS(ctx, network, address, alpnHTTP2, alpnHTTP1)
	if err == nil && conn.ConnectionState().NegotiatedProtocol == alpnHTTP2 {
		return nil, &http2Offer{conn}
	}
	return conn, err
}

// newHTTP2 returns what speaks HTTP/2 over the connection that it finds in the context.
func newHTTP2(o Options) *http.Transport {
	return &http.Transport{
		Proxy: nil,
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, _ := ctx.Value(connKey{}).(*tls.Conn)
			return conn, nil
		},
		ForceAttemptHTTP2:  true,
		DisableCompression: true,
		// net/http does not tell the status of a response whose headers are too large. Twice of what is enough for
		// HTTP/1 keeps those that are a little too large from being failures.
		MaxResponseHeaderBytes: 2 * MaxHeader,
		IdleConnTimeout:        o.IdleTimeout,
		HTTP2: &http.HTTP2Config{
			// net/http would buffer up to 4 MiB a stream that nobody reads.
			MaxReceiveBufferPerStream:     2 * MaxBody,
			MaxReceiveBufferPerConnection: 1 << 20,
			// A connection that died silently would otherwise swallow
			// every attempt to its host until TCP gives up.
			SendPingTimeout:  15 * time.Second,
			PingTimeout:      5 * time.Second,
			WriteByteTimeout: o.AttemptTimeout,
		},
	}
}

type connKey struct{}

// overHTTP2 makes the request on an HTTP/2 connection: on made, or, when that is nil, on one that is kept, or else on a
// new one.
func (c *Client) overHTTP2(a *attempt, made *tls.Conn) (Result, error) {
	conn, err := c.http2Conn(a, made)
	if err != nil {
		return Result{}, err
	}
	kept := conn.kept.Load()
	defer c.http2.release(conn, a.alone())
	answered := &atomic.Bool{}
	request := a.request()
	request.Close = false // that is a thing of HTTP/1
	response, err := conn.RoundTrip(request.WithContext(httptrace.WithClientTrace(a, &httptrace.ClientTrace{
		GotFirstResponseByte: func() { answered.Store(true) },
	})))
	if err != nil {
		return Result{}, &http2Error{err: err, kept: kept, answered: answered.Load()}
	}
	defer func() { _ = response.Body.Close() }()
	conn.kept.Store(true)
	return c.read(a, response), nil
}

// http2Conn is the connection for a request, which has a place reserved on it.
func (c *Client) http2Conn(a *attempt, made *tls.Conn) (*http2Conn, error) {
	if made == nil {
		if conn := c.http2.take(a.host); conn != nil {
			return conn, nil
		}
		var err error
		if made, err = c.dialer.dialTLS(a, "tcp", address(a.host), alpnHTTP2, alpnHTTP1); err != nil {
			return nil, err
		}
		if made.ConnectionState().NegotiatedProtocol != alpnHTTP2 {
			_ = made.Close()
			return nil, errNotHTTP2
		}
	}
	return c.http2.add(a, made)
}

// http2Error is an exchange over HTTP/2 that ended without a response.
type http2Error struct {
	err error
	// kept says that the connection had carried another exchange before, and answered that something of a response has
	// come.
	kept, answered bool
}

func (e *http2Error) Error() string { return "http2: " + e.err.Error() }
func (e *http2Error) Unwrap() error { return e.err }

// Codes of HTTP/2 with which a stream is reset.
const (
	codeRefusedStream = 0x7
	codeHTTP1Required = 0xd
)

// streamError has the fields of net/http's own HTTP/2 stream error, which converts
// itself to any type that has them.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream error " + strconv.Itoa(int(e.Code)) }

// reset is the code with which the request's stream was ended, if it was.
func (e *http2Error) reset() (code uint32, ok bool) {
	failed, ok := errors.AsType[streamError](e.err)
	return failed.Code, ok
}

// confused reports whether what the receiver speaks is not HTTP/2. net/http has an integer for such errors, and a
// struct for the end of a connection after a GOAWAY.
func (e *http2Error) confused() bool {
	kind := reflect.ValueOf(e.err).Kind()
	_, isReset := e.reset()
	return !isReset && (kind == reflect.Uint32 || kind == reflect.Struct)
}

// unprocessed reports whether the receiver has certainly not processed the request: it has refused the stream, or it
// was going away, or the connection was gone before anything could be written. For all but the first net/http has
// errors that are neither the connection's nor the stream's.
func (e *http2Error) unprocessed() bool {
	code, isReset := e.reset()
	if isReset {
		return code == codeRefusedStream
	}
	return !e.answered && !disconnected(e.err) && !e.confused()
}

// disconnected reports whether the connection ended without anything wrong having been said on it.
func disconnected(err error) bool {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// http2Pool keeps the HTTP/2 connections. One carries many requests at once. Those without any are bounded in number,
// and net/http closes them when they have been idle for too long.
type http2Pool struct {
	transport *http.Transport
	limit     int

	mu     sync.Mutex
	closed bool
	hosts  map[host][]*http2Conn
	idle   list.List // of *http2Conn, idle the longest first
}

// http2Conn is a connection of the pool.
type http2Conn struct {
	*http.ClientConn

	host     host
	kept     atomic.Bool // it has carried a whole exchange: until then, how many at once the receiver likes is not known
	requests int
	element  *list.Element // in the list of idle ones
}

// take returns a connection with room for a request, or nil.
func (p *http2Pool) take(h host) *http2Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.hosts[h] {
		if (conn.kept.Load() || conn.requests == 0) && conn.Reserve() == nil {
			p.use(conn)
			return conn
		}
	}
	return nil
}

// add makes a connection of the pool out of one that was just made, and reserves it for a request.
func (p *http2Pool) add(a *attempt, made *tls.Conn) (*http2Conn, error) {
	single, err := p.transport.NewClientConn(context.WithValue(a, connKey{}, made), "https", address(a.host))
	if err != nil {
		_ = made.Close()
		return nil, err
	}
	conn := &http2Conn{ClientConn: single, host: a.host}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.use(conn)
	if !a.alone() {
		if p.hosts == nil {
			p.hosts = map[host][]*http2Conn{}
		}
		p.hosts[a.host] = append(p.hosts[a.host], conn)
	}
	return conn, nil
}

// release ends a request's use of a connection. One that nobody uses is kept, or closed.
func (p *http2Pool) release(conn *http2Conn, alone bool) {
	for _, surplus := range p.surplus(conn, alone) {
		_ = surplus.Close()
	}
}

func (p *http2Pool) surplus(conn *http2Conn, alone bool) (gone []*http2Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conn.requests--
	switch {
	case conn.requests > 0:
		return nil
	case alone || p.closed || conn.Err() != nil:
		p.remove(conn)
		gone = append(gone, conn)
	default:
		conn.element = p.idle.PushBack(conn)
	}
	for front := p.idle.Front(); front != nil; front = p.idle.Front() {
		oldest, _ := front.Value.(*http2Conn)
		if p.idle.Len() <= p.limit && oldest.Err() == nil {
			break
		}
		p.remove(oldest)
		gone = append(gone, oldest)
	}
	return gone
}

func (p *http2Pool) use(conn *http2Conn) {
	conn.requests++
	p.busy(conn)
}

func (p *http2Pool) busy(conn *http2Conn) {
	if conn.element != nil {
		p.idle.Remove(conn.element)
		conn.element = nil
	}
}

func (p *http2Pool) remove(conn *http2Conn) {
	p.busy(conn)
	conns := p.hosts[conn.host]
	conns = slices.DeleteFunc(conns, func(other *http2Conn) bool { return other == conn })
	if len(conns) == 0 {
		delete(p.hosts, conn.host)
	} else {
		p.hosts[conn.host] = conns
	}
}

// close closes the connections that nobody uses, and the others when they are released.
func (p *http2Pool) close() {
	p.mu.Lock()
	p.closed = true
	var gone []*http2Conn
	for front := p.idle.Front(); front != nil; front = p.idle.Front() {
		conn, _ := front.Value.(*http2Conn)
		p.remove(conn)
		gone = append(gone, conn)
	}
	p.mu.Unlock()
	for _, conn := range gone {
		_ = conn.Close()
	}
}
