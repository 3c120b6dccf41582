package portal_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/httpapi"
)

var pageLink = regexp.MustCompile(`id="(newest|newer|older|clear)" href="([^"]+)"`)

// links are where a page of the log leads to.
func (p answer) links() map[string]string {
	found := map[string]string{}
	for _, link := range pageLink.FindAllStringSubmatch(p.body, -1) {
		found[link[1]] = html.UnescapeString(link[2])
	}
	return found
}

// Paging forth and back shows every delivery once each way, and keeps the filters.
func TestPagesOfTheLogKeepTheFilters(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	list := make([]*webhooksv1.Attempt, 90)
	for i := range list {
		list[i] = &webhooksv1.Attempt{Outcome: isGivenUp, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 500, EventType: "report.generated", EventId: fmt.Sprintf("evt_%02d", i)}
	}
	s.record(one, list...)
	s.record(one, &webhooksv1.Attempt{Outcome: isDelivered, StatusCode: 200})
	row := regexp.MustCompile(`<a class="log-row" href="([^"]+)"`)
	rows := func(path string) (string, map[string]string) {
		page := b.get(path)
		require.Equal(t, http.StatusOK, page.status, path)
		assert.Contains(t, page.body, `<option value="failed" selected>`, path)
		return fmt.Sprint(row.FindAllStringSubmatch(page.body, -1)), page.links()
	}
	var down []string
	path := one + "/deliveries?status=failed&event=report.generated"
	var last map[string]string
	for path != "" {
		shown, links := rows(path)
		down = append(down, shown)
		assert.Equal(t, len(down) > 1, links["newer"] != "")
		assert.Equal(t, len(down) > 2, links["newest"] != "")
		path, last = links["older"], links
	}
	require.Len(t, down, 4)
	for i := len(down) - 2; i >= 0; i-- {
		var shown string
		shown, last = rows(last["newer"])
		assert.Equal(t, down[i], shown, "back on page %d", i+1)
	}
	assert.Empty(t, last["newer"])
	assert.Equal(t, one+"/deliveries", last["clear"])
}

// An id from somebody's log leads to what it is of.
func TestAnIDIsFound(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	paths := s.record(one,
		&webhooksv1.Attempt{Outcome: isDelivered, StatusCode: 200, EventType: "report.generated", EventId: "evt_a", DeliveryId: "dlv_A"},
		&webhooksv1.Attempt{Outcome: isDelivered, StatusCode: 200, EventType: "conversation.started", EventId: "evt_b", DeliveryId: "dlv_B"},
	)
	for _, query := range []string{"id=evt_a", "id=dlv_A", "id=+dlv_A%09", "event_id=evt_a", "delivery_id=dlv_A"} {
		page := b.get(one + "/deliveries?" + query)
		assert.Contains(t, page.body, `href="`+paths[0]+`"`, query)
		assert.NotContains(t, page.body, `href="`+paths[1]+`"`, query)
		assert.Regexp(t, `<input type="search" id="id" name="id" value="(evt_a|dlv_A)"`, page.body, query)
	}
	attempt := paths[1][strings.LastIndexByte(paths[1], '/')+1:]
	assert.Equal(t, paths[1], b.get(one+"/deliveries?id="+attempt).header.Get("Location"))
	unknown := b.get(one + "/deliveries?id=01M8HA4HAH3EF9SF7YQR74EA6E")
	assert.Contains(t, readable(unknown), "Nothing fits")
	assert.Contains(t, readable(b.get(one+"/deliveries?id="+url.QueryEscape(`a"><b>`))), "That is no id")
}

// Where nothing fits, the page says what does not, and how to see everything.
func TestWhatFitsNothingIsNamed(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	assert.Contains(t, readable(b.get(one+"/deliveries")), "Nothing has been sent yet")
	s.record(one, &webhooksv1.Attempt{Outcome: isDelivered, StatusCode: 200})
	query := "?status=failed&event=conversation.started&status_code=4xx&trigger=test&from=2026-01-20&to=2026-01-21&id=evt_x"
	page := b.get(one + "/deliveries" + query)
	text := readable(page)
	for _, want := range []string{
		"What became of it: Not delivered", "What happened: Conversation started", "Answer: 4xx: refused", "Why it was sent: Test",
		"From: 20 January", "Until: 21 January", "Id of an event, delivery or try: evt_x", "Clear the filters",
	} {
		assert.Contains(t, text, want)
	}
	assert.Equal(t, one+"/deliveries", page.links()["clear"])
	b.header.Set("Accept-Language", "nl")
	assert.Contains(t, readable(b.get(one+"/deliveries"+query)), "Hoe het afliep: Niet bezorgd")
	b.header.Set("Accept-Language", "en")
	for query, want := range map[string]string{
		"from=2999-01-01": "still to come", "from=2026-01-21&to=2026-01-20": "comes after", "to=soon": "That is no day", "cursor=x": "not there any more",
	} {
		page := b.get(one + "/deliveries?" + query)
		text := readable(page)
		assert.Equal(t, http.StatusOK, page.status)
		assert.Contains(t, text, want, query)
		assert.NotContains(t, page.body, `class="log-row"`, query)
		assert.NotContains(t, text, "Nothing fits", query)
	}
	assert.Equal(t, one+"/deliveries", b.get(one + "/deliveries?cursor=x").links()["newest"])
}

// A row says what became of what, when, how long it took, and what to do about it.
func TestARowSaysWhatBecameOfIt(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	s.record(one, &webhooksv1.Attempt{Outcome: isGivenUp, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 404, DurationUs: 25_000})
	assert.Regexp(t, `Given up after 1 try Report ready The receiver answered 404 Not Found: nothing is listening at this URL\. That was the last attempt\. `+
		`Check that the URL is complete and still in use\. Send it again when the receiver works\. (today|yesterday) \d\d:\d\d UTC 25 ms`, readable(b.get(one+"/deliveries")))
}

// Two clicks send it again once; who comes back later and clicks again means it.
func TestWhatIsSentAgainIsSentOnce(t *testing.T) {
	s := newStoredSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	path := s.record(one, &webhooksv1.Attempt{Outcome: isGivenUp, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 404})[0]
	var keys []string
	s.answer = func(r *http.Request) *httpapi.Answer {
		if !strings.HasSuffix(r.URL.Path, "/resend") {
			return nil
		}
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		return &httpapi.Answer{Status: http.StatusAccepted, Body: []byte(`{}`)}
	}
	page := b.get(path)
	for _, from := range []answer{page, page, b.get(path)} {
		require.Equal(t, one+"/deliveries?done=resent", b.press(from, path+"/resend").header.Get("Location"))
	}
	require.Len(t, keys, 3)
	assert.NotEmpty(t, keys[0])
	assert.Equal(t, keys[0], keys[1])
	assert.NotEqual(t, keys[0], keys[2])
}
