package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// broken is an exchange that ended without a whole response.
type broken struct {
	err error
	// connected says that there was a connection.
	connected bool
	// status is the final status that has arrived without the headers that should
	// have followed it, or 0.
	status int
	// unseen says that the receiver certainly has not seen the request.
	unseen bool
}

// exchange sends the request once, on a connection that is kept, or a new one.
func (c *Client) exchange(ctx context.Context, deadline time.Time, call Call) (Result, *broken) {
	h := hostOf(call.URL)
	if c.http2Hosts.has(h) {
		result, failed := c.overHTTP2(ctx, deadline, nil, call)
		if failed == nil || !errors.Is(failed.err, errNotHTTP2) {
			return result, failed
		}
		c.http2Hosts.remove(h)
	}
	if conn := c.idle.take(h, deadline); conn != nil {
		return c.overHTTP1(ctx, conn, call)
	}
	conn, secured, err := c.connect(ctx, deadline, h, call.URL)
	switch {
	case err != nil:
		return Result{}, &broken{err: err}
	case secured != nil:
		c.http2Hosts.add(h)
		return c.overHTTP2(ctx, deadline, secured, call)
	default:
		return c.overHTTP1(ctx, conn, call)
	}
}

// connect makes a new connection: one for HTTP/1, or one over which the receiver
// wants to speak HTTP/2.
func (c *Client) connect(ctx context.Context, deadline time.Time, h host, u *url.URL) (*http1Conn, *tls.Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	address := addressOf(u)
	if h.scheme == "http" {
		conn, err := c.dialer.connect(ctx, "tcp", address)
		if err != nil {
			return nil, nil, err
		}
		return prepared(newHTTP1Conn(h, conn, conn), deadline)
	}
	secured, socket, err := c.dialer.dialTLS(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	if speaksHTTP2(secured) {
		return nil, secured, nil
	}
	return prepared(newHTTP1Conn(h, secured, socket), deadline)
}

func prepared(conn *http1Conn, deadline time.Time) (*http1Conn, *tls.Conn, error) {
	if err := conn.SetDeadline(deadline); err != nil {
		_ = conn.Close()
		return nil, nil, &dialError{stage: stageConnect, err: err}
	}
	return conn, nil, nil
}

// failed is the result of an attempt whose exchange broke.
func (c *Client) failed(ctx context.Context, deadline time.Time, b *broken) Result {
	canceled := ctx.Err() != nil
	reason, detail := c.explain(deadline, b)
	cutOff := canceled ||
		reason == webhooksv1.Reason_REASON_TIMEOUT ||
		reason == webhooksv1.Reason_REASON_CONNECTION_CLOSED
	// The status line decides, and it may have come before the end did.
	if cutOff && b.status != 0 {
		return Result{StatusCode: b.status, Truncated: true}
	}
	if canceled {
		return Result{Canceled: true}
	}
	return failure(reason, detail)
}

func (c *Client) explain(deadline time.Time, b *broken) (webhooksv1.Reason, string) {
	if !time.Now().Before(deadline) {
		return webhooksv1.Reason_REASON_TIMEOUT, "The receiver did not answer within " + c.timeout.String() + "."
	}
	return explain(b.err, b.connected)
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

// errUnfit says that the headers cannot be sent.
var errUnfit = errors.New("a header cannot be sent as it is")

// unfit reports whether a header cannot be sent as it is. Sending it would let what
// is in it pass for headers of its own.
func unfit(header http.Header) bool {
	for name, values := range header {
		if !httpguts.ValidHeaderFieldName(name) {
			return true
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return true
			}
		}
	}
	return false
}

// addressOf is what to dial for a URL: its host, in the form that name servers
// know, and its port.
func addressOf(u *url.URL) string {
	name, port := u.Hostname(), u.Port()
	if strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) {
		if encoded, err := idna.Lookup.ToASCII(name); err == nil {
			name = encoded
		} // else the look-up fails, which is reported
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(name, port)
}

func failure(reason webhooksv1.Reason, detail string) Result {
	return Result{Reason: reason, Detail: detail}
}
