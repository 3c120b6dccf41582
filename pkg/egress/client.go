// Package egress is the only way out: the HTTP client that makes attempts, and
// the policy that says where they may go.
//
// One call of [Client.Post] is one attempt: one POST, never redirected, never
// decompressed, under one deadline, over HTTP/1 or HTTP/2 as the receiver likes.
// What became of it is a [Result], never an error. Receivers are strangers, so
// everything they control is bounded: how long they take, how much of their
// response is read, how large its headers are, and which addresses their names may
// lead to (see [Policy]).
//
// A request is sent again within the same attempt only when the protocol says
// that the receiver has not seen it: nothing had been written to a kept-alive
// connection that turned out to be closed, or an HTTP/2 peer refused the stream
// or was going away. That happens at most once, at once.
//
// net/http writes and reads the messages. For HTTP/2 it keeps the connections as
// well. Those for HTTP/1 are kept here, because an attempt has to know what
// net/http's transport does not tell (whether anything was written, which status
// line has arrived), and because an exchange that stays in one goroutine costs
// two thirds of one that goes through the transport's three.
package egress

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// MaxBody is how much of a response's body is read, in bytes.
const MaxBody = 16 << 10

// MaxHeader is how large a response's headers may be altogether, in bytes.
const MaxHeader = 64 << 10

// Options says how a [Client] behaves. What is left zero gets the default.
type Options struct {
	// Policy decides where connections may go; nil allows public addresses only.
	Policy *Policy
	// AttemptTimeout bounds one attempt from before the dial to the end of the
	// response's body. Default 15 s.
	AttemptTimeout time.Duration
	// ConnectTimeout bounds looking up the name and connecting. Default 5 s.
	ConnectTimeout time.Duration
	// TLSTimeout bounds the TLS handshake. Default 5 s.
	TLSTimeout time.Duration
	// IdleTimeout is how long an unused connection is kept. Default 30 s, which
	// is shorter than most receivers keep theirs.
	IdleTimeout time.Duration
	// MaxIdleConns bounds the unused connections that are kept, over all hosts.
	// Default 2048. Each costs a file descriptor, and with TLS about 8 KiB.
	MaxIdleConns int
	// MaxIdleConnsPerHost bounds them for one host. Default 512.
	MaxIdleConnsPerHost int
	// Resolver looks names up; nil is Go's own resolver with the system's
	// settings, never the C library's.
	Resolver *net.Resolver
	// RootCAs are trusted instead of the system's; for tests.
	RootCAs *x509.CertPool
}

// Client makes attempts. It may be used from any number of goroutines.
type Client struct {
	dialer     *dialer
	timeout    time.Duration
	idle       *pool
	exchanges  sync.Pool // of *http1Exchange
	http2      *http.Transport
	http2Hosts http2Hosts
	responses  sync.Pool // of *[MaxBody + 1]byte
}

// Call is one request.
type Call struct {
	// URL is where it goes: http or https, with a host and without userinfo. It
	// is only read, so that one value can serve all attempts of a webhook.
	URL *url.URL
	// Header is sent as it is. Neither Post nor the caller may change it
	// afterwards: an HTTP/2 connection may still be sending it when Post returns.
	Header http.Header
	// Body is sent as it is. The same holds for it.
	Body []byte
}

// Result is what became of an attempt. Exactly one of StatusCode, Reason and
// Canceled is set.
type Result struct {
	// StatusCode is the final response's. It is set as soon as the status line has
	// arrived, whatever becomes of the rest.
	StatusCode int
	// Header is the response's, at most [MaxHeader]; nil when it could not be
	// read to its end.
	Header http.Header
	// Body is the beginning of the response's body, as received.
	Body []byte
	// Truncated says that there was more than Body holds, or that the response
	// could not be read to its end.
	Truncated bool
	// Reason is why there is no status.
	Reason webhooksv1.Reason
	// Detail explains Reason to a host in one sentence.
	Detail string
	// Canceled says that the caller's context ended before there was an outcome:
	// the attempt does not count. The receiver may have seen it all the same.
	Canceled bool
}

// New returns a client that keeps connections until [Client.Close].
func New(options Options) *Client {
	o := options.withDefaults()
	d := newDialer(o)
	return &Client{
		dialer:    d,
		idle:      newPool(o),
		http2:     newHTTP2(o, d),
		timeout:   o.AttemptTimeout,
		exchanges: sync.Pool{New: func() any { return newHTTP1Exchange() }},
		responses: sync.Pool{New: func() any { return new([MaxBody + 1]byte) }},
	}
}

// Post makes one attempt. It returns when there is an outcome, when the attempt's
// deadline has passed or when ctx has ended, whichever comes first. It has no
// effect but the request, and recording the outcome is the caller's.
func (c *Client) Post(ctx context.Context, call Call) Result {
	if why := unusable(call.URL); why != "" {
		return failure(webhooksv1.Reason_REASON_REGISTRATION, "The webhook's URL cannot be used: "+why+".")
	}
	if unfit(call.Header) {
		return failure(explain(errUnfit, false))
	}
	deadline := time.Now().Add(c.timeout)
	for replay := false; ; replay = true {
		result, failed := c.exchange(ctx, deadline, call)
		if failed == nil {
			return result
		}
		inTime := ctx.Err() == nil && time.Now().Before(deadline)
		if failed.unseen && inTime && !replay {
			continue
		}
		return c.failed(ctx, deadline, failed)
	}
}

// Close ends the dials that are in progress and closes the connections that are
// not in use; the others close when their attempt has ended.
func (c *Client) Close() {
	c.dialer.stop()
	c.idle.close()
	c.http2.CloseIdleConnections()
}

func (o Options) withDefaults() Options {
	if o.Policy == nil {
		o.Policy = NewPolicy(nil)
	}
	if o.Resolver == nil {
		o.Resolver = &net.Resolver{PreferGo: true}
	}
	orElse(&o.AttemptTimeout, 15*time.Second)
	orElse(&o.ConnectTimeout, 5*time.Second)
	orElse(&o.TLSTimeout, 5*time.Second)
	orElse(&o.IdleTimeout, 30*time.Second)
	orElse(&o.MaxIdleConns, 2048)
	orElse(&o.MaxIdleConnsPerHost, 512)
	return o
}

func orElse[T time.Duration | int](value *T, fallback T) {
	if *value <= 0 {
		*value = fallback
	}
}
