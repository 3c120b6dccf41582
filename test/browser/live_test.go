package browser_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// lookAgain has the page look for news now, as when somebody comes back to it.
func (b *tab) lookAgain() {
	b.t.Helper()
	require.True(b.t, evaluate[bool](b, `document.dispatchEvent(new Event("visibilitychange"))`))
}

// setOffline cuts the browser off, or lets it go on.
func (b *tab) setOffline(isOffline bool) {
	b.t.Helper()
	b.do(command(network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: isOffline, DownloadThroughput: -1, UploadThroughput: -1}))
	b.do(command(network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{Offline: isOffline, DownloadThroughput: -1, UploadThroughput: -1}},
	}))
}

// What is delivered shows up by itself, is read out, and takes nobody's place; while the
// server is away the page says so, and goes on.
func TestAListOfDeliveriesGoesOnByItself(t *testing.T) {
	w := newWebhook(t, "goes-on", receiver.Status(http.StatusNoContent))
	publish(t, "goes-on", 1)
	awaitAttempts(t, w, 1)
	b := open(t, "goes-on", desktop)
	b.visit("/" + w.ID + "/deliveries")
	const rows = `document.querySelectorAll(".log-row").length`
	require.Equal(t, 1, evaluate[int](b, rows))
	focused := evaluate[string](b, `(() => { const row = document.querySelector(".log-row"); row.focus(); return row.href; })()`)
	publish(t, "goes-on", 1)
	awaitAttempts(t, w, 2)
	b.lookAgain()
	require.Eventually(t, func() bool { return evaluate[int](b, rows) == 2 }, patience, patience/100)
	assert.Equal(t, focused, evaluate[string](b, `document.activeElement.href`), "the focus stays on the delivery it was on")

	b.setOffline(true)
	b.lookAgain() // once may be chance
	b.sees("The server cannot be reached at the moment.")
	b.setOffline(false)
	b.lookAgain()
	b.isToldSoon("The server can be reached again.")
	assert.True(t, evaluate[bool](b, `document.getElementById("away").hidden`))

	b.lose(sessionCookie)
	b.lookAgain()
	b.sees("You are signed out, or this is not here any more.")
}

// What is chosen is in the address, and the way back leads through it.
func TestBackUndoesAFilter(t *testing.T) {
	w := newWebhook(t, "back", receiver.Status(http.StatusNoContent))
	publish(t, "back", 2)
	awaitAttempts(t, w, 2)
	b := open(t, "back", desktop)
	b.visit("/" + w.ID + "/deliveries")
	b.do(chromedp.SetValue(chromedp.CSS("#event"), event.ReportGenerated))
	evaluate[bool](b, `document.getElementById("event").dispatchEvent(new Event("change", { bubbles: true }))`)
	b.sees("Nothing fits")
	assert.Contains(t, b.path(), "event=report.generated")
	evaluate[bool](b, `(history.back(), true)`)
	require.Eventually(t, func() bool { return evaluate[bool](b, `document.querySelector(".log-row") !== null`) }, patience, patience/100)
	assert.Empty(t, evaluate[string](b, `document.getElementById("event").value`))
	assert.NotContains(t, b.path(), "event=")
	b.wantQuiet()
}

// What was missed is sent, and a delivery found and sent again, with the keys alone.
func TestWhatWasMissedIsSentWithTheKeysAlone(t *testing.T) {
	need(t, shared.missing)
	const project = "keys-right"
	var works atomic.Bool
	url := shared.receiver.Add(receiver.Hook{Path: "/" + project, Unnoted: true, Answer: func(http.Header, <-chan struct{}, receiver.Arrival) int {
		if works.Load() {
			return http.StatusNoContent
		}
		return http.StatusNotFound
	}})
	w, err := host().Create(t.Context(), project, apiclient.Fields{"name": "Archive", "url": url, "events": event.Types()})
	require.NoError(t, err)
	publish(t, project, 3)
	givenUp(t, w, 3)

	b := open(t, project, desktop)
	b.visit("")
	b.tabTo("Send what was missed")
	b.goOnWith(kb.Enter)
	b.sees("It still fails")
	works.Store(true)
	b.tabTo("Send a test")
	b.goOnWith(kb.Enter)
	b.sees("Delivered")
	b.tabTo("Count")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.sees("Send all 3 now")
	b.tabTo("Send all 3 now")
	b.goOnWith(kb.Enter)
	b.sees("on its way")
	b.until("3 arrived")

	b.tabTo("Deliveries")
	b.goOnWith(kb.Enter)
	b.tabTo("What became of it")
	b.do(chromedp.KeyEvent("d")) // the first letters of what is wanted, as in every list
	require.Eventually(t, func() bool { return strings.Contains(b.path(), "status=delivered") }, patience, patience/100)
	assert.Equal(t, "status", evaluate[string](b, `document.activeElement.id`), "the focus stays where one chooses")
	b.tabTo("Conversation started")
	b.goOnWith(kb.Enter)
	b.sees("What we sent")
	b.tabTo("Send again")
	b.goOnWith(kb.Enter)
	b.isToldSoon("It is on its way. It shows up here in a moment.")
	b.wantQuiet()
}
