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

// exchanges sends the request, and once more over a connection of its own when [Client.again] says so.
func (c *Client) exchanges(ctx context.Context, a *attempt) (Result, error) {
	for {
		result, err := c.exchange(ctx, a)
		if err == nil || late(ctx) {
			return result, err
		}
		why := c.again(a, err)
		if why == "" || a.resent {
			return Result{}, err
		}
		a.notes = append(a.notes, why)
		a.resent, a.alone = true, true
		a.enter(webhooksv1.Phase_PHASE_WAIT)
	}
}

// exchange sends the request once.
func (c *Client) exchange(ctx context.Context, a *attempt) (Result, error) {
	if a.habit.http2 && !a.alone {
		result, err := c.overHTTP2(ctx, a, nil)
		if !errors.Is(err, errNotHTTP2) {
			return result, err
		}
		a.habit = c.habits.learn(a.host, speaksHTTP1)
	}
	request := a.request(ctx)
	request.Close = a.alone
	response, err := c.http1.RoundTrip(request)
	if offer, ok := errors.AsType[*http2Offer](err); ok {
		a.habit = c.habits.learn(a.host, speaksHTTP2)
		return c.overHTTP2(ctx, a, offer.conn)
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

// again says why a request that was not answered may be sent once more; nothing when it may not. What the receiver has
// taught by that is remembered. Only what is certain counts: whatever else may have gone wrong is a failed attempt.
func (c *Client) again(a *attempt, err error) (why string) {
	if failed, ok := errors.AsType[*dialError](err); ok && failed.tls && a.habit.onlyHTTP1() {
		c.habits.learn(a.host, speaksAnything)
	}
	failed1, _ := errors.AsType[*http1.Error](err)
	failed2, _ := errors.AsType[*http2Error](err)
	switch {
	case failed1 != nil && failed1.Kept && failed1.Broken && !failed1.Answered,
		failed2 != nil && failed2.kept && failed2.sent && !failed2.answered && failed2.ended():
		c.habits.learn(a.host, endsKeptConnections)
		return "A connection that had been kept was of no use any more, so the request was sent once more over a new one."
	case failed2 != nil && failed2.wantsHTTP1():
		a.habit = c.habits.learn(a.host, asksForHTTP1)
		return "The receiver asked for HTTP/1.1, so the request was sent once more over that."
	case failed2 != nil && failed2.unprocessed():
		return "The receiver had not begun with the request, so it was sent once more over a new connection."
	case failed2 != nil && failed2.malformed():
		c.habits.learn(a.host, asksForHTTP1) // the next attempt may fare better
	}
	return ""
}

// failed is the result of an attempt that was not answered.
func (c *Client) failed(ctx context.Context, a *attempt, err error) Result {
	if errors.Is(err, ErrForbidden) {
		// It reads the same whatever is behind the address, and takes no longer.
		a.timing, a.phase = Timing{}, webhooksv1.Phase_PHASE_UNSPECIFIED
		return failure(webhooksv1.Reason_REASON_ADDRESS_FORBIDDEN, "The URL leads to an address to which webhooks are not sent.")
	}
	phase := a.phase
	if unfinished, ok := errors.AsType[*http1.Error](err); ok && !unfinished.Sent {
		phase = webhooksv1.Phase_PHASE_SEND
	}
	result := explain(err)
	if late(ctx) {
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
