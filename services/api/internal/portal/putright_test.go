package portal_test

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/httpapi"
	"github.com/dembrane/webhooks/services/api/internal/ledger"
	"github.com/dembrane/webhooks/services/api/internal/portal"
	"github.com/dembrane/webhooks/services/api/internal/replay"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// storedSite is a site whose events are in a broker. Nobody delivers them.
type storedSite struct {
	*site

	js jetstream.JetStream
	// answer stands for the API's to a request of the pages; nil for none.
	answer func(*http.Request) *httpapi.Answer
}

// overheard are pages whose requests to the API are overheard.
type overheard struct {
	*portal.Portal

	answer func(*http.Request) *httpapi.Answer
}

func (o overheard) Route(e *echo.Echo, call httpapi.Call) {
	o.Portal.Route(e, func(c echo.Context, request *http.Request) httpapi.Answer {
		if answer := o.answer(request); answer != nil {
			return *answer
		}
		return call(c, request)
	})
}

func newStoredSite(t *testing.T) *storedSite {
	t.Helper()
	js, err := jetstream.New(natstest.Start(t, natstest.Embedded()).Connect(t))
	require.NoError(t, err)
	require.NoError(t, topology.Ensure(t.Context(), js, topology.Settings{Replicas: 1, EventsMaxAge: 7 * 24 * time.Hour, DuplicateWindow: time.Minute}))
	s := &storedSite{js: js, answer: func(*http.Request) *httpapi.Answer { return nil }}
	s.site = newSiteWith(t, portal.Deps{
		SessionCookie: sessionCookie, SignIn: true, EventsKept: 7 * 24 * time.Hour, AttemptsKept: 7 * 24 * time.Hour, Log: zap.NewNop(),
	}, func(deps *httpapi.Deps) {
		deps.Replays = replay.New(replay.Deps{Store: deps.Store, JS: js, Log: zap.NewNop()})
		deps.Ledger = ledger.New(ledger.Deps{Store: deps.Store, JS: js})
		pages, isPortal := deps.Pages.(*portal.Portal)
		require.True(t, isPortal)
		deps.Pages = overheard{Portal: pages, answer: func(r *http.Request) *httpapi.Answer { return s.answer(r) }}
	})
	return s
}

// counts has a dry run find so many, all of this moment. A real one takes seconds
// where nobody delivers.
func (s *storedSite) counts(n int) {
	if n == 0 {
		s.estimate(`{"count":0,"complete":true}`)
		return
	}
	now := time.Now().UTC().Format(time.RFC3339)
	s.estimate(fmt.Sprintf(`{"count":%d,"oldest":%q,"newest":%q,"estimated_seconds":1,"complete":true}`, n, now, now))
}

// estimate has every dry run answer so.
func (s *storedSite) estimate(found string) {
	s.answer = func(r *http.Request) *httpapi.Answer {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/replay") || r.Header.Get("Idempotency-Key") != "" {
			return nil
		}
		asked, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Contains(asked, []byte(`"dry_run":true`)) {
			return &httpapi.Answer{Status: http.StatusTeapot} // it would send all of it
		}
		return &httpapi.Answer{Status: http.StatusOK, Body: []byte(found)}
	}
}

// publish stores events, which nobody takes in.
func (s *storedSite) publish(ids ...string) {
	s.t.Helper()
	for _, id := range ids {
		msg := nats.NewMsg(topology.SubjectEvent("p1", "report.generated"))
		msg.Header.Set(nats.MsgIdHdr, id)
		msg.Data = fmt.Appendf(nil, `{"id":%q,"type":"report.generated","occurred_at":"2026-01-20T12:00:00Z","project":{"id":"p1"},"report":{"id":"1"}}`, id)
		_, err := s.js.PublishMsg(s.t.Context(), msg)
		require.NoError(s.t, err)
	}
}

// fails makes a webhook one that has been failing for an hour.
func (s *site) fails(one string) {
	s.t.Helper()
	_, err := s.store.MergeHealth(s.t.Context(), one[strings.LastIndexByte(one, '/')+1:], store.Health{
		LastAttemptAt: new(time.Now()), FailingSince: new(time.Now().Add(-time.Hour)),
	})
	require.NoError(s.t, err)
}

// What is missing is counted in words, and a receiver that still fails is tested
// before everything is sent to it: without leaving the page.
func TestAReceiverIsTestedBeforeEverythingIsSent(t *testing.T) {
	s := newStoredSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	page := one + "/replays?since=day&only=missed"
	s.counts(0)
	assert.Contains(t, readable(b.get(page)), "Nothing is missing")
	s.counts(1)
	text := readable(b.get(page))
	assert.Contains(t, text, "1 delivery is missing")
	assert.Contains(t, text, "Send it now")
	assert.Regexp(t, `Happened today \d\d:\d\d UTC\. It takes less than a minute\.`, text, "one moment is no span")
	s.counts(3)
	assert.Contains(t, readable(b.get(page)), "3 deliveries are missing")
	assert.Contains(t, readable(b.get(page)), "Send all 3 now")
	assert.NotContains(t, readable(b.get(page)), "still fails")
	b.header.Set("Accept-Language", "nl")
	assert.Contains(t, readable(b.get(page)), "3 bezorgingen ontbreken")
	assert.Contains(t, readable(b.get(page)), "Gebeurd vandaag")
	b.header.Set("Accept-Language", "en")

	s.fails(one)
	s.record(one, &webhooksv1.Attempt{Outcome: isRetried, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 404, NextAttemptAt: timestamppb.New(time.Now().Add(time.Hour))})
	text = readable(b.get(one + "/replays?since=failing&only=missed"))
	assert.Contains(t, text, "It still fails The receiver answered 404 Not Found: nothing is listening at this URL.")
	assert.Contains(t, text, "these would fail, too: send a test first")
	s.reply = &webhooksv1.Attempt{Outcome: isGivenUp, Reason: webhooksv1.Reason_REASON_DNS, StartedAt: timestamppb.Now()}
	test := func() string {
		where := regexp.MustCompile(`action="([^"]+/replays/test[^"]*)"`).FindStringSubmatch(b.get(one + "/replays?since=failing&only=missed").body)
		require.NotNil(t, where, "the form that sends a test")
		answered := b.post(html.UnescapeString(where[1]), "_token", b.token(page))
		require.Equal(t, http.StatusOK, answered.status)
		return readable(answered)
	}
	text = test()
	assert.Contains(t, text, "Not delivered The host name in the URL could not be looked up.")
	assert.Contains(t, text, "Send another test")
	assert.Contains(t, text, "3 deliveries are missing", "what was chosen is still there")
	s.reply = &webhooksv1.Attempt{Outcome: isDelivered, StatusCode: 200, StartedAt: timestamppb.Now()}
	text = test()
	assert.Contains(t, text, "Delivered: the receiver answered 200 OK")
	assert.NotContains(t, text, "send a test first")
	assert.Equal(t, http.StatusOK, b.get(one+"/replays/test?since=day").status, "loaded again")
	// A test in the log, from wherever it was sent, says that it works as well.
	s.record(one, &webhooksv1.Attempt{Outcome: isDelivered, StatusCode: 200, Trigger: webhooksv1.Trigger_TRIGGER_TEST})
	assert.NotContains(t, readable(b.get(page)), "It still fails")
}

// What is being sent to a receiver that takes nothing waits: the page says why, and a
// test that arrives has it go on. It is never only a bar that stands still.
func TestAReplayThatWaitsForItsReceiverSaysWhy(t *testing.T) {
	s := newStoredSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	_, err := s.store.StartReplay(t.Context(), store.Replay{
		ID: "r1", ProjectID: "p1", WebhookID: one[strings.LastIndexByte(one, '/')+1:], Only: replay.Missed, State: store.ReplayRunning,
		Total: new(int64(8)), Since: time.Now().Add(-time.Hour), CreatedAt: time.Now(),
	})
	require.NoError(t, err)
	page := b.get(one + "/replays")
	assert.Contains(t, readable(page), "Sending What never arrived")
	assert.Contains(t, page.body, `<div id="fails" data-live data-say="">`, "it shows up as soon as it fails")

	s.fails(one)
	s.record(one, &webhooksv1.Attempt{Outcome: isRetried, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 404, Trigger: webhooksv1.Trigger_TRIGGER_REPLAY, ReplayId: "r1"})
	page = b.get(one + "/replays")
	text := readable(page)
	assert.Contains(t, text, "Waiting What never arrived")
	assert.Contains(t, text, "0 of 8")
	assert.Contains(t, text, "It still fails The receiver answered 404 Not Found: nothing is listening at this URL.")
	assert.Contains(t, text, "when it arrives, the rest follows by itself. Send a test")
	assert.Contains(t, page.body, `data-say="It still fails: The receiver answered 404 Not Found`)
	assert.NotContains(t, text, "Count")
	test := func() string { return readable(b.post(one+"/replays/test", "_token", b.token(one))) }
	s.reply = &webhooksv1.Attempt{Outcome: isGivenUp, Reason: webhooksv1.Reason_REASON_DNS, StartedAt: timestamppb.Now()}
	text = test()
	assert.Contains(t, text, "Waiting What never arrived")
	assert.Contains(t, text, "Not delivered The host name in the URL could not be looked up.")
	assert.Contains(t, text, "Send another test")
	s.reply = &webhooksv1.Attempt{Outcome: isDelivered, StatusCode: 200, StartedAt: timestamppb.Now()}
	text = test()
	assert.Contains(t, text, "Sending What never arrived")
	assert.Contains(t, text, "Delivered: the receiver answered 200 OK")
}

// Days that are none, and what is not kept, are said; nothing is counted by mistake.
func TestPuttingRightADayOfOnesOwn(t *testing.T) {
	s := newStoredSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	s.counts(0)
	tomorrow := time.Now().AddDate(0, 0, 2).Format(time.DateOnly)
	for query, want := range map[string]string{
		"since=own":                  "Choose a day in the past.",
		"since=own&from=" + tomorrow: "still to come",
		"since=own&from=yesterday":   "That is no day.",
		"since=own&from=2020-01-01":  "Only the last 7 days are kept",
		"since=month":                "Only the last 7 days are kept",
		"since=week":                 "Nothing is missing",
	} {
		text := readable(b.get(one + "/replays?" + query))
		assert.Contains(t, text, want, query)
		assert.Equal(t, strings.Contains(want, "ept") || strings.Contains(want, "missing"), strings.Contains(text, "Nothing is missing"), query)
	}
	text := readable(b.get(one + "/missing?since=week"))
	assert.Contains(t, text, "Nothing happened in this time")
	assert.Contains(t, text, "Looked at: ")
}

// More than can be counted is said to be at least so much.
func TestADryRunThatIsTooLarge(t *testing.T) {
	s := newStoredSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	s.estimate(`{"count":250000,"oldest":"2026-01-20T12:00:00Z","newest":"2026-01-20T13:00:00Z","estimated_seconds":2501,"complete":false}`)
	text := readable(b.get(one + "/replays?since=day"))
	assert.Contains(t, text, "At least 250,000 deliveries are missing Happened 20 January, 12:00 to 13:00 UTC. There are more than could be counted in a moment.")
	assert.Contains(t, text, "Send all of them now")
}

// A webhook that is off is switched on by sending.
func TestPuttingRightSwitchesOn(t *testing.T) {
	s := newStoredSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	s.publish("evt_1", "evt_2")
	s.counts(2)
	b.post(one+"/enabled", "_token", b.token(one), "enabled", "false")
	page := one + "/replays?since=day&only=missed"
	counted := b.get(page)
	assert.Contains(t, readable(counted), "Switch on and send all 2")
	since := between(counted.body, `name="since" value="2`, `"`)
	form := []string{"_token", b.token(page), "form", "f1", "since", "2" + since, "only", "missed"}
	refused := b.post(one+"/replays", form...)
	assert.Equal(t, http.StatusConflict, refused.status, "it must be wanted")
	sent := b.post(one+"/replays", append(form, "enable", "true")...)
	assert.Equal(t, one+"/replays?done=replay", sent.header.Get("Location"), sent.body)
	text := readable(b.get(one + "/replays"))
	assert.Contains(t, text, "Sending What never arrived")
	assert.NotContains(t, text, "Switch on")
	assert.Contains(t, readable(b.get(one)), "Ready", "it is on")

	// One that runs, started here or elsewhere, is in the way of another.
	running := b.post(one+"/replays", "_token", b.token(one), "form", "f2", "since", "2"+since, "only", "missed")
	assert.Equal(t, http.StatusConflict, running.status)
	text = readable(running)
	assert.Contains(t, text, "or stop it first")
	assert.Contains(t, text, "Sending What never arrived")

	// It can be stopped.
	cancel := regexp.MustCompile(`action="([^"]+/cancel)"`).FindStringSubmatch(running.body)
	require.NotNil(t, cancel)
	assert.Equal(t, one+"/replays?done=cancelled", b.press(running, cancel[1]).header.Get("Location"))
	list, err := s.store.ListReplays(t.Context(), one[strings.LastIndexByte(one, '/')+1:], 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, store.ReplayCancelled, list[0].State)
	assert.Contains(t, readable(b.get(one+"/replays")), "Stopped · 0 arrived")
}

// After it is done the page says how many arrived, how many did not and why, with a
// way to those.
func TestAReplayThatHasEndedSaysWhatBecameOfIt(t *testing.T) {
	s := newStoredSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	id := one[strings.LastIndexByte(one, '/')+1:]
	ended := func(name string, at time.Time, delivered, failed int64) {
		_, err := s.store.StartReplay(t.Context(), store.Replay{
			ID: name, ProjectID: "p1", WebhookID: id, Only: replay.Missed, State: store.ReplayDone, Total: new(delivered + failed),
			Sent: delivered + failed, Delivered: delivered, Failed: failed, Since: at.Add(-time.Hour), CreatedAt: at, EndedAt: &at,
		})
		require.NoError(t, err)
		require.NoError(t, s.store.ReleaseReplay(t.Context(), store.RunningReplay{WebhookID: id, ReplayID: name}))
	}
	ended("r1", time.Now().Add(-3*time.Hour), 5, 1)
	text := readable(b.get(one + "/replays"))
	assert.Contains(t, text, "Earlier Done What never arrived")
	assert.Contains(t, text, "5 arrived, 1 did not arrive")
	ended("r2", time.Now().Add(-time.Minute), 7, 2)
	s.record(one,
		&webhooksv1.Attempt{Outcome: isGivenUp, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 422, Trigger: webhooksv1.Trigger_TRIGGER_REPLAY, ReplayId: "r2"},
		&webhooksv1.Attempt{Outcome: isDelivered, StatusCode: 200, Trigger: webhooksv1.Trigger_TRIGGER_REPLAY, ReplayId: "r2"},
		&webhooksv1.Attempt{Outcome: isGivenUp, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 404, Trigger: webhooksv1.Trigger_TRIGGER_REPLAY, ReplayId: "r1"},
	)
	page := b.get(one + "/replays")
	text = readable(page)
	assert.Contains(t, text, "Done · 7 arrived")
	assert.Contains(t, text, "2 did not arrive. The receiver answered 422 Unprocessable Entity")
	look := one + "/deliveries?" + url.Values{"replay_id": {"r2"}, "status": {"failed"}}.Encode()
	require.Contains(t, page.body, strings.ReplaceAll(look, "&", "&amp;"))
	text = readable(b.get(look))
	assert.Contains(t, text, "422")
	assert.NotContains(t, text, "404", "of another replay")
}

// One that waits because the webhook was switched off meanwhile, by whomever, goes on
// with one click.
func TestAReplayOfAWebhookThatIsOffIsSwitchedOn(t *testing.T) {
	s := newStoredSite(t)
	s.have("stopped")
	list, err := s.store.List(t.Context(), "p1")
	require.NoError(t, err)
	_, err = s.store.StartReplay(t.Context(), store.Replay{
		ID: "r1", ProjectID: "p1", WebhookID: list[0].ID, Only: replay.Missed, State: store.ReplayPaused, Total: new(int64(8)), CreatedAt: time.Now(),
		Message: "The webhook is off. Sending goes on when it is switched on again.",
	})
	require.NoError(t, err)
	one, b := overview+"/"+list[0].ID, s.as("good")
	page := b.get(one + "/replays")
	assert.Contains(t, readable(page), "Sending goes on when it is switched on again. 0 of 8 Switch on")
	assert.Equal(t, one+"/replays?done=on", b.press(page, one+"/enabled").header.Get("Location"))
	assert.NotContains(t, readable(b.get(one+"/replays")), "Switch on")
	list, err = s.store.List(t.Context(), "p1")
	require.NoError(t, err)
	assert.True(t, list[0].Status.Enabled())
}

// What was tried once and waits for its next try is not done, and not lost either. When
// it has arrived, the page says so.
func TestAReplayThatLeftSomeWaitingSaysSo(t *testing.T) {
	s := newStoredSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	id, at := one[strings.LastIndexByte(one, '/')+1:], time.Now().Add(-2*time.Hour)
	_, err := s.store.StartReplay(t.Context(), store.Replay{
		ID: "r1", ProjectID: "p1", WebhookID: id, Only: replay.Missed, State: store.ReplayDone, Total: new(int64(2)), Sent: 2,
		Since: at, CreatedAt: at, EndedAt: &at,
	})
	require.NoError(t, err)
	text := readable(b.get(one + "/replays"))
	assert.Contains(t, text, "Waiting · 0 arrived")
	assert.Contains(t, text, "2 are waiting and come by themselves as soon as the receiver answers well again")
	require.NoError(t, s.store.ReleaseReplay(t.Context(), store.RunningReplay{WebhookID: id, ReplayID: "r1"}))
	_, err = s.store.StartReplay(t.Context(), store.Replay{ID: "r2", ProjectID: "p1", WebhookID: id, Only: replay.Missed, State: store.ReplayRunning, CreatedAt: time.Now()})
	require.NoError(t, err)
	assert.Contains(t, readable(b.get(one+"/replays")), "0 arrived, 2 are waiting for their next try")
}

// between is what stands after one text and before another.
func between(s, after, before string) string {
	_, s, _ = strings.Cut(s, after)
	s, _, _ = strings.Cut(s, before)
	return s
}
