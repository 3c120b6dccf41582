package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/http2"
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
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok && a.habit.onlyHTTP1() {
		return d.dialTLS(ctx, network, address, alpnHTTP1)
	}
	conn, err := d.dialTLS(ctx, network, address, alpnHTTP2, alpnHTTP1)
	if err == nil && conn.ConnectionState().NegotiatedProtocol == alpnHTTP2 {
		return nil, &http2Offer{conn}
	}
	return conn, err
}

// overHTTP2 makes the request on an HTTP/2 connection: on made, or, when that is nil, on one that is kept, or else on a
// new one.
func (c *Client) overHTTP2(ctx context.Context, a *attempt, made *tls.Conn) (Result, error) {
	conn, err := c.http2Conn(ctx, a, made)
	if err != nil {
		return Result{}, err
	}
	defer c.http2.release(conn)
	var sent, answered atomic.Bool
	kept := conn.kept.Load()
	response, err := conn.RoundTrip(a.request(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders:         func() { sent.Store(true) },
		GotFirstResponseByte: func() { answered.Store(true) },
	})))
	if err != nil {
		if !sent.Load() && conn.Err() != nil {
			err = ending(conn.tls, err)
		}
		return Result{}, &http2Error{err: err, kept: kept, sent: sent.Load(), answered: answered.Load()}
	}
	defer func() { _ = response.Body.Close() }()
	conn.kept.Store(true)
	return c.read(a, response), nil
}

// ending is why a connection has ended, for an error with which net/http says only that it cannot be used: a receiver
// that misses a certificate says so before anything is sent. What once ended TLS, crypto/tls says again.
func ending(ended *tls.Conn, err error) error {
	if _, why := ended.Read(make([]byte, 1)); why != nil {
		return why
	}
	return err
}

// http2Conn is the connection for a request, which has a place reserved on it.
func (c *Client) http2Conn(ctx context.Context, a *attempt, made *tls.Conn) (*http2Conn, error) {
	if made == nil {
		if conn := c.http2.take(a.host); conn != nil {
			return conn, nil
		}
		var err error
		if made, err = c.dialer.dialTLS(ctx, "tcp", address(a.host), alpnHTTP2, alpnHTTP1); err != nil {
			return nil, err
		}
		if made.ConnectionState().NegotiatedProtocol != alpnHTTP2 {
			_ = made.Close()
			return nil, errNotHTTP2
		}
	}
	return c.http2.add(ctx, a, made)
}

// http2Error is an exchange over HTTP/2 that ended without a response.
type http2Error struct {
	err error
	// kept says that the connection had carried another exchange before, sent that the receiver can have seen the
	// request, and answered that something of a response has come.
	kept, sent, answered bool
}

func (e *http2Error) Error() string { return "http2: " + e.err.Error() }
func (e *http2Error) Unwrap() error { return e.err }

// What net/http says in errors whose types it keeps to itself, so that only the text tells. TestCase16_HTTP2Refusals
// and TestB3_HTTP11Required fail when Go changes it. Until then an attempt fails that could have been saved, or has a
// reason that is less exact; nothing is sent twice by that.
const (
	textByReceiver = "received from peer"         // the cause of a stream's end
	textNotCovered = "http2: Transport received " // a GOAWAY that does not cover the request
	textGoAway     = "http2: server sent GOAWAY"  // one that does, and then the end of the connection
	textHTTP1      = "ErrCode:HTTP_1_1_REQUIRED"  // as the code of a GOAWAY
	textLost       = "http2: client connection "  // it did not answer a ping, or could not be written to
	textConfused   = "connection error: "         // what came breaks the rules of HTTP/2
	textNotHTTP2   = "looked like an HTTP/1.1"    // what came is text
)

// reset is the code with which the receiver ended the request's stream, if it did.
func (e *http2Error) reset() (code http2.ErrCode, ok bool) {
	failed, ok := errors.AsType[http2.StreamError](e.err) // into which net/http converts its own
	return failed.Code, ok && failed.Cause != nil && failed.Cause.Error() == textByReceiver
}

// wantsHTTP1 reports whether the receiver asked for HTTP/1.1.
func (e *http2Error) wantsHTTP1() bool {
	code, isReset := e.reset()
	return (isReset && code == http2.ErrCodeHTTP11Required) || (e.notCovered() && strings.HasSuffix(e.err.Error(), textHTTP1))
}

// unprocessed reports whether the receiver has certainly not processed the request: it was not sent, it was refused, or
// the receiver was going away.
func (e *http2Error) unprocessed() bool {
	code, isReset := e.reset()
	return !e.sent || (isReset && code == http2.ErrCodeRefusedStream) || e.notCovered()
}

func (e *http2Error) notCovered() bool { return strings.HasPrefix(e.err.Error(), textNotCovered) }

// ended reports whether the connection ended without anything wrong having been said on it.
func (e *http2Error) ended() bool {
	if _, ok := errors.AsType[*net.OpError](e.err); ok {
		return true
	}
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(e.err, end) {
			return true
		}
	}
	return strings.HasPrefix(e.err.Error(), textGoAway) || strings.HasPrefix(e.err.Error(), textLost)
}

// malformed reports whether what came back is not HTTP/2, or a response that net/http refuses.
func (e *http2Error) malformed() bool {
	_, isReset := e.reset()
	_, stream := errors.AsType[http2.StreamError](e.err)
	return strings.HasPrefix(e.err.Error(), textConfused) || strings.Contains(e.err.Error(), textNotHTTP2) ||
		(!isReset && (stream || (e.answered && !e.ended() && !e.notCovered())))
}

// http2Pool keeps the HTTP/2 connections. One carries many requests at once. Those without any are bounded in number,
// and net/http closes them when they have been idle for too long.
type http2Pool struct {
	transport *http.Transport // speaks HTTP/2 over the connection that it finds in the context

	mu    sync.Mutex
	limit int // of idle ones
	hosts map[host][]*http2Conn
	idle  map[*http2Conn]struct{}
}

// http2Conn is a connection of the pool, or of one request alone.
type http2Conn struct {
	*http.ClientConn

	tls      *tls.Conn
	host     host
	alone    bool
	kept     atomic.Bool // it has carried a whole exchange: until then, how many at once the receiver likes is not known
	requests int
}

type connKey struct{}

func newHTTP2Pool(o Options) *http2Pool {
	return &http2Pool{limit: o.MaxIdleConns, hosts: map[host][]*http2Conn{}, idle: map[*http2Conn]struct{}{}, transport: &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, _ := ctx.Value(connKey{}).(*tls.Conn)
			return conn, nil
		},
		ForceAttemptHTTP2:  true,
		DisableCompression: true,
		// net/http does not tell the status of a response whose headers are too large. Twice of what is enough for
		// HTTP/1 keeps those that are a little too large from being failures.
		MaxResponseHeaderBytes: 2 * maxHeader,
		IdleConnTimeout:        o.IdleTimeout,
		HTTP2: &http.HTTP2Config{
			// net/http would buffer up to 4 MiB a stream that nobody reads.
			MaxReceiveBufferPerStream:     2 * maxBody,
			MaxReceiveBufferPerConnection: 1 << 20,
			// A connection that died silently would otherwise swallow
			// every attempt to its host until TCP gives up.
			SendPingTimeout:  15 * time.Second,
			PingTimeout:      5 * time.Second,
			WriteByteTimeout: o.AttemptTimeout,
		},
	}}
}

// take returns a connection with room for a request, or nil.
func (p *http2Pool) take(h host) *http2Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.hosts[h] {
		if (conn.kept.Load() || conn.requests == 0) && conn.Reserve() == nil {
			conn.requests++
			delete(p.idle, conn)
			return conn
		}
	}
	return nil
}

// add makes a connection of the pool out of one that was just made, and reserves it for a request.
func (p *http2Pool) add(ctx context.Context, a *attempt, made *tls.Conn) (*http2Conn, error) {
	single, err := p.transport.NewClientConn(context.WithValue(ctx, connKey{}, made), "https", address(a.host))
	if err != nil {
		_ = made.Close()
		return nil, &http2Error{err: err}
	}
	conn := &http2Conn{ClientConn: single, tls: made, host: a.host, alone: a.alone, requests: 1}
	if a.alone {
		return conn, nil
	}
	p.mu.Lock()
	p.hosts[a.host] = append(p.hosts[a.host], conn)
	p.mu.Unlock()
	conn.SetStateHook(func(*http.ClientConn) {
		if conn.Err() != nil {
			go p.forget(conn) // not here, where the lock may be held
		}
	})
	return conn, nil
}

// release ends a request's use of a connection.
func (p *http2Pool) release(conn *http2Conn) {
	if conn.alone {
		_ = conn.Close()
		return
	}
	p.mu.Lock()
	conn.requests--
	if conn.requests == 0 && conn.Err() == nil {
		p.idle[conn] = struct{}{}
	}
	p.mu.Unlock()
	p.shrink()
}

// shrink closes idle connections until there are no more than the limit. Chance decides which ones: that is fair to
// receivers with many requests and to those with few, and needs no order.
func (p *http2Pool) shrink() {
	p.mu.Lock()
	var surplus []*http2Conn
	for conn := range p.idle {
		if len(p.idle) <= p.limit {
			break
		}
		p.remove(conn)
		surplus = append(surplus, conn)
	}
	p.mu.Unlock()
	for _, conn := range surplus {
		_ = conn.Close()
	}
}

// close closes the connections that nobody uses, and the others when they are released.
func (p *http2Pool) close() {
	p.mu.Lock()
	p.limit = 0
	p.mu.Unlock()
	p.shrink()
}

// forget takes out a connection that has ended.
func (p *http2Pool) forget(conn *http2Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(conn)
}

func (p *http2Pool) remove(conn *http2Conn) {
	delete(p.idle, conn)
	others := slices.DeleteFunc(p.hosts[conn.host], func(other *http2Conn) bool { return other == conn })
	if len(others) == 0 {
		delete(p.hosts, conn.host)
	} else {
		p.hosts[conn.host] = others
	}
}
