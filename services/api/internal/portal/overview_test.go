package portal_test

import (
	"cmp"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// have gives project p1 webhooks, the oldest first. The name of each says how it does.
func (s *site) have(names ...string) {
	s.t.Helper()
	before, err := s.store.List(s.t.Context(), "p1")
	require.NoError(s.t, err)
	for i, name := range names {
		w := store.Webhook{
			ID: registration.NewID(), ProjectID: "p1", Name: name, URL: "https://hooks.example.org/" + name, Events: event.Types(),
			Status: registration.Published, CreatedAt: time.Now().Add(time.Duration(len(before)+i) * time.Second),
		}
		if strings.HasPrefix(name, "stopped") {
			w.Disable(store.DisabledReason("gone"))
		}
		if strings.HasPrefix(name, "off") {
			w.Status = registration.Draft
		}
		_, err := s.store.Create(s.t.Context(), w, 50)
		require.NoError(s.t, err)
		if strings.HasPrefix(name, "failing") {
			_, err = s.store.MergeHealth(s.t.Context(), w.ID, store.Health{LastAttemptAt: new(time.Now()), FailingSince: new(time.Now())})
			require.NoError(s.t, err)
		}
	}
}

// listed are the names on an overview, in order.
func listed(page string) string {
	var names []string
	for _, found := range regexp.MustCompile(`<h2><a href="webhooks/[^"]+" dir="auto">([^<]+)</a>`).FindAllStringSubmatch(page, -1) {
		names = append(names, found[1])
	}
	return strings.Join(names, " ")
}

// What needs somebody goes first, the rest stays in its order, newest first. What is
// wrong is said above, and leads there.
func TestWhatNeedsSomebodyGoesFirst(t *testing.T) {
	s := newSite(t)
	s.have("old", "failing-old", "off", "stopped", "failing-new", "new")
	b := s.as("good")
	page := b.get(overview).body
	assert.Equal(t, "failing-new failing-old stopped new off old", listed(page))
	assert.Regexp(t, `<a href="#w-[0-9A-Z]{26}">2 of 6 webhooks are failing</a>, <a href="#w-[0-9A-Z]{26}">1 is stopped</a>`, page)
	assert.NotContains(t, page, "?show=", "all of them are on one screen")

	s.have("seventh")
	page = b.get(overview).body
	assert.Equal(t, "failing-new failing-old stopped seventh new off old", listed(page))
	assert.Contains(t, page, `<a href="`+overview+`?show=failing">2 of 7 webhooks are failing</a>`)
	assert.Contains(t, page, `<a href="`+overview+`" aria-current="page">All <span class="quiet">7</span></a>`)

	page = b.get(overview + "?show=failing").body
	assert.Equal(t, "failing-new failing-old", listed(page))
	assert.Contains(t, page, `aria-current="page">Failing <span class="quiet">2</span></a>`)
	b.header.Set("Accept-Language", "nl")
	page = b.get(overview + "?show=off").body
	assert.Equal(t, "stopped off", listed(page))
	assert.Contains(t, page, "Bij 2 van de 7 webhooks mislukt de bezorging")
	assert.Contains(t, page, "1 is gestopt")
	assert.Equal(t, "failing-new failing-old stopped seventh new off old", listed(b.get(overview+"?show=<script>").body), "what is not known shows all")
}

// Where nothing is wrong, nothing is said; neither is it twice of a single webhook.
func TestNothingIsSaidWhereNothingIsWrong(t *testing.T) {
	for name, webhooks := range map[string][]string{"well": {"a", "b", "c", "d", "e", "f", "g"}, "one": {"failing"}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.have(webhooks...)
			page := s.as("good").get(overview).body
			assert.Contains(t, page, `<div class="list" id="attention" data-live></div>`)
			none := s.as("good").get(overview + "?show=off").body
			assert.Empty(t, listed(none))
			assert.Contains(t, none, "There is none of these now.")
			assert.Contains(t, none, `<a href="`+overview+`">All`)
		})
	}
}

// A switch of a part of the list leads back to that part.
func TestASwitchLeadsBack(t *testing.T) {
	s := newSite(t)
	s.have("failing")
	b := s.as("good")
	list, err := s.store.List(t.Context(), "p1")
	require.NoError(t, err)
	shown := overview + "?show=failing"
	page := b.get(shown).body
	assert.Contains(t, page, `formaction="webhooks/`+list[0].ID+`/enabled"`)
	off := b.post(overview+"/"+list[0].ID+"/enabled", "_token", b.token(shown), "enabled", "false", "back", shown)
	require.Equal(t, http.StatusSeeOther, off.status, off.body)
	assert.Equal(t, overview+"?done=off&show=failing", off.header.Get("Location"))
	assert.Contains(t, b.get(off.header.Get("Location")).body, "The webhook is off: nothing is sent to it.")
}

// Of a webhook that works again, what was missed is offered as long as something is
// missed that can be sent: not what arrived with a later try, nor what was sent since.
func TestWhatWasMissedIsOfferedWhileItIsMissed(t *testing.T) {
	s := newStoredSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	_, err := s.store.MergeHealth(t.Context(), one[strings.LastIndexByte(one, '/')+1:], store.Health{
		LastAttemptAt: new(time.Now()), LastSuccessAt: new(time.Now()),
	})
	require.NoError(t, err)
	tried := func(delivery string, ago time.Duration, outcome webhooksv1.Outcome, trigger webhooksv1.Trigger) {
		x := &webhooksv1.Attempt{DeliveryId: delivery, Outcome: outcome, Trigger: trigger, StartedAt: timestamppb.New(time.Now().Add(-ago)), StatusCode: 200}
		if outcome != isDelivered {
			x.Reason, x.StatusCode = webhooksv1.Reason_REASON_STATUS, 500
		}
		s.record(one, x)
	}
	const byItself, later, minute = webhooksv1.Trigger_TRIGGER_EVENT, webhooksv1.Trigger_TRIGGER_REPLAY, time.Minute
	want := func(isOffered bool, why string) {
		t.Helper()
		for _, path := range []string{overview, one} {
			page := b.get(path)
			require.Contains(t, page.body, "Working", path)
			assert.Equal(t, isOffered, strings.Contains(page.body, "Send what was missed"), "%s: %s", path, why)
		}
	}
	tried("dlv_old", 8*24*time.Hour, isGivenUp, byItself)
	want(false, "what is no longer kept cannot be sent")
	tried("dlv_1", 9*minute, isRetried, byItself)
	tried("dlv_1", 8*minute, isDelivered, byItself)
	want(false, "it arrived by itself")
	tried("dlv_2", 7*minute, isGivenUp, byItself)
	tried("dlv_3", 6*minute, isDelivered, byItself)
	want(true, "it was given up")
	b.post(one+"/enabled", "_token", b.token(one), "enabled", "false")
	assert.NotContains(t, b.get(one).body, "Send what was missed", "while it is off, switching it on comes first")
	b.post(one+"/enabled", "_token", b.token(one), "enabled", "true")
	tried("dlv_2", 5*minute, isGivenUp, later)
	want(true, "it was given up again")
	tried("dlv_2", 4*minute, isDelivered, later)
	want(false, "it was sent since")
	tried("dlv_4", 3*minute, webhooksv1.Outcome_OUTCOME_DISABLED, byItself)
	want(true, "it was not sent while the webhook was off")
	s.counts(1)
	assert.Contains(t, readable(b.get(one+"/replays?since=failing")), "1 delivery is missing")
}

// A place on the overview says all that a host wants to know: what it is called, where it
// sends what, how it does and since when, why and what to do; and the last day as bars.
func TestACardSaysHowItDoes(t *testing.T) {
	s := newStoredSite(t)
	b := s.as("good")
	one := b.add("url", "https://hooks.example.org/secret-path?key=x", "name", "The archive", "events", "conversation.started")
	s.record(one, &webhooksv1.Attempt{Outcome: isDelivered, StatusCode: 200}, &webhooksv1.Attempt{Outcome: isRetried, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 404})
	s.fails(one)
	page := b.get(overview)
	text := readable(page)
	assert.Regexp(t, `The archive hooks\.example\.org On Failing since (today|yesterday) \d\d:\d\d UTC The receiver answered 404 Not Found: nothing is listening at this URL\. `+
		`Check that the URL is complete and still in use\. Send what was missed Report ready, Conversation started `+
		`1 delivered, 1 failed attempt last 24 hours`, text)
	assert.NotContains(t, page.body, "secret-path", "what may be a key is on its own page only")
	assert.Contains(t, page.body, `<path class="good"`)
	assert.Contains(t, page.body, `<path class="bad"`)
}

// A webhook that was stopped is switched on and gets what it missed in as few steps as
// one that fails: from its place on the overview.
func TestAStoppedWebhookIsPutRightFromTheOverview(t *testing.T) {
	s := newStoredSite(t)
	s.have("stopped", "off")
	list, err := s.store.List(t.Context(), "p1")
	require.NoError(t, err)
	b, id := s.as("good"), map[string]string{}
	for _, w := range list {
		id[w.Name] = w.ID
	}
	page := b.get(overview).body
	assert.Contains(t, page, `href="webhooks/`+id["stopped"]+`/replays?since=failing"`)
	assert.NotContains(t, page, `href="webhooks/`+id["off"]+`/replays`, "that is meant")
	s.counts(2)
	assert.Contains(t, readable(b.get(overview+"/"+id["stopped"]+"/replays?since=failing")), "Switch on and send all 2")
	assert.NotContains(t, s.as("low-tier").get(overview).body, "/replays", "it cannot be switched on")
}

// The zone is said once, with its place where it has one.
func TestTheZoneIsSaidOnce(t *testing.T) {
	b := newSite(t).as("good")
	for zone, want := range map[string]string{"": "the time zone UTC.", "Europe/Amsterdam": "(Europe/Amsterdam)."} {
		b.header.Set("Cookie", "webhooks_zone="+cmp.Or(zone, "UTC"))
		assert.Contains(t, b.get(overview).body, want)
	}
}
