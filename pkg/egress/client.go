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
// A final status line decides, whatever is wrong with the rest of the response.
//
// The request is sent once more within the same attempt, over a new connection of
// its own, when the receiver has said that it has not processed it (HTTP/2's
// REFUSED_STREAM, GOAWAY and HTTP_1_1_REQUIRED), when nothing of it was written, or
// when a connection that had been kept from an earlier attempt ends before any byte
// of a response: many servers close such connections without a word, and deliveries
// may be repeated because they carry an id (RFC 9110, 9.2.2). That happens at most
// once, at once, and the result says so: a receiver that refuses the second one too
// has too much to do, and whoever decides on the pace is to know that. What receivers
// teach us in this way is remembered for a while; see [habits].
//
// Connections are net/http's for HTTP/2, and those of package http1 for HTTP/1.
package egress

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/dembrane/webhooks/pkg/egress/http1"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// maxBody is how much of a response's body is read, in bytes.
const maxBody = 16 << 10

// maxHeader is how large a response's headers may be altogether, in bytes.
const maxHeader = 64 << 10

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
	// MaxIdleConns bounds the unused connections that are kept, over all hosts, of
	// HTTP/1 and of HTTP/2 each. Default 2048. Each costs a file descriptor, with
	// TLS about 8 KiB, and with HTTP/2 two goroutines and about 30 KiB.
	MaxIdleConns int
	// MaxIdleConnsPerHost bounds those of HTTP/1 for one host. Default 512.
	MaxIdleConnsPerHost int
	// Resolver looks names up; nil is Go's own resolver with the system's
	// name servers, never the C library's. Names are looked up as they are
	// written, never under a search domain.
	Resolver *net.Resolver
	// RootCAs are trusted instead of the system's; for tests.
	RootCAs *x509.CertPool
}

// Client makes attempts. It may be used from any number of goroutines.
type Client struct {
	dialer    *dialer
	timeout   time.Duration
	http1     http.RoundTripper
	http2     *http2Pool
	habits    habits
	responses sync.Pool // of *[maxBody + 1]byte
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
	// Header is the response's, at most [maxHeader]; what could be read of it.
	Header http.Header
	// Body is the beginning of the response's body, as received.
	Body []byte
	// Truncated says that there was more than Body holds, or that the response
	// could not be read to its end.
	Truncated bool
	// Reason is why there is no status.
	Reason webhooksv1.Reason
	// Cause is what it was in particular, where Reason and Timing leave that open.
	Cause webhooksv1.Cause
	// Detail explains Reason to a host in one sentence.
	Detail string
	// Ours says that we lacked something (file descriptors, ports, memory, trusted
	// roots) so that nothing was sent: the attempt does not count and says nothing
	// about the receiver. Reason is internal.
	Ours bool
	// Canceled says that the caller's context ended before there was an outcome:
	// the attempt does not count. The receiver may have seen it all the same.
	Canceled bool
	// Resent says that the request was sent a second time; see the package comment.
	Resent bool
	// Notes are sentences for the record about what was odd and made no difference
	// to the outcome.
	Notes []string
	// Timing says where the time went.
	Timing Timing
}

// Timing says how long the phases of an attempt took. One that did not take place,
// as on a connection that was kept, is zero. With a request that was sent twice
// they are those of both.
type Timing struct {
	// DNS, Connect and TLS are spent on a new connection.
	DNS, Connect, TLS time.Duration
	// Wait is spent on sending the request and waiting for the response's headers.
	Wait time.Duration
	// Ended is the phase in which an attempt without a status ended.
	Ended webhooksv1.Phase
}

// New returns a client that keeps connections until [Client.Close].
func New(options Options) *Client {
	o := options.withDefaults()
	d := newDialer(o)
	return &Client{
		dialer: d,
		// net/http's can be put here to do without package http1; see TestNetHTTPCanTakeThePlaceOfHTTP1.
		http1: &http1.Transport{
			DialContext: d.dial, DialTLSContext: d.dialHTTP1,
			MaxIdleConns: o.MaxIdleConns, MaxIdleConnsPerHost: o.MaxIdleConnsPerHost,
			IdleConnTimeout: o.IdleTimeout, MaxResponseHeaderBytes: maxHeader,
		},
		http2:     newHTTP2Pool(o),
		timeout:   o.AttemptTimeout,
		responses: sync.Pool{New: func() any { return new([maxBody + 1]byte) }},
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
		return failure(webhooksv1.Reason_REASON_INTERNAL, internalDetail)
	}
	a := c.newAttempt(call)
	timed, cancel := context.WithTimeout(context.WithValue(ctx, attemptKey{}, a), c.timeout)
	defer cancel()
	result, err := c.exchanges(timed, a)
	switch {
	case err == nil:
	case late(ctx):
		result = Result{Canceled: true}
	default:
		result = c.failed(timed, a, err)
	}
	return a.describe(result)
}

// Close ends the dials that are in progress and closes the connections that are
// not in use; the others close when their attempt has ended.
func (c *Client) Close() {
	c.dialer.stop()
	if idle, ok := c.http1.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
	c.http2.close()
}

func (o Options) withDefaults() Options {
	if o.Policy == nil {
		o.Policy = NewPolicy(nil)
	}
	if o.Resolver == nil {
		o.Resolver = &net.Resolver{}
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
