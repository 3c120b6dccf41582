package deliver

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// describe says in a host's words what was answered; nothing when that is no news.
func describe(answer egress.Result, request sentRequest, reason webhooksv1.Reason) string {
	status := answer.StatusCode
	answered := "The receiver answered " + strings.TrimSpace(strconv.Itoa(status)+" "+http.StatusText(status))
	switch {
	case reason == webhooksv1.Reason_REASON_UNSPECIFIED:
		return delivered(answer, request)
	case status >= 200 && status <= 299:
		return "Teams took the message and then reported that it could not be posted."
	case chatSentence(request.format, answer.Body) != "" && reason == webhooksv1.Reason_REASON_STATUS:
		return answered + ": " + chatSentence(request.format, answer.Body) + "."
	case status == http.StatusGone:
		return "The receiver answered 410 Gone: it wants no more deliveries, so the webhook was switched off."
	case reason == webhooksv1.Reason_REASON_REDIRECT:
		return answered + redirectHint(answer, request)
	case reason == webhooksv1.Reason_REASON_PROTOCOL:
		return "The receiver answered with the status " + strconv.Itoa(status) + ", which ends no HTTP request."
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return answered + ": it refuses the delivery. Check that the URL is complete and the secret is the same on both sides."
	case status == http.StatusNotFound:
		return answered + ": nothing is listening at this URL. Check that it is complete and still in use."
	case status == http.StatusRequestEntityTooLarge:
		return answered + ": the body of this delivery is " + size(request.bytes) + ". Let the receiver accept larger bodies."
	default:
		return answered + "."
	}
}

// delivered is what a success leaves open.
func delivered(answer egress.Result, request sentRequest) string {
	if request.format == formatTeams && answer.StatusCode == http.StatusAccepted {
		return "Teams accepted the message; it does not tell whether it was posted."
	}
	return ""
}

// causeOf is what a status means in particular, where a product says more than its
// status does.
func causeOf(answer egress.Result, request sentRequest, reason webhooksv1.Reason) webhooksv1.Cause {
	isSuccess := answer.StatusCode >= 200 && answer.StatusCode <= 299
	switch {
	case isSuccess && reason != webhooksv1.Reason_REASON_UNSPECIFIED:
		return webhooksv1.Cause_CAUSE_NOT_POSTED
	case isSuccess && request.format == formatTeams && answer.StatusCode == http.StatusAccepted:
		return webhooksv1.Cause_CAUSE_ACCEPTED
	case reason == webhooksv1.Reason_REASON_REDIRECT && wantsLogin(answer, request):
		return webhooksv1.Cause_CAUSE_SCRIPT_LOGIN
	case reason == webhooksv1.Reason_REASON_STATUS:
		return chatCause(request.format, answer.Body)
	default:
		return webhooksv1.Cause_CAUSE_UNSPECIFIED
	}
}

// size is a number of bytes as people read it.
func size(n int) string {
	const kib, mib = 1 << 10, 1 << 20
	switch {
	case n >= mib:
		return strconv.FormatFloat(float64(n)/mib, 'f', 1, 64) + " MiB (" + strconv.Itoa(n) + " bytes)"
	case n >= kib:
		return strconv.FormatFloat(float64(n)/kib, 'f', 1, 64) + " KiB (" + strconv.Itoa(n) + " bytes)"
	default:
		return strconv.Itoa(n) + " bytes"
	}
}

// redirectHint names where a redirect leads, without its query: that may hold a
// token, and a log is no place for it.
func redirectHint(answer egress.Result, request sentRequest) string {
	const (
		advice = ". Redirects are not followed; register the final URL instead."
		login  = ": the Google Apps Script asks for a login. Deploy it as a web app to which anyone has access."
	)
	location := answer.Header.Get("Location")
	target, err := url.Parse(location)
	if location == "" || err != nil || len(location) > 512 || target.Opaque != "" {
		return advice
	}
	if wantsLogin(answer, request) {
		return login
	}
	target.User, target.RawQuery, target.Fragment = nil, "", ""
	return " to " + target.String() + advice
}

// wantsLogin reports whether a Google Apps Script redirects to Google's login.
func wantsLogin(answer egress.Result, request sentRequest) bool {
	target, err := url.Parse(answer.Header.Get("Location"))
	return err == nil && request.url != nil && strings.EqualFold(request.url.Hostname(), "script.google.com") &&
		target.Hostname() == "accounts.google.com"
}
