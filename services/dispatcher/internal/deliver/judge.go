package deliver

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Bounds of what a receiver may ask for with Retry-After (contract: 1 s to 24 h).
const (
	minRetryAfter = time.Second
	maxRetryAfter = 24 * time.Hour
)

// verdict is what an answer means for the delivery and for its endpoint.
type verdict struct {
	outcome webhooksv1.Outcome
	reason  webhooksv1.Reason
	// detail is one sentence for the host; empty when delivered.
	detail string
	// next is when the next attempt is due; with a retry only.
	next time.Time
	// pauseUntil is when the whole endpoint wants to be called again.
	pauseUntil time.Time
}

// judge decides what an answer means. It is the only place that does, and it is
// pure: the same answer, attempt number, time and chance give the same verdict.
//
//	answer                         outcome            reason
//	2xx                            delivered          –
//	410                            gone               status
//	429, 503                       retry/exhausted    throttled   (+ Retry-After)
//	3xx                            retry/exhausted    redirect    (never followed)
//	other 4xx, 5xx                 retry/exhausted    status
//	101, other 1xx, below, above   retry/exhausted    protocol
//	none                           retry/exhausted    what the client met
//
// chance is in [0, 1) and spreads the retries.
func judge(answer egress.Result, attempt uint32, retries Retries, now time.Time, chance float64) verdict {
	v := verdict{reason: reasonOf(answer), detail: answer.Detail}
	switch {
	case v.reason == webhooksv1.Reason_REASON_UNSPECIFIED:
		v.outcome = webhooksv1.Outcome_OUTCOME_DELIVERED
		v.detail = ""
		return v
	case v.detail == "":
		v.detail = describe(answer)
	}
	if answer.StatusCode == http.StatusGone {
		v.outcome = webhooksv1.Outcome_OUTCOME_GONE
		return v
	}
	wait := retries.Wait(attempt, chance)
	if v.reason == webhooksv1.Reason_REASON_THROTTLED {
		if asked, ok := retryAfter(answer.Header.Get("Retry-After"), now); ok {
			v.pauseUntil = now.Add(asked)
			wait = max(wait, asked)
		}
	}
	if attempt >= uint32(retries.Attempts) { //nolint:gosec // 1 to 30
		v.outcome = webhooksv1.Outcome_OUTCOME_EXHAUSTED
		return v
	}
	v.outcome = webhooksv1.Outcome_OUTCOME_RETRY
	v.next = now.Add(wait)
	return v
}

func reasonOf(answer egress.Result) webhooksv1.Reason {
	if answer.Reason != webhooksv1.Reason_REASON_UNSPECIFIED {
		return answer.Reason
	}
	switch status := answer.StatusCode; {
	case status >= 200 && status <= 299:
		return webhooksv1.Reason_REASON_UNSPECIFIED
	case status >= 300 && status <= 399:
		return webhooksv1.Reason_REASON_REDIRECT
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		return webhooksv1.Reason_REASON_THROTTLED
	case status >= 400 && status <= 599:
		return webhooksv1.Reason_REASON_STATUS
	default:
		return webhooksv1.Reason_REASON_PROTOCOL
	}
}

// describe says in a host's words what was answered.
func describe(answer egress.Result) string {
	status := answer.StatusCode
	name := strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
	switch {
	case status == http.StatusGone:
		return "The receiver answered 410 Gone: it wants no more deliveries, so the webhook was disabled."
	case status >= 300 && status <= 399:
		return "The receiver answered " + name + redirectHint(answer.Header.Get("Location"))
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Sprintf("The receiver answered %s: it refuses the delivery. Check that the URL is complete and the secret is the same on both sides.", name)
	case status == http.StatusNotFound:
		return "The receiver answered 404 Not Found: nothing is listening at this URL. Check that it is complete and still in use."
	case status >= 400 && status <= 599:
		return fmt.Sprintf("The receiver answered %s.", name)
	default:
		return fmt.Sprintf("The receiver answered with the status %d, which ends no HTTP request.", status)
	}
}

// redirectHint names where a redirect leads, without its query: that may hold a
// token, and a log is no place for it.
func redirectHint(location string) string {
	const advice = ". Redirects are not followed; register the final URL instead."
	target, err := url.Parse(location)
	if location == "" || err != nil || len(location) > 512 {
		return advice
	}
	target.User, target.RawQuery, target.Fragment = nil, "", ""
	return " to " + target.String() + advice
}

// retryAfter reads a Retry-After header (RFC 9110, 10.2.3): seconds or a date.
// Fractions are rounded up, so that it is never earlier than asked; a past date
// and zero become the minimum; anything else is ignored, signs, exponents and
// names of numbers included.
func retryAfter(value string, now time.Time) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	whole, fraction, _ := strings.Cut(value, ".")
	if digits(whole) && (fraction == "" || digits(fraction)) {
		seconds, err := strconv.ParseUint(whole, 10, 32)
		if err != nil { // more than fits
			return maxRetryAfter, true
		}
		if strings.Trim(fraction, "0") != "" {
			seconds++
		}
		asked := time.Duration(seconds) * time.Second
		return min(max(asked, minRetryAfter), maxRetryAfter), true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), minRetryAfter), maxRetryAfter), true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
