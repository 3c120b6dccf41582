// Package http1 keeps the HTTP/1 connections over which attempts are made.
//
// [Transport] is an [http.RoundTripper] whose fields are named like those of net/http's and mean the same, so that
// the one can be put in the place of the other. net/http still writes the requests and reads the responses; this
// package decides what happens to the connections. It exists for two reasons.
//
// It is cheaper. net/http's Transport has two goroutines a connection, and three take part in an exchange; here an
// exchange stays in the goroutine that asks for it, and an idle connection has neither goroutine nor buffer. In a
// flood net/http's Transport took 37 % of the CPU time of a whole standalone. Deliveries a second over what the bare
// loop of this machine can do rose from 0.45-0.47 to 0.58 with one endpoint and from 0.41 to 0.54 with 1,000; CPU
// time for 100,000 deliveries fell from 8.6-10.6 s to 6.5-7.9 s. Should that no longer be worth these lines, take
// net/http's: deliveries go on, what is said in the next paragraph is lost.
//
// It tells more. An [Error] says whether the connection had been used before and whether anything came back, which is
// what decides if the request may be sent again. A final status
// line makes a response whatever follows it: headers that net/http refuses, or none at all. And a connection on which
// a receiver says something that it was not asked for is never used again.
package http1

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// ErrMalformed says that what came back is not HTTP, or that there was no end of informational responses.
var ErrMalformed = errors.New("response is not valid HTTP")

// Error is an exchange that ended without a final status line. Why a connection could not be made is returned as
// the dial function said it, not as an Error.
type Error struct {
	// Err is [ErrMalformed] or what ended the connection.
	Err error
	// Kept says that the connection had carried another exchange before.
	Kept bool
	// Sent says that the whole request was written.
	Sent bool
	// Answered says that something had come back.
	Answered bool
	// Broken says that the connection failed, and not the request.
	Broken bool
}

func (e *Error) Error() string { return "http1: " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Transport makes HTTP/1 requests, and keeps connections for the next. It may be used from any number of goroutines.
// It never redirects, decompresses or sends anything twice.
type Transport struct {
	// DialContext makes connections for http, DialTLSContext those for https. Both are called with the context of the
	// request and in its goroutine.
	DialContext, DialTLSContext func(ctx context.Context, network, address string) (net.Conn, error)
	// MaxIdleConns bounds the unused connections that are kept, and MaxIdleConnsPerHost those to one host.
	MaxIdleConns, MaxIdleConnsPerHost int
	// IdleConnTimeout is how long an unused connection is kept.
	IdleConnTimeout time.Duration
	// MaxResponseHeaderBytes bounds the headers of a response, informational ones before it included.
	MaxResponseHeaderBytes int64

	idle      pool
	exchanges sync.Pool // of *exchange
}

// RoundTrip sends the request and returns when the headers of the final response have arrived. The request's context
// holds for the response's body as well. A request that is to be closed (http.Request.Close) gets a connection of its own. The connection is free for the next request when the body has been read to its end; a body
// that is closed before costs the connection.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	conn, err := t.connection(request)
	if err != nil {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, err
	}
	x, ok := t.exchanges.Get().(*exchange)
	if !ok {
		x = newExchange()
	}
	x.begin(t, conn, request)
	return x.roundTrip()
}

// CloseIdleConnections closes the connections that are not in use. The others are closed when they would be kept.
func (t *Transport) CloseIdleConnections() { t.idle.close() }

// connection returns one that is kept, or a new one.
func (t *Transport) connection(request *http.Request) (*conn, error) {
	ctx := request.Context()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h := host{request.URL.Scheme, request.URL.Host}
	if !request.Close {
		if c := t.idle.take(h, t); c != nil {
			return c, nil
		}
	}
	dial, port := t.DialContext, "80"
	if h.scheme == "https" {
		dial, port = t.DialTLSContext, "443"
	}
	made, err := dial(ctx, "tcp", address(request.URL, port))
	if err != nil {
		return nil, err
	}
	return newConn(h, made), nil
}

// address is what to dial for a URL.
func address(u *url.URL, port string) string {
	if p := u.Port(); p != "" {
		port = p
	}
	return net.JoinHostPort(u.Hostname(), port)
}
