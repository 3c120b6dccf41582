package deliver

import (
	"bytes"
	"encoding/json"
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

// sentRequest is what judge needs to know of the request.
type sentRequest struct {
	url     *url.URL
	format  string // of the body; empty is json
	bytes   int    // of the body
	attempt uint32
}

// verdict is what an answer means for the delivery and for its endpoint.
type verdict struct {
	outcome webhooksv1.Outcome
	reason  webhooksv1.Reason
	cause   webhooksv1.Cause
	// detail is a sentence or two for the host; empty when delivered and nothing was
	// odd.
	detail string
	// next is when the next attempt of this delivery is due; with a retry only.
	next time.Time
	// pauseUntil is when the whole endpoint wants to be called again: not only this
	// delivery waits. Zero when it did not say so.
	pauseUntil time.Time
	// blameless says that the endpoint is as good as before: the fault is ours, the
	// registration's or this one event's.
	blameless bool
}

// judge decides what an answer means. It is the only place that does, and it is
// pure: the same answer, request, time and chance give the same verdict. What is not
// counted (canceled, or for lack of something of ours) is not judged.
//
//	answer                            outcome            reason       Retry-After holds for
//	2xx                               delivered          –            –
//	  teams, its body says 429        retry/exhausted    throttled    the endpoint
//	  teams, its body says failed     retry/exhausted    status       the delivery
//	302, 303 of a Google Apps Script  delivered          –            –
//	other 3xx (never followed)        retry/exhausted    redirect     the delivery
//	410                               gone               status       –
//	429, 503                          retry/exhausted    throttled    the endpoint
//	other 4xx, 5xx                    retry/exhausted    status       the delivery
//	101, other 1xx, below, above      retry/exhausted    protocol     the delivery
//	none                              retry/exhausted    what the client met
//
// chance is in [0, 1) and spreads the retries.
func judge(answer egress.Result, request sentRequest, retries Retries, now time.Time, chance float64) verdict {
	v := verdict{detail: answer.Detail, cause: answer.Cause}
	v.reason = reasonOf(answer, request)
	if v.cause == webhooksv1.Cause_CAUSE_UNSPECIFIED {
		v.cause = causeOf(answer, request, v.reason)
	}
	if v.detail == "" {
		v.detail = describe(answer, request, v.reason)
	}
	v.detail = strings.TrimSpace(v.detail + " " + strings.Join(answer.Notes, " "))
	switch {
	case v.reason == webhooksv1.Reason_REASON_UNSPECIFIED:
		v.outcome = webhooksv1.Outcome_OUTCOME_DELIVERED
		return v
	case answer.StatusCode == http.StatusGone:
		v.outcome = webhooksv1.Outcome_OUTCOME_GONE
		return v
	}
	v.blameless = v.reason == webhooksv1.Reason_REASON_REGISTRATION || v.reason == webhooksv1.Reason_REASON_INTERNAL ||
		answer.StatusCode == http.StatusRequestEntityTooLarge
	asked := askedFor(answer, request, now)
	if asked > 0 && v.reason == webhooksv1.Reason_REASON_THROTTLED {
		v.pauseUntil = now.Add(asked)
	}
	if request.attempt >= uint32(retries.Attempts) { //nolint:gosec // 1 to 30
		v.outcome = webhooksv1.Outcome_OUTCOME_EXHAUSTED
		return v
	}
	v.outcome = webhooksv1.Outcome_OUTCOME_RETRY
	v.next = now.Add(max(retries.wait(request.attempt, chance), asked))
	return v
}

func reasonOf(answer egress.Result, request sentRequest) webhooksv1.Reason {
	if answer.Reason != webhooksv1.Reason_REASON_UNSPECIFIED {
		return answer.Reason
	}
	switch status := answer.StatusCode; {
	case status >= 200 && status <= 299:
		return confessed(answer, request)
	case appsScript(answer, request):
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

// confessed is why a 2xx is none: Teams reports in the body what the chat behind it
// answered.
func confessed(answer egress.Result, request sentRequest) webhooksv1.Reason {
	switch {
	case request.format != formatTeams:
		return webhooksv1.Reason_REASON_UNSPECIFIED
	case bytes.Contains(answer.Body, []byte("HTTP error 429")):
		return webhooksv1.Reason_REASON_THROTTLED
	case bytes.Contains(answer.Body, []byte("Webhook message delivery failed")):
		return webhooksv1.Reason_REASON_STATUS
	default:
		return webhooksv1.Reason_REASON_UNSPECIFIED
	}
}

// appsScript reports whether a redirect is how a Google Apps Script web app says
// that it has run: its output would be at that address.
func appsScript(answer egress.Result, request sentRequest) bool {
	if request.url == nil || !strings.EqualFold(request.url.Hostname(), "script.google.com") ||
		(answer.StatusCode != http.StatusFound && answer.StatusCode != http.StatusSeeOther) {
		return false
	}
	output, err := url.Parse(answer.Header.Get("Location"))
	return err == nil && output.Scheme == "https" && strings.EqualFold(output.Host, "script.googleusercontent.com") &&
		strings.HasPrefix(output.Path, "/macros/echo")
}

// askedFor is how long the receiver wants to be left alone; zero when it did not say.
func askedFor(answer egress.Result, request sentRequest, now time.Time) time.Duration {
	asked := retryAfter(answer.Header.Get("Retry-After"), now)
	if request.format != formatDiscord || answer.StatusCode != http.StatusTooManyRequests {
		return asked
	}
	var limit struct {
		Seconds json.Number `json:"retry_after"`
	}
	if json.Unmarshal(answer.Body, &limit) != nil {
		return asked
	}
	return max(asked, retryAfter(limit.Seconds.String(), now))
}

// retryAfter reads a Retry-After header (RFC 9110, 10.2.3): seconds or a date.
// Fractions are rounded up, so that it is never earlier than asked; a past date
// and zero become the minimum; anything else is ignored, signs, exponents and
// names of numbers included, and is zero.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	whole, fraction, _ := strings.Cut(value, ".")
	if digits(whole) && (fraction == "" || digits(fraction)) {
		seconds, err := strconv.ParseUint(whole, 10, 32)
		if err != nil { // more than fits
			return maxRetryAfter
		}
		if strings.Trim(fraction, "0") != "" {
			seconds++
		}
		asked := time.Duration(seconds) * time.Second
		return min(max(asked, minRetryAfter), maxRetryAfter)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), minRetryAfter), maxRetryAfter)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
