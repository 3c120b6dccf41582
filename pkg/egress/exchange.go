package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// exchange is one request on one connection. The transport may go on reading its
// body after it has returned, so exchanges are not used again.
type exchange struct {
	client *Client
	trace  httptrace.ClientTrace
	body   bytes.Reader
	got    httptrace.GotConnInfo
	conn   *watchedConn // got.Conn when it speaks HTTP/1
}

// send makes the request and returns when the response's headers have arrived.
func (x *exchange) send(ctx context.Context, call Call) (*http.Response, error) {
	x.trace.GotConn = x.gotConn
	request := new(http.Request).WithContext(httptrace.WithClientTrace(ctx, &x.trace))
	request.Method = http.MethodPost
	request.URL = call.URL
	request.Host = call.URL.Host
	request.Header = call.Header
	if request.Header == nil {
		request.Header = http.Header{}
	}
	request.Body = http.NoBody
	if len(call.Body) > 0 {
		x.body.Reset(call.Body)
		// Of a body in this form net/http knows that it can go out in one write
		// with the headers. Without a GetBody it cannot send it a second time.
		request.Body = io.NopCloser(&x.body)
		request.ContentLength = int64(len(call.Body))
	}
	// The transport itself, not a client around it: no redirects, no cookies.
	return x.client.transport.RoundTrip(request)
}

func (x *exchange) gotConn(info httptrace.GotConnInfo) {
	x.got = info
	if conn, ok := info.Conn.(*watchedConn); ok {
		conn.begin()
		x.conn = conn
	}
}

// unseen reports whether the receiver certainly has not seen the request.
func (x *exchange) unseen(err error) bool {
	if x.conn != nil {
		return x.got.Reused && disconnected(err) && !x.conn.hasWritten()
	}
	return x.got.Conn != nil && refusedUnprocessed(err)
}

// status returns the final status that has arrived without the headers that
// should have followed it, or 0.
func (x *exchange) status() int {
	if x.conn == nil {
		return 0
	}
	return x.conn.status()
}

// failed is the result of an exchange that ended without a whole response.
func (c *Client) failed(ctx, attempt context.Context, x *exchange, err error) Result {
	canceled := ctx.Err() != nil
	reason, detail := c.explain(attempt, x, err)
	cutOff := canceled ||
		reason == webhooksv1.Reason_REASON_TIMEOUT ||
		reason == webhooksv1.Reason_REASON_CONNECTION_CLOSED
	// The status line decides, and it may have come before the end did.
	if code := x.status(); cutOff && code != 0 {
		return Result{StatusCode: code, Truncated: true}
	}
	if canceled {
		return Result{Canceled: true}
	}
	return failure(reason, detail)
}

func (c *Client) explain(attempt context.Context, x *exchange, err error) (webhooksv1.Reason, string) {
	if attempt.Err() != nil {
		return webhooksv1.Reason_REASON_TIMEOUT, "The receiver did not answer within " + c.timeout.String() + "."
	}
	if x.conn != nil && x.conn.cutShort() {
		err = io.ErrUnexpectedEOF
	}
	return explain(err, x.got.Conn != nil)
}

// read takes what is wanted of a response and lets go of it.
func (c *Client) read(response *http.Response) Result {
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode < http.StatusOK {
		return failure(webhooksv1.Reason_REASON_PROTOCOL,
			"The receiver answered "+strconv.Itoa(response.StatusCode)+", which does not answer a POST.")
	}
	result := Result{StatusCode: response.StatusCode, Header: response.Header}
	if response.Body == http.NoBody {
		return result
	}
	buffer, ok := c.responses.Get().(*[MaxBody + 1]byte)
	if !ok {
		buffer = new([MaxBody + 1]byte)
	}
	defer c.responses.Put(buffer)
	n, whole := fill(buffer[:], response.Body)
	result.Truncated = !whole
	result.Body = slices.Clone(buffer[:min(n, MaxBody)])
	return result
}

// fill reads until the buffer is full or the body ends, and reports whether it
// ended as it should. The buffer has room for a byte more than is wanted: that byte
// tells a body that just fits from a longer one, and having seen the end lets the
// connection be used again.
func fill(buffer []byte, body io.Reader) (n int, whole bool) {
	for n < len(buffer) {
		m, err := body.Read(buffer[n:])
		n += m
		if err != nil {
			return n, errors.Is(err, io.EOF)
		}
	}
	return n, false
}

// unusable says, in words that follow "because", what keeps a URL from being
// used; nothing when it can be.
func unusable(u *url.URL) string {
	switch {
	case u == nil:
		return "there is none"
	case u.Scheme != "http" && u.Scheme != "https":
		return "it must begin with http:// or https://"
	case u.User != nil:
		return "it must not contain a user name or password"
	case u.Hostname() == "":
		return "it names no host"
	}
	port := u.Port()
	if port == "" {
		return ""
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return "its port must be between 1 and 65535"
	}
	return ""
}

func failure(reason webhooksv1.Reason, detail string) Result {
	return Result{Reason: reason, Detail: detail}
}

// refusedUnprocessed reports whether an HTTP/2 peer said that it has not processed
// the request: a refused stream, or a GOAWAY that does not cover it. For both there
// is only this text to go by; should it ever change, the attempt counts as failed
// and is retried on schedule, which is safe.
func refusedUnprocessed(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "http2: Transport: cannot retry err [") &&
		(strings.Contains(text, "REFUSED_STREAM") || strings.Contains(text, "graceful shutdown GOAWAY"))
}
