package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// errNotHTTP2 says that a host which used to speak HTTP/2 does not any more.
var errNotHTTP2 = errors.New("the receiver does not speak HTTP/2")

// newHTTP2 returns what makes requests over HTTP/2 and keeps the connections for
// that. One connection carries many requests at once. It is made by whoever asks
// first, which is known only when the receiver has been asked what it speaks, so
// it comes with the request; see [handover].
func newHTTP2(o Options, d *dialer) *http.Transport {
	return &http.Transport{
		Proxy: nil,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if given, ok := ctx.Value(handoverKey{}).(*handover); ok {
				if conn := given.conn.Swap(nil); conn != nil {
					return conn, nil
				}
			}
			conn, _, err := d.dialTLS(ctx, network, address)
			if err != nil {
				return nil, err
			}
			if !speaksHTTP2(conn) {
				_ = conn.Close()
				return nil, errNotHTTP2
			}
			return conn, nil
		},
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: MaxHeader,
		MaxIdleConns:           o.MaxIdleConns,
		MaxIdleConnsPerHost:    o.MaxIdleConnsPerHost,
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

// maxHTTP2Hosts bounds what is remembered about hosts. Beyond it all is forgotten,
// which costs each host one superfluous connection.
const maxHTTP2Hosts = 1 << 16

// http2Hosts remembers which hosts speak HTTP/2. Its zero value is ready.
type http2Hosts struct {
	mu    sync.Mutex
	known map[host]struct{}
}

func (s *http2Hosts) has(h host) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, yes := s.known[h]
	return yes
}

func (s *http2Hosts) add(h host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxHTTP2Hosts {
		s.known = map[host]struct{}{}
	}
	s.known[h] = struct{}{}
}

func (s *http2Hosts) remove(h host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, h)
}

func speaksHTTP2(conn *tls.Conn) bool { return conn.ConnectionState().NegotiatedProtocol == "h2" }

// handover is a connection on its way from the attempt that made it to the
// transport. Whoever takes it out owns it.
type handover struct{ conn atomic.Pointer[tls.Conn] }

type handoverKey struct{}

// overHTTP2 makes the request on an HTTP/2 connection: on one that there is, or
// else on conn, or, when that is nil, on a new one.
func (c *Client) overHTTP2(ctx context.Context, deadline time.Time, conn *tls.Conn, call Call) (Result, *broken) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if conn != nil {
		given := &handover{}
		given.conn.Store(conn)
		defer func() {
			if unused := given.conn.Swap(nil); unused != nil {
				_ = unused.Close()
			}
		}()
		ctx = context.WithValue(ctx, handoverKey{}, given)
	}
	connected := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	request := new(http.Request).WithContext(ctx)
	request.Method = http.MethodPost
	request.URL = call.URL
	request.Host = call.URL.Host
	request.Header = call.Header
	request.Body = http.NoBody
	if len(call.Body) > 0 {
		// Without a GetBody net/http cannot send it a second time.
		request.Body = io.NopCloser(bytes.NewReader(call.Body))
		request.ContentLength = int64(len(call.Body))
	}
	// The transport itself, not a client around it: no redirects, no cookies.
	response, err := c.http2.RoundTrip(request)
	if err != nil {
		return Result{}, &broken{err: err, connected: connected, unseen: connected && refusedUnprocessed(err)}
	}
	defer func() { _ = response.Body.Close() }()
	result, _ := c.read(response)
	return result, nil
}

// refusedUnprocessed reports whether an HTTP/2 peer said that it has not processed
// the request (a refused stream, or a GOAWAY that does not cover it), or the
// connection was lost before the request was on it. For all of them there is only
// this text to go by; should it ever change, the attempt counts as failed and is
// retried on schedule, which is safe.
func refusedUnprocessed(err error) bool {
	text := err.Error()
	if text == lostUnused {
		return true
	}
	return strings.HasPrefix(text, "http2: Transport: cannot retry err [") &&
		(strings.Contains(text, "REFUSED_STREAM") || strings.Contains(text, "graceful shutdown GOAWAY"))
}

// lostUnused is what net/http says when it would take another connection, because
// the one it had was gone before the request was written to it, and only does not
// because we keep it from sending a body twice.
const lostUnused = "net/http: cannot rewind body after connection loss"
