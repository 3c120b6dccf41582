package portal_test

import (
	"html"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/words"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
)

const (
	isDelivered = webhooksv1.Outcome_OUTCOME_DELIVERED
	isRetried   = webhooksv1.Outcome_OUTCOME_RETRY
	isGivenUp   = webhooksv1.Outcome_OUTCOME_EXHAUSTED
)

// record puts attempts into the log of a webhook as the recorder does, a second after
// each other unless they say when. It returns the paths of their pages.
func (s *site) record(one string, list ...*webhooksv1.Attempt) []string {
	s.t.Helper()
	id := one[strings.LastIndexByte(one, '/')+1:]
	entries, paths := make([]*webhooksv1.LogEntry, len(list)), make([]string, len(list))
	for i, x := range list {
		if x.GetStartedAt() == nil {
			x.StartedAt = timestamppb.New(time.Now().Add(time.Duration(i-len(list)) * time.Second))
		}
		key := ulid.MustNew(ulid.Timestamp(x.GetStartedAt().AsTime()), ulid.DefaultEntropy())
		x.Id, x.ProjectId, x.WebhookId = key.String(), "p1", id
		if x.GetEventType() == "" {
			x.EventType, x.EventId = "report.generated", "evt_1"
		}
		if x.GetDeliveryId() == "" {
			x.DeliveryId = "dlv_" + key.String()
		}
		if x.GetTrigger() == 0 {
			x.Trigger = webhooksv1.Trigger_TRIGGER_EVENT
		}
		if x.GetNumber() == 0 {
			x.Number = 1
		}
		entries[i], paths[i] = activity.Entry(x, key), one+"/deliveries/"+x.GetId()
	}
	_, err := s.store.InsertAttempts(s.t.Context(), list)
	require.NoError(s.t, err)
	require.NoError(s.t, s.store.AppendLog(s.t.Context(), "p1", id, entries, func(string) bool { return false }))
	return paths
}

// readable is what a page shows, without its markup.
func readable(page answer) string {
	var text strings.Builder
	for part := range strings.SplitSeq(page.body, "<") {
		_, shown, _ := strings.Cut(part, ">")
		text.WriteString(" " + shown)
	}
	return strings.Join(strings.Fields(html.UnescapeString(text.String())), " ")
}

// What an attempt can meet: a reason with each of its causes and phases, and what the
// client that sends notes about it.
func everyFailure() []*webhooksv1.Attempt {
	const closed, protocol = webhooksv1.Reason_REASON_CONNECTION_CLOSED, webhooksv1.Reason_REASON_PROTOCOL
	list := []*webhooksv1.Attempt{
		{Reason: protocol, Detail: "The receiver's answer is not valid HTTP, or its headers are larger than 64 KiB."},
		{Reason: protocol, StatusCode: 101, Detail: "The receiver answered 101, which does not answer a POST."},
		{Reason: closed, Detail: "The receiver closed the connection before it answered."},
		{Reason: webhooksv1.Reason_REASON_DNS, Cause: webhooksv1.Cause_CAUSE_NAME_NOT_FOUND, Detail: "The host name in the URL does not exist."},
		{Reason: webhooksv1.Reason_REASON_CONNECT, Cause: webhooksv1.Cause_CAUSE_REFUSED, Detail: "The receiver refused the connection."},
		{Reason: webhooksv1.Reason_REASON_CONNECT, Detail: "The receiver did not accept a connection within 10s."},
		{Reason: webhooksv1.Reason_REASON_CERTIFICATE, Cause: webhooksv1.Cause_CAUSE_CERTIFICATE_EXPIRED, Detail: "The receiver's certificate expired at 2026-01-20 12:00:00 UTC."},
		{Reason: webhooksv1.Reason_REASON_TLS, Detail: "The receiver ended the TLS connection."},
		{Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 500, Detail: "The receiver answered 500 Internal Server Error. The headers of the response are not valid HTTP or are too large; its status counts."},
	}
	answered := map[webhooksv1.Reason]uint32{
		webhooksv1.Reason_REASON_STATUS: 404, webhooksv1.Reason_REASON_REDIRECT: 301, webhooksv1.Reason_REASON_THROTTLED: 429,
	}
	for value := range webhooksv1.Reason_name {
		if reason := webhooksv1.Reason(value); reason != webhooksv1.Reason_REASON_UNSPECIFIED {
			list = append(list, &webhooksv1.Attempt{Reason: reason, StatusCode: answered[reason]})
		}
	}
	for value := range webhooksv1.Phase_name {
		list = append(list, &webhooksv1.Attempt{Reason: webhooksv1.Reason_REASON_TIMEOUT, Timing: &webhooksv1.Timing{WaitUs: 15e6, EndedIn: webhooksv1.Phase(value)}})
	}
	for value := range webhooksv1.Cause_name {
		x := &webhooksv1.Attempt{Reason: webhooksv1.Reason_REASON_CONNECT, Cause: webhooksv1.Cause(value)}
		if x.GetCause() > webhooksv1.Cause_CAUSE_REQUEST_REFUSED { // what chats say with their answer
			x.Reason, x.StatusCode = webhooksv1.Reason_REASON_STATUS, 404
		}
		list = append(list, x)
	}
	return list
}

// Whatever became of an attempt, its page has the sentence, the advice and what was
// noted, in the reader's language, and says why nothing came back.
func TestEveryReasonIsToldOnItsPage(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://hooks.slack.com/services/T/B/X")
	list := everyFailure()
	for i, x := range list {
		x.Outcome, x.Number, x.DurationUs = isGivenUp, 3, 12_000
		x.Request = &webhooksv1.Request{Url: "https://hooks.slack.com/services/T/B/X", BodyBytes: 7}
		x.StartedAt = timestamppb.New(time.Now().Add(time.Duration(i-len(list)) * time.Second))
	}
	for i, path := range s.record(one, list...) {
		x := list[i]
		for _, in := range words.Languages() {
			b.header.Set("Accept-Language", in.Tag())
			page := b.get(path)
			require.Equal(t, http.StatusOK, page.status, path)
			text := readable(page)
			said := words.Say(words.Fact{
				Outcome: x.GetOutcome(), Reason: x.GetReason(), Cause: x.GetCause(), Phase: x.GetTiming().GetEndedIn(),
				StatusCode: int(x.GetStatusCode()), Took: 12 * time.Millisecond, BodyBytes: 7,
			}, in)
			name := strings.Join([]string{in.Tag(), x.GetReason().Label(), x.GetCause().Label(), x.GetDetail()}, " ")
			assert.NotEmpty(t, said.Advice, name)
			assert.Contains(t, text, said.Message, name)
			assert.Contains(t, text, said.Advice, name)
			_, back, isThere := strings.Cut(text, map[words.Language]string{words.English: "What came back", words.Dutch: "Wat er terugkwam"}[in])
			require.True(t, isThere, name)
			if noted := words.Noted(x.GetDetail(), in); noted != "" {
				assert.Contains(t, back, noted, name)
			}
			none := map[words.Language]string{words.English: "No answer.", words.Dutch: "Geen antwoord."}[in]
			assert.Equal(t, x.GetStatusCode() == 0, strings.Contains(back, none), name)
			if x.GetStatusCode() == 0 {
				_, why, _ := strings.Cut(back, none)
				why, _, isSentence := strings.Cut(why, ".")
				assert.True(t, isSentence && len(why) > 15, "%s: nothing says why: %s", name, back)
			}
			assert.NotContains(t, text, "reason."+x.GetReason().Label(), name)
		}
	}
}

// A test says the same of what came back, and whether nothing did.
func TestATestSaysWhyNothingCameBack(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	for _, row := range []struct {
		reply    *webhooksv1.Attempt
		en, nl   string
		answered bool
	}{
		{&webhooksv1.Attempt{Reason: webhooksv1.Reason_REASON_CONNECT, Detail: "The receiver did not accept a connection within 10s."}, "did not accept a connection within 10s.", "nam niet binnen 10s een verbinding aan.", false},
		{&webhooksv1.Attempt{Reason: webhooksv1.Reason_REASON_PROTOCOL, Detail: "The receiver's answer is not valid HTTP, or its headers are larger than 64 KiB."}, "or its headers are larger than 64 KiB.", "of de headers ervan zijn groter dan 64 KiB.", false},
		{&webhooksv1.Attempt{Reason: webhooksv1.Reason_REASON_INTERNAL}, "A fault on our side.", "Een fout aan onze kant.", false},
		{&webhooksv1.Attempt{Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 500}, "The answer had no body.", "Het antwoord had geen inhoud.", true},
	} {
		row.reply.Outcome, row.reply.StartedAt = isGivenUp, timestamppb.Now()
		s.reply = row.reply
		for language, want := range map[string][2]string{"en": {row.en, "Nothing came back."}, "nl": {row.nl, "Er kwam niets terug."}} {
			b.header.Set("Accept-Language", language)
			text := readable(b.fill(one+"/test", "event", "webhook.test", "format", "json"))
			assert.Contains(t, text, want[0])
			assert.Equal(t, !row.answered, strings.Contains(text, want[1]), text)
		}
	}
}

// A test says what a host and a developer want to know of it: what became of it, why and
// what to do, what was answered, and where the time went.
func TestATestSaysWhatBecameOfIt(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	s.reply = &webhooksv1.Attempt{
		Outcome: isGivenUp, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 404, StartedAt: timestamppb.Now(), DurationUs: 30_000,
		Timing:   &webhooksv1.Timing{DnsUs: 5_000, ConnectUs: 7_000, TlsUs: 8_000, WaitUs: 10_000},
		Response: &webhooksv1.Response{Body: []byte("no such hook")},
	}
	text := readable(b.fill(one+"/test", "event", "report.generated", "format", "slack"))
	assert.Regexp(t, `Not delivered The receiver answered 404 Not Found: nothing is listening at this URL\. Check that the URL is complete and still in use\. `+
		`Sent \d+ \w+, \d\d:\d\d:\d\d UTC Answered 404 Not Found Took 30 ms Where the time went Looking up the name 5 ms Connecting 7 ms `+
		`Agreeing on encryption 8 ms Waiting for the answer 10 ms What the receiver said no such hook`, text)
}

// A row says what became of the delivery, after how many tries, and what comes next.
func TestARowSaysWhatHappensNext(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	failed := func(delivery string, number uint32, outcome webhooksv1.Outcome, next time.Duration) *webhooksv1.Attempt {
		x := &webhooksv1.Attempt{
			DeliveryId: delivery, Number: number, Outcome: outcome, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 500, DurationUs: 25_000,
		}
		if outcome == isRetried {
			x.NextAttemptAt = timestamppb.New(time.Now().Add(next))
		}
		return x
	}
	notMade := failed("dlv_6", 4, isGivenUp, 0)
	notMade.Reason, notMade.StatusCode = webhooksv1.Reason_REASON_RECEIVER_FAILING, 0
	tested := failed("dlv_5", 1, isGivenUp, 0)
	tested.Trigger, tested.EventType = webhooksv1.Trigger_TRIGGER_TEST, "webhook.test"
	list := []*webhooksv1.Attempt{
		failed("dlv_1", 1, isRetried, -time.Minute), failed("dlv_1", 2, isRetried, 9*time.Minute),
		failed("dlv_2", 1, isRetried, -time.Minute), failed("dlv_2", 2, isRetried, -time.Second),
		{DeliveryId: "dlv_2", Number: 3, Outcome: isDelivered, StatusCode: 200},
		failed("dlv_3", 1, isGivenUp, 0), failed("dlv_4", 1, isRetried, -time.Minute), tested, notMade,
		{DeliveryId: "dlv_7", Outcome: isDelivered, StatusCode: 200},
		{DeliveryId: "dlv_8", Outcome: isGivenUp, Reason: webhooksv1.Reason_REASON_RECEIVER_FAILING},
	}
	paths := s.record(one, list...)
	page := b.get(one + "/deliveries")
	row := func(i int) string {
		_, after, found := strings.Cut(page.body, `href="`+paths[i]+`"`)
		require.True(t, found)
		before, _, _ := strings.Cut(after, "</li>")
		return readable(answer{body: "<" + before})
	}
	for i, want := range []string{
		0: "Failed", 1: "Waiting to try again", 2: "Failed", 3: "Failed", 4: "Delivered after 3 tries", 5: "Given up after 1 try",
		6: "Waiting to try again", 7: "Not delivered", 8: "Given up after 3 tries", 9: "Delivered",
	} {
		assert.True(t, strings.HasPrefix(row(i), want+" "), "%d: %s", i, row(i))
	}
	assert.Contains(t, row(1), "Next try in 8 minutes")
	assert.Contains(t, row(6), "The next try comes as soon as the receiver takes deliveries again")
	for _, over := range []int{0, 2, 3} {
		assert.NotContains(t, row(over), "ext try", "it was made")
		assert.NotContains(t, row(over), "will be tried again")
	}
	assert.NotContains(t, page.body, "Delivered after 1 ")
	assert.Contains(t, row(1), "25 ms")
	assert.Contains(t, row(9), "less than 1 ms", "how long is always said")
	assert.NotContains(t, row(10), " ms", "nothing was sent")
	b.header.Set("Accept-Language", "nl")
	page = b.get(one + "/deliveries")
	assert.Contains(t, row(4), "Bezorgd na 3 pogingen")
	assert.Contains(t, row(5), "Opgegeven na 1 poging ")
	assert.Contains(t, row(1), "Volgende poging over 8 minuten")
	assert.Contains(t, row(7), "Niet bezorgd")
	b.header.Set("Accept-Language", "en")

	// Its page has every try, the first one first, with its answer, how long it took,
	// and the one that is planned at the end.
	text := readable(b.get(paths[1]))
	_, timeline, _ := strings.Cut(text, "Every try of this delivery")
	first, second := strings.Index(timeline, "Failed 500"), strings.Index(timeline, "Waiting to try again 500")
	next := strings.Index(timeline, "Next try in 8 minutes")
	assert.True(t, 0 < first && first < second && second < next, timeline)
	assert.Equal(t, 2, strings.Count(timeline[:next], "25 ms"), timeline)
	// The page of an earlier try says what came of it in the end.
	text = readable(b.get(paths[2]))
	assert.Contains(t, text, "Tried again since: Delivered after 3 tries")
	assert.NotContains(t, readable(b.get(paths[4])), "Tried again since")
	text = readable(b.get(paths[7]))
	assert.Contains(t, text, "Not delivered")
	assert.NotContains(t, text, "Given up")
}
