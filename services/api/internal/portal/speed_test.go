package portal_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// fullProject fills a project with as many webhooks as it can have, each with that
// many attempts in the last days, of which some failed; every fifth webhook fails. It
// returns the path of one that fails.
func (s *site) fullProject(attempts int) string {
	s.t.Helper()
	path := ""
	for i := range 50 {
		w := store.Webhook{
			ID: registration.NewID(), ProjectID: "p1", Name: fmt.Sprintf("Interviews of district %d to the archive", i),
			URL: fmt.Sprintf("https://hooks.zapier.com/hooks/catch/%d/abcdefgh", i), Events: event.Types(),
			Status: registration.Published, CreatedAt: time.Now().UTC(),
		}
		_, err := s.store.Create(s.t.Context(), w, 50)
		require.NoError(s.t, err)
		fails := i%5 == 0
		log := make([]*webhooksv1.LogEntry, attempts)
		for j := range log {
			log[j] = weekOld(j, attempts, j%9 == 0 || fails && j == attempts-1)
		}
		require.NoError(s.t, s.store.AppendLog(s.t.Context(), "p1", w.ID, log, func(string) bool { return false }))
		health := store.Health{LastAttemptAt: new(time.Now()), LastSuccessAt: new(time.Now())}
		if fails {
			health.LastSuccessAt, health.FailingSince = new(time.Now().Add(-time.Hour)), new(time.Now())
			path = overview + "/" + w.ID
		}
		_, err = s.store.MergeHealth(s.t.Context(), w.ID, health)
		require.NoError(s.t, err)
	}
	return path
}

// weekOld is one attempt of many, spread over a week.
func weekOld(number, of int, failed bool) *webhooksv1.LogEntry { //nolint:revive // that is what became of it
	at := time.Now().Add(-7 * 24 * time.Hour).Add(time.Duration(number) * 7 * 24 * time.Hour / time.Duration(of))
	e := &webhooksv1.Attempt{
		DeliveryId: "dlv_" + ulid.Make().String(), EventId: "evt_" + ulid.Make().String(), EventType: "conversation.summarized",
		Number: 1, Trigger: webhooksv1.Trigger_TRIGGER_EVENT, DurationUs: 83_000,
		Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: 200,
	}
	if failed {
		e.Outcome, e.Reason, e.StatusCode = webhooksv1.Outcome_OUTCOME_RETRY, webhooksv1.Reason_REASON_STATUS, 404
	}
	return activity.Entry(e, ulid.MustNewDefault(at))
}

// busy gives a webhook a delivery of a week ago that was tried three times, that many
// attempts at others since, and one more at that delivery. It returns the pages of its
// attempts.
func (s *site) busy(one string, attempts int) []string {
	s.t.Helper()
	began := time.Now().Add(-7 * 24 * time.Hour)
	at := func(number uint32, after time.Duration, outcome webhooksv1.Outcome, trigger webhooksv1.Trigger) *webhooksv1.Attempt {
		return &webhooksv1.Attempt{
			DeliveryId: "dlv_old", Number: number, Trigger: trigger, Outcome: outcome, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 500 + number,
			StartedAt: timestamppb.New(began.Add(after)), OccurredAt: timestamppb.New(began),
		}
	}
	fill := func(attempts int) {
		log := make([]*webhooksv1.LogEntry, attempts)
		for i := range log {
			log[i] = weekOld(i, attempts, i%100 == 0)
		}
		require.NoError(s.t, s.store.AppendLog(s.t.Context(), "p1", one[strings.LastIndexByte(one, '/')+1:], log, func(string) bool { return false }))
	}
	const byItself = webhooksv1.Trigger_TRIGGER_EVENT
	paths := s.record(one, at(1, 0, isRetried, byItself), at(2, time.Minute, isRetried, byItself))
	fill(attempts / 100)
	paths = append(paths, s.record(one, at(3, time.Hour, isGivenUp, byItself))...)
	fill(attempts)
	return append(paths, s.record(one, at(4, 7*24*time.Hour, isGivenUp, webhooksv1.Trigger_TRIGGER_RESEND))...)
}

// The page of an attempt has all others of its delivery, also where thousands of
// others came in between.
func TestATimelineOfABusyWebhookIsWhole(t *testing.T) {
	here := newSite(t)
	b := here.as("good")
	for i, path := range here.busy(b.add("url", "https://hooks.example.org/1", "name", "Busy"), 5_000) {
		_, timeline, _ := strings.Cut(readable(b.get(path)), "Every try of this delivery")
		for _, code := range []string{"501", "502", "503", "504"} {
			assert.Contains(t, timeline, code, "attempt %d", i+1)
		}
		// Of the last one by itself, no others are looked for that came soon after it.
		assert.Equal(t, i == 2, strings.Contains(timeline, "A try may be missing"), "attempt %d", i+1)
	}
}

// Where so much came in between that a try may be missing, the page says so, says since
// when, and leads to where all are found.
func TestATimelineSaysWhereItMayHaveAGap(t *testing.T) {
	const many = 9_000
	here := newSite(t)
	b := here.as("good")
	one := b.add("url", "https://hooks.example.org/1")
	fill := func(from, to int) {
		log := make([]*webhooksv1.LogEntry, 0, to-from)
		for i := from; i < to; i++ {
			log = append(log, weekOld(i, many, false))
		}
		require.NoError(t, here.store.AppendLog(t.Context(), "p1", one[strings.LastIndexByte(one, '/')+1:], log, func(string) bool { return false }))
	}
	began := time.Now().Add(-7 * 24 * time.Hour)
	try := func(number uint32, after time.Duration, trigger webhooksv1.Trigger) string {
		return here.record(one, &webhooksv1.Attempt{
			DeliveryId: "dlv_old", Number: number, Trigger: trigger, Outcome: isRetried, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 500 + number,
			StartedAt: timestamppb.New(began.Add(after)), OccurredAt: timestamppb.New(began),
		})[0]
	}
	first := try(1, 0, webhooksv1.Trigger_TRIGGER_EVENT)
	fill(0, many/2)
	try(2, 84*time.Hour, webhooksv1.Trigger_TRIGGER_RESEND)
	fill(many/2, many)
	page := b.get(first)
	_, timeline, _ := strings.Cut(readable(page), "Every try of this delivery")
	require.NotContains(t, timeline, "502", "else there is nothing to say")
	assert.Contains(t, timeline, "A try may be missing that was made after")
	assert.Contains(t, page.body, `href="`+one+`/deliveries?id=dlv_old"`)
}

// Fifty webhooks are one page of a reasonable size, made in a reasonable time.
func TestAFullProjectIsOnePage(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	for i := range 50 {
		page := b.fill(overview+"/new", "form", fmt.Sprintf("form-%d", i), "url", fmt.Sprintf("https://example.org/%d", i), "name", strings.Repeat("A long name ", 10), "events", "report.generated")
		require.Equal(t, http.StatusSeeOther, page.status, page.body)
	}
	// Under the race detector, which costs about four times what the page itself takes;
	// and time and again, because whatever else the machine does then counts, too.
	const reasonable = 400 * time.Millisecond
	quickest := time.Hour
	for range 50 {
		if quickest < reasonable {
			break
		}
		began := time.Now()
		page := b.get(overview)
		quickest = min(quickest, time.Since(began))
		assert.Contains(t, page.body, "This project has 50 webhooks, which is the most it can have.")
		assert.LessOrEqual(t, len(page.body), 300<<10)
	}
	t.Logf("the overview of 50 webhooks took %s", quickest)
	assert.Less(t, quickest, reasonable, "of which none was ever used")
}

// fullPages are the pages of such a project by name, one delivery with as long an answer
// as is kept.
func (s *site) fullPages(attempts int) map[string]string {
	s.t.Helper()
	failing := s.fullProject(attempts)
	long := `{"errors": [` + strings.Repeat(`{"field": "summary", "message": "Must not be empty."},`, 300) + `{}]}`
	answered := s.record(failing, &webhooksv1.Attempt{
		Outcome: isRetried, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 404,
		Request:  &webhooksv1.Request{Url: "https://hooks.zapier.com/hooks/catch/1/abcdefgh", BodyBytes: 4000, Signed: true},
		Response: &webhooksv1.Response{Body: []byte(long), Headers: []*webhooksv1.Header{{Name: "Content-Type", Value: "application/json"}}},
	})
	return map[string]string{
		"overview": overview, "failing": overview + "?show=failing", "summary": failing, "deliveries": failing + "/deliveries?limit=100",
		"delivery": answered[0], "statistics": failing + "/statistics", "developer": failing + "/developer", "settings": failing + "/edit",
		"test": failing + "/test", "secret": failing + "/secret", "check": failing + "/check",
	}
}

// A full project with a full log is shown at once, also on a slow line.
func TestPagesOfAFullProjectAreSmall(t *testing.T) {
	here := newSite(t)
	pages := here.fullPages(300)
	for _, language := range []string{"en", "nl"} {
		host := here.as("good")
		host.header.Set("Accept-Language", language)
		for name, path := range pages {
			page := host.get(path)
			require.Equal(t, http.StatusOK, page.status, name)
			assert.LessOrEqual(t, len(page.body), 100_000, name)
			t.Logf("%s, %s: %d bytes", name, language, len(page.body))
		}
	}
	page := here.as("good").get(overview).body
	assert.LessOrEqual(t, len(page), 90_000)
	assert.Equal(t, 50, strings.Count(page, `<article class="card webhook"`))
	assert.Equal(t, 10, strings.Count(page, "The receiver answered 404"), "each says why it fails")
	assert.Equal(t, 50, strings.Count(page, "<figcaption>"), "each chart is said in words")
	assert.NotContains(t, page, `role="img"`, "and that once")
}

// The pages that are looked at most, of such a project with 100,000 attempts in the log,
// half of them of one webhook: how long the one that took longest of a hundred takes, and
// how much CPU time.
func BenchmarkPages(b *testing.B) {
	here := newSite(b)
	pages := here.fullPages(1000)
	began := time.Now()
	for _, name := range []string{"overview", "overview"} { // what a host waits for after a start
		here.as("good").get(pages[name])
		b.Logf("%s, the first time: %s", name, time.Since(began))
		began = time.Now()
	}
	for i, path := range here.busy(pages["summary"], 50_000) {
		pages[fmt.Sprintf("old-delivery-%d", i+1)] = path
	}
	pages["search"] = pages["summary"] + "/deliveries?id=evt_" + ulid.Make().String()
	host := here.as("good")
	for _, name := range []string{
		"overview", "failing", "summary", "deliveries", "search", "delivery", "old-delivery-1", "old-delivery-2", "old-delivery-4", "statistics",
	} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			bytes, before := 0, cpuTime(b)
			for b.Loop() {
				began := time.Now()
				page := host.get(pages[name])
				took = append(took, time.Since(began))
				require.Equal(b, http.StatusOK, page.status)
				bytes = len(page.body)
			}
			ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
			b.ReportMetric(ms(cpuTime(b)-before)/float64(len(took)), "cpu-ms/op")
			slices.Sort(took)
			b.ReportMetric(ms(took[0]), "min-ms")
			b.ReportMetric(ms(took[len(took)/2]), "median-ms")
			b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
			b.ReportMetric(ms(took[len(took)-1]), "max-ms")
			b.ReportMetric(float64(bytes)/1024, "KiB")
		})
	}
}

// cpuTime is what this process has used so far: database, API, pages and browser.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var used syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
