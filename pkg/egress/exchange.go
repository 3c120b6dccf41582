package egress

import (
	"context"
	"errors"
	"net/url"
	"strconv"

	"golang.org/x/net/http/httpguts"

	"github.com/dembrane/webhooks/pkg/egress/http1"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// exchanges sends the request, and once more when [Client.again] says so.
func (c *Client) exchanges(a *attempt) (Result, error) {
	result, err := c.exchange(a)
	if err == nil || a.late() || !c.again(a, err) {
		return result, err
	}
	a.resent = true
	result, err = c.exchange(a)
	if err != nil {
		c.learn(a, err)
	}
	return result, err
}

// exchange sends the request once, on a connection that is kept, or a new one.
func (c *Client) exchange(a *attempt) (Result, error) {
	a.enter(PhaseWait)
	if a.habit.http2 && !a.alone() {
		result, err := c.overHTTP2(a, nil)
		if !errors.Is(err, errNotHTTP2) {
			return result, err
		}
		a.habit = c.habits.learn(a.host, speaksHTTP1)
	}
	response, err := c.http1.RoundTrip(a.request())
	if offer, ok := errors.AsType[*http2Offer](err); ok {
		a.habit = c.habits.learn(a.host, speaksHTTP2)
		return c.overHTTP2(a, offer.conn)
	}
	if err != nil {
		return Result{}, err
	}
	if a.habit.http2 {
		a.habit = c.habits.learn(a.host, speaksHTTP1)
	}
	defer func() { _ = response.Body.Close() }()
	return c.read(a, response), nil
}

// again reports whether a request that was not answered is sent once more: when the receiver has not processed it,
// and when a connection that was kept has ended without a byte of a response, or with bytes that belong to no request.
func (c *Client) again(a *attempt, err error) bool {
	c.learn(a, err)
	failed1, _ := errors.AsType[*http1.Error](err)
	failed2, _ := errors.AsType[*http2Error](err)
	switch {
	case failed1 != nil && failed1.Kept && failed1.Broken && (!failed1.Answered || errors.Is(failed1, http1.ErrMalformed)),
		failed2 != nil && failed2.kept && !failed2.answered && disconnected(failed2.err):
		c.habits.learn(a.host, endsKeptConnections)
		a.single = true
		a.note("A connection that had been kept was of no use any more, so the request was sent once more over a new one.")
	case failed2 != nil && a.habit.onlyHTTP1():
		a.note("The receiver asked for HTTP/1.1, so the request was sent once more over that.")
	case failed2 != nil && failed2.unprocessed():
		a.note("The receiver refused the request before it processed it, so it was sent once more.")
	default:
		return false
	}
	return true
}

// learn remembers what an exchange without a response says about the protocols that the receiver speaks.
func (c *Client) learn(a *attempt, err error) {
	if failed, ok := errors.AsType[*dialError](err); ok && a.habit.onlyHTTP1() && failed.tls {
		a.habit = c.habits.learn(a.host, speaksAnything)
	}
	failed, ok := errors.AsType[*http2Error](err)
	if !ok {
		return
	}
	switch code, isReset := failed.reset(); {
	case isReset && code == codeHTTP1Required:
		a.habit = c.habits.learn(a.host, asksForHTTP1)
	case !failed.kept && !isReset && (failed.confused() || (a.resent && failed.unprocessed())):
		// The next attempt may fare better. It may also be what a GOAWAY with HTTP_1_1_REQUIRED looks like.
		c.habits.learn(a.host, asksForHTTP1)
	}
}

func (a *attempt) note(sentence string) { a.notes = append(a.notes, sentence) }

// failed is the result of an attempt that was not answered.
func (c *Client) failed(ctx context.Context, a *attempt, err error) Result {
	if late(ctx) {
		return Result{Canceled: true}
	}
	if errors.Is(err, ErrForbidden) {
		// It reads the same whatever is behind the address, and takes no longer.
		a.forget()
		return failure(webhooksv1.Reason_REASON_ADDRESS_FORBIDDEN, "The URL leads to an address to which webhooks are not sent.")
	}
	phase := a.current()
	if unfinished, ok := errors.AsType[*http1.Error](err); ok && !unfinished.Sent {
		phase = PhaseSend
	}
	result := explain(err)
	if a.late() {
		result = failure(webhooksv1.Reason_REASON_TIMEOUT, timeoutDetail(phase, c.timeout))
	}
	result.Timing.Ended = phase
	return result
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

// unfit reports whether a header cannot be sent as it is. Sending it would let what
// is in it pass for headers of its own.
func unfit(header map[string][]string) bool {
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
