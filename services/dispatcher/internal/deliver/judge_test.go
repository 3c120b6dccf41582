package deliver

import (
	"net/http"
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
)

var (
	defaults = Retries{Attempts: 10, First: 5 * time.Second, Multiplier: 3.7}
	noon     = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
)

// wantOf is the table of judge's comment, written a second time.
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

func TestJudgeEveryStatus(t *testing.T) {
	statuses := []int{-1, 1, 99, 1000, 99999}
	for status := 100; status <= 700; status++ {
		statuses = append(statuses, status)
	}
	for _, status := range statuses {
		for _, attempt := range []uint32{1, 2, 9, 10, 11} {
			v := judge(egress.Result{StatusCode: status}, attempt, defaults, noon, 0)

			outcome, reason := wantOf(status)
			if outcome == webhooksv1.Outcome_OUTCOME_UNSPECIFIED {
				outcome = webhooksv1.Outcome_OUTCOME_RETRY
				if attempt >= 10 {
					outcome = webhooksv1.Outcome_OUTCOME_EXHAUSTED
				}
			}
			require.Equal(t, outcome, v.outcome, "status %d, attempt %d", status, attempt)
			require.Equal(t, reason, v.reason, "status %d, attempt %d", status, attempt)
			require.Equal(t, outcome == webhooksv1.Outcome_OUTCOME_DELIVERED, v.detail == "", "status %d has the detail %q", status, v.detail)
			require.True(t, v.pauseUntil.IsZero(), "nothing was asked for")
			if outcome == webhooksv1.Outcome_OUTCOME_RETRY {
				require.Equal(t, noon.Add(defaults.Wait(attempt, 0)), v.next)
			} else {
				require.True(t, v.next.IsZero(), "status %d, attempt %d", status, attempt)
			}
		}
	}
}

func TestJudgeEveryReason(t *testing.T) {
	for number := range webhooksv1.Reason_name {
		reason := webhooksv1.Reason(number)
		if reason == webhooksv1.Reason_REASON_UNSPECIFIED {
			continue
		}
		v := judge(egress.Result{Reason: reason, Detail: "It went wrong."}, 1, defaults, noon, 0)

		assert.Equal(t, webhooksv1.Outcome_OUTCOME_RETRY, v.outcome, reason)
		assert.Equal(t, reason, v.reason)
		assert.Equal(t, "It went wrong.", v.detail, reason)
		assert.Equal(t, noon.Add(5*time.Second), v.next, reason)

		v = judge(egress.Result{Reason: reason, Detail: "It went wrong."}, 10, defaults, noon, 0)
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
			v := judge(answer, 1, defaults, noon, 0)

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

	v := judge(answer, 10, defaults, noon, 0)

	assert.Equal(t, webhooksv1.Outcome_OUTCOME_EXHAUSTED, v.outcome)
	assert.True(t, v.next.IsZero())
	assert.Equal(t, noon.Add(time.Minute), v.pauseUntil)
}

func TestRetryAfterMeansNothingElsewhere(t *testing.T) {
	for _, status := range []int{200, 301, 404, 410, 500, 502} {
		v := judge(egress.Result{StatusCode: status, Header: http.Header{"Retry-After": {"3600"}}}, 1, defaults, noon, 0)
		assert.True(t, v.pauseUntil.IsZero(), status)
		if !v.next.IsZero() {
			assert.Equal(t, noon.Add(5*time.Second), v.next, status)
		}
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

		v := judge(answer, attempt, retries, noon, chance)

		require.Equal(t, v, judge(answer, attempt, retries, noon, chance), "judge is pure")
		require.NotEqual(t, webhooksv1.Outcome_OUTCOME_UNSPECIFIED, v.outcome)
		require.Equal(t, v.outcome == webhooksv1.Outcome_OUTCOME_RETRY, !v.next.IsZero())
		if !v.next.IsZero() {
			require.Less(t, attempt, uint32(retries.Attempts))
			require.False(t, v.next.Before(noon.Add(retries.Wait(attempt, 0))), "earlier than the schedule")
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

func TestCase1RedirectIsExplained(t *testing.T) {
	const advice = ". Redirects are not followed; register the final URL instead."
	for location, want := range map[string]string{
		"":                                      "",
		"https://new.example/hook":              " to https://new.example/hook",
		"/elsewhere":                            " to /elsewhere",
		"https://me:pw@new.example/h?token=x#":  " to https://new.example/h",
		"://":                                   "",
		"https://x/" + strings.Repeat("a", 600): "",
	} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			v := judge(egress.Result{StatusCode: status, Header: http.Header{"Location": {location}}}, 1, defaults, noon, 0)
			name := strconv.Itoa(status) + " " + http.StatusText(status)
			assert.Equal(t, "The receiver answered "+name+want+advice, v.detail)
		}
	}
}

// A receiver can put any byte into a header. One that is no text once made a
// record unwritable, and with it all the records of its batch.
func TestRecordIsTextWhateverTheReceiverSent(t *testing.T) {
	bad := "x:\xff\xfe"
	answer := egress.Result{StatusCode: 302, Header: http.Header{"Location": {bad}, "X-\xff": {bad, "\x80"}}, Body: []byte("\xff")}
	v := judge(answer, 1, defaults, noon, 0)
	record := newRecord(&Delivery{ID: "dlv_1", Attempt: 1}, v, noon)
	record.Response = response(answer)

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
	kept := response(egress.Result{StatusCode: 200, Header: header}).GetHeaders()

	require.Len(t, kept, maxRecordedHeaders)
	for i, line := range kept {
		assert.Equal(t, "X-"+strconv.Itoa(1000+i), line.GetName(), "in the order of their names")
		assert.LessOrEqual(t, len(line.GetValue()), maxRecordedValue)
		assert.True(t, utf8.ValidString(line.GetValue()))
	}
	assert.Nil(t, response(egress.Result{}), "nothing came back")
}
