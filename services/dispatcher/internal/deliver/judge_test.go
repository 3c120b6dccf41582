package deliver

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

var (
	defaults = Retries{Attempts: 10, First: 5 * time.Second, Multiplier: 3.7}
	noon     = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
)

// to is the request of the given attempt.
func to(attempt uint32) sentRequest { return sentRequest{bytes: 100, attempt: attempt} }

func mustParse(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}

// formats are those of the contract, and one that this build does not know.
func formats() []string {
	return []string{"", "json", "slack", "teams", "discord", "mattermost", "google_chat", "of tomorrow"}
}

// wantOf is the table of judge's comment, written a second time. It is the same for
// every format, because the bodies of the answers are empty.
func wantOf(status int) (ended webhooksv1.Outcome, reason webhooksv1.Reason) {
	switch {
	case status >= 200 && status <= 299:
		return webhooksv1.Outcome_OUTCOME_DELIVERED, webhooksv1.Reason_REASON_UNSPECIFIED
	case status == 410:
		return webhooksv1.Outcome_OUTCOME_GONE, webhooksv1.Reason_REASON_STATUS
	case status == 429, status == 503:
		return webhooksv1.Outcome_OUTCOME_UNSPECIFIED, webhooksv1.Reason_REASON_THROTTLED
	case status >= 300 && status <= 399:
		return webhooksv1.Outcome_OUTCOME_UNSPECIFIED, webhooksv1.Reason_REASON_REDIRECT
	case status >= 400 && status <= 599:
		return webhooksv1.Outcome_OUTCOME_UNSPECIFIED, webhooksv1.Reason_REASON_STATUS
	default:
		return webhooksv1.Outcome_OUTCOME_UNSPECIFIED, webhooksv1.Reason_REASON_PROTOCOL
	}
}

func TestJudgeEveryStatusInEveryFormat(t *testing.T) {
	statuses := []int{-1, 1, 99, 1000, 99999}
	for status := 100; status <= 700; status++ {
		statuses = append(statuses, status)
	}
	for _, status := range statuses {
		for _, format := range formats() {
			for _, attempt := range []uint32{1, 2, 9, 10, 11} {
				at := fmt.Sprintf("status %d, format %q, attempt %d", status, format, attempt)
				v := judge(egress.Result{StatusCode: status}, sentRequest{format: format, attempt: attempt}, defaults, noon, 0)

				outcome, reason := wantOf(status)
				if outcome == webhooksv1.Outcome_OUTCOME_UNSPECIFIED {
					outcome = webhooksv1.Outcome_OUTCOME_RETRY
					if attempt >= 10 {
						outcome = webhooksv1.Outcome_OUTCOME_EXHAUSTED
					}
				}
				require.Equal(t, outcome, v.outcome, at)
				require.Equal(t, reason, v.reason, at)
				silent := outcome == webhooksv1.Outcome_OUTCOME_DELIVERED && (status != 202 || format != "teams")
				require.Equal(t, silent, v.detail == "", "%s: %q", at, v.detail)
				if !silent {
					require.Regexp(t, `^[A-Z].*\.$`, v.detail, "a sentence")
				}
				require.Equal(t, status == 413, v.blameless, at)
				require.True(t, v.pauseUntil.IsZero(), "nothing was asked for")
				if outcome == webhooksv1.Outcome_OUTCOME_RETRY {
					require.Equal(t, noon.Add(defaults.wait(attempt, 0)), v.next, at)
				} else {
					require.True(t, v.next.IsZero(), at)
				}
			}
		}
	}
}

func TestNotesAreToldWithEveryOutcome(t *testing.T) {
	for _, status := range []int{200, 302, 404, 410, 429} {
		v := judge(egress.Result{StatusCode: status, Notes: []string{"It was sent once more.", "Its headers were odd."}}, to(1), defaults, noon, 0)
		assert.True(t, strings.HasSuffix(v.detail, "It was sent once more. Its headers were odd."), v.detail)
	}
}

func TestWhatIsNotTheEndpointsFault(t *testing.T) {
	for number := range webhooksv1.Reason_name {
		reason := webhooksv1.Reason(number)
		v := judge(egress.Result{Reason: reason, StatusCode: 500, Detail: "It went wrong."}, to(1), defaults, noon, 0)
		ours := reason == webhooksv1.Reason_REASON_REGISTRATION || reason == webhooksv1.Reason_REASON_INTERNAL
		assert.Equal(t, ours, v.blameless, reason)
	}
}

func TestB5GoogleAppsScript(t *testing.T) {
	const (
		script = "https://script.google.com/macros/s/AKfyc/exec"
		output = "https://script.googleusercontent.com/macros/echo?user_content_key=x&lib=y"
		login  = "https://accounts.google.com/ServiceLogin?continue=x"
	)
	tests := []struct {
		url      string
		status   int
		location string
		ok       bool
	}{
		{script, 302, output, true},
		{script, 303, output, true},
		{"https://SCRIPT.google.com/macros/s/AKfyc/exec", 302, output, true},
		{"https://script.google.com:443/a/macros/example.org/s/AKfyc/exec", 302, output, true},
		{script, 301, output, false},
		{script, 307, output, false},
		{script, 308, output, false},
		{script, 302, "", false},
		{script, 302, "/macros/echo", false},
		{script, 302, login, false},
		{script, 302, "http://script.googleusercontent.com/macros/echo", false},
		{script, 302, "https://script.googleusercontent.com/elsewhere", false},
		{script, 302, "https://script.googleusercontent.com.evil.example/macros/echo", false},
		{script, 302, "https://evil.example/macros/echo", false},
		{"https://evil.example/hook", 302, output, false},
		{"https://script.google.com.evil.example/hook", 302, output, false},
	}
	for _, test := range tests {
		answer := egress.Result{StatusCode: test.status, Header: http.Header{"Location": {test.location}}}
		v := judge(answer, sentRequest{url: mustParse(test.url), attempt: 1}, defaults, noon, 0)
		if test.ok {
			assert.Equal(t, verdict{outcome: webhooksv1.Outcome_OUTCOME_DELIVERED}, v, test)
			continue
		}
		assert.Equal(t, webhooksv1.Outcome_OUTCOME_RETRY, v.outcome, test)
		assert.Equal(t, webhooksv1.Reason_REASON_REDIRECT, v.reason, test)
		if test.location == login {
			assert.Contains(t, v.detail, "Deploy it as a web app to which anyone has access.")
			assert.NotContains(t, v.detail, "register the final URL")
		}
	}
}

func TestJudgeEveryReason(t *testing.T) {
	for number := range webhooksv1.Reason_name {
		reason := webhooksv1.Reason(number)
		if reason == webhooksv1.Reason_REASON_UNSPECIFIED {
			continue
		}
		v := judge(egress.Result{Reason: reason, Detail: "It went wrong."}, to(1), defaults, noon, 0)

		assert.Equal(t, webhooksv1.Outcome_OUTCOME_RETRY, v.outcome, reason)
		assert.Equal(t, reason, v.reason)
		assert.Equal(t, "It went wrong.", v.detail, reason)
		assert.Equal(t, noon.Add(5*time.Second), v.next, reason)

		v = judge(egress.Result{Reason: reason, Detail: "It went wrong."}, to(10), defaults, noon, 0)
		assert.Equal(t, webhooksv1.Outcome_OUTCOME_EXHAUSTED, v.outcome, reason)
	}
}

func TestCase18RetryAfter(t *testing.T) {
	const ignored = time.Duration(0)
	for value, want := range map[string]time.Duration{
		"120":                             2 * time.Minute,
		" 120 ":                           2 * time.Minute,
		"0":                               time.Second,
		"00":                              time.Second,
		"1":                               time.Second,
		"0.2":                             time.Second,
		"120.5":                           121 * time.Second,
		"120.000":                         120 * time.Second,
		"1.0000000001":                    2 * time.Second,
		"86399":                           24*time.Hour - time.Second,
		"86400":                           24 * time.Hour,
		"86400.5":                         24 * time.Hour,
		"99999999999":                     24 * time.Hour,
		strings.Repeat("9", 400):          24 * time.Hour,
		"Sun, 01 Mar 2026 12:02:00 GMT":   2 * time.Minute,
		"Sunday, 01-Mar-26 12:02:00 GMT":  2 * time.Minute,
		"Sun Mar  1 12:02:00 2026":        2 * time.Minute,
		"Sun, 01 Mar 2026 12:00:00 GMT":   time.Second,
		"Sun, 01 Mar 2020 12:00:00 GMT":   time.Second,
		"Wed, 01 Mar 2028 12:00:00 GMT":   24 * time.Hour,
		"Fri, 31 Dec 9999 23:59:59 GMT":   24 * time.Hour,
		"":                                ignored,
		" ":                               ignored,
		"-5":                              ignored,
		"-0":                              ignored,
		"+5":                              ignored,
		"1e3":                             ignored,
		"1E3":                             ignored,
		"1_000":                           ignored,
		"0x10":                            ignored,
		"0x1p4":                           ignored,
		"inf":                             ignored,
		"+Inf":                            ignored,
		"Infinity":                        ignored,
		"nan":                             ignored,
		"NaN":                             ignored,
		".5":                              ignored,
		"1.2.3":                           ignored,
		"1,5":                             ignored,
		"120 seconds":                     ignored,
		"120;q=1":                         ignored,
		"١٢٠":                             ignored,
		"soon":                            ignored,
		"2026-03-01T12:02:00Z":            ignored,
		"Sun, 01 Mar 2026 12:02:00 +0100": ignored,
	} {
		for _, status := range []int{429, 503} {
			answer := egress.Result{StatusCode: status, Header: http.Header{"Retry-After": {value}}}
			v := judge(answer, to(1), defaults, noon, 0)

			require.Equal(t, webhooksv1.Outcome_OUTCOME_RETRY, v.outcome, value)
			require.Equal(t, noon.Add(max(5*time.Second, want)), v.next, "never shorter than either: %q", value)
			if want == ignored {
				require.True(t, v.pauseUntil.IsZero(), value)
			} else {
				require.Equal(t, noon.Add(want), v.pauseUntil, value)
			}
		}
	}
}

func TestRetryAfterPausesTheEndpointAlsoAfterTheLastAttempt(t *testing.T) {
	answer := egress.Result{StatusCode: 429, Header: http.Header{"Retry-After": {"60"}}}

	v := judge(answer, to(10), defaults, noon, 0)

	assert.Equal(t, webhooksv1.Outcome_OUTCOME_EXHAUSTED, v.outcome)
	assert.True(t, v.next.IsZero())
	assert.Equal(t, noon.Add(time.Minute), v.pauseUntil)
}

func TestB11RetryAfterElsewhereHoldsForTheDelivery(t *testing.T) {
	for _, status := range []int{301, 400, 403, 404, 408, 413, 500, 502, 504, 599} {
		v := judge(egress.Result{StatusCode: status, Header: http.Header{"Retry-After": {"600"}}}, to(1), defaults, noon, 0)
		assert.Equal(t, noon.Add(10*time.Minute), v.next, status)
		assert.True(t, v.pauseUntil.IsZero(), status)
	}
	for _, status := range []int{200, 204, 410} {
		v := judge(egress.Result{StatusCode: status, Header: http.Header{"Retry-After": {"600"}}}, to(1), defaults, noon, 0)
		assert.True(t, v.next.IsZero(), status)
		assert.True(t, v.pauseUntil.IsZero(), status)
	}
}

func TestJudgeIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		retries := Retries{
			Attempts:   rapid.IntRange(1, 30).Draw(t, "attempts"),
			First:      time.Duration(rapid.Int64Range(int64(10*time.Millisecond), int64(24*time.Hour)).Draw(t, "first")),
			Multiplier: rapid.Float64Range(1, 10).Draw(t, "multiplier"),
		}
		answer := egress.Result{
			StatusCode: rapid.IntRange(0, 700).Draw(t, "status"),
			Header: http.Header{
				"Retry-After": {rapid.OneOf(rapid.String(), rapid.StringMatching(`[0-9]{1,25}(\.[0-9]*)?`)).Draw(t, "retry-after")},
				"Location":    {rapid.String().Draw(t, "location")},
			},
		}
		attempt := rapid.Uint32Range(1, 40).Draw(t, "attempt")
		chance := rapid.Float64Range(0, 0.999999).Draw(t, "chance")

		v := judge(answer, to(attempt), retries, noon, chance)

		require.Equal(t, v, judge(answer, to(attempt), retries, noon, chance), "judge is pure")
		require.NotEqual(t, webhooksv1.Outcome_OUTCOME_UNSPECIFIED, v.outcome)
		require.Equal(t, v.outcome == webhooksv1.Outcome_OUTCOME_RETRY, !v.next.IsZero())
		if !v.next.IsZero() {
			require.Less(t, attempt, uint32(retries.Attempts))
			require.False(t, v.next.Before(noon.Add(retries.wait(attempt, 0))), "earlier than the schedule")
			require.False(t, v.next.Before(v.pauseUntil), "earlier than asked")
			require.False(t, v.next.After(noon.Add(max(24*time.Hour, maxWait+maxWait/5))))
		}
		if !v.pauseUntil.IsZero() {
			require.False(t, v.pauseUntil.Before(noon.Add(time.Second)))
			require.False(t, v.pauseUntil.After(noon.Add(24*time.Hour)))
		}
		require.Less(t, len(v.detail), 2000)
	})
}

// A receiver can put any byte into a header. One that is no text once made a
// record unwritable, and with it all the records of its batch.
func TestRecordIsTextWhateverTheReceiverSent(t *testing.T) {
	bad := "x:\xff\xfe"
	answer := egress.Result{StatusCode: 302, Header: http.Header{"Location": {bad}, "X-\xff": {bad, "\x80"}}, Body: []byte("\xff")}
	v := judge(answer, to(1), defaults, noon, 0)
	record := newRecord(&Delivery{ID: "dlv_1", Attempt: 1}, v, noon)
	record.Response = response(answer, &registry.Webhook{})

	assert.True(t, utf8.ValidString(record.GetDetail()), "%q", record.GetDetail())
	for _, header := range record.GetResponse().GetHeaders() {
		assert.True(t, utf8.ValidString(header.GetName()+header.GetValue()), "%q", header)
	}
	assert.Equal(t, []byte("\xff"), record.GetResponse().GetBody(), "bytes stay as received")
}

func TestRecordKeepsABoundedPartOfTheHeaders(t *testing.T) {
	header := http.Header{}
	for i := range 100 {
		header.Set("X-"+strconv.Itoa(1000+i), strings.Repeat("é", 1000))
	}
	kept := response(egress.Result{StatusCode: 200, Header: header}, &registry.Webhook{}).GetHeaders()

	require.Len(t, kept, maxRecordedHeaders)
	for i, line := range kept {
		assert.Equal(t, "X-"+strconv.Itoa(1000+i), line.GetName(), "in the order of their names")
		assert.LessOrEqual(t, len(line.GetValue()), maxRecordedValue)
		assert.True(t, utf8.ValidString(line.GetValue()))
	}
	assert.Nil(t, response(egress.Result{}, &registry.Webhook{}), "nothing came back")
}
