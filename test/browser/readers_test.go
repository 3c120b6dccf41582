package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// With the colours of Windows' high contrast, or on paper, nothing is told by what is
// lost there.
func TestColoursOfTheReadersOwnAndPaper(t *testing.T) {
	w := newWebhook(t, "paper", receiver.Status(http.StatusOK))
	b := open(t, "paper", desktop)
	b.visit("/" + w.ID + "/developer")
	style := func(selector, property string) string {
		element, part, _ := strings.Cut(selector, "::")
		return evaluate[string](b, fmt.Sprintf(`getComputedStyle(document.querySelector(%q), %q)[%q]`, element, part, property))
	}
	b.emulate("", "forced-colors", "active")
	assert.NotEqual(t, style(".tabs a[aria-current]", "textDecorationLine"), style(".tabs a:not([aria-current])", "textDecorationLine"), "one sees on which page one is")
	assert.Equal(t, "solid", style(".languages [aria-current]", "outlineStyle"), "and in which language")
	b.visit("/" + w.ID)
	on := style(".track", "backgroundColor")
	assert.NotEqual(t, on, style(".track::after", "backgroundColor"))
	assert.NotEqual(t, on, style(".card", "backgroundColor"))

	b.emulate("print")
	b.visit("/" + w.ID + "/developer")
	for _, gone := range []string{".tabs", ".bar-end", ".filters", ".button"} {
		assert.Equal(t, "none", style(gone, "display"), "%s is of no use on paper", gone)
	}
	assert.Equal(t, "none", style("pre", "maxHeight"), "what does not fit is on the next page")
	assert.True(t, evaluate[bool](b, `[...document.querySelectorAll("pre")].every((p) => p.checkVisibility({ contentVisibilityAuto: true }))`), "nothing is folded")

	b.emulate("", "prefers-reduced-motion", "reduce")
	b.visit("/" + w.ID)
	assert.Equal(t, "none", style(".track::after", "transitionProperty"))
	b.wantQuiet()
}

// When the script does not arrive, or fails at once as in an old browser, everything
// works as without any.
func TestThePagesWorkWhenTheScriptFails(t *testing.T) {
	w := newWebhook(t, "failing-script", receiver.Status(http.StatusOK))
	publish(t, "failing-script", 2)
	awaitAttempts(t, w, 2)
	b := open(t, "failing-script", desktop)
	b.replaceScript(`throw new Error("as an old browser would");`)
	b.visit("/" + w.ID + "/deliveries")
	b.do(chromedp.SetValue(chromedp.CSS("#event"), event.ReportGenerated))
	b.press("Show")
	b.sees("Nothing fits")
	assert.Contains(t, b.path(), "event=report.generated")
	for _, path := range []string{"/developer", "/missing"} {
		b.visit("/" + w.ID + path)
		b.press("Show")
	}
	b.visit("/" + w.ID + "/developer")
	assert.True(t, evaluate[bool](b, `[...document.querySelectorAll("[data-copy]")].every((e) => !e.checkVisibility())`), "no button that does nothing")
	b.visit("/" + w.ID + "/test")
	b.press("Send test")
	b.sees("Delivered: the receiver answered 200 OK")
}

// replaceScript has the browser get another script than ours.
func (b *tab) replaceScript(source string) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Listen(b.ctx, func(happened any) {
		paused, ok := happened.(*fetch.EventRequestPaused)
		if !ok {
			return
		}
		go b.answerInstead(paused.RequestID, source)
	}))
	b.do(command(fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: "*/app.js", ResourceType: network.ResourceTypeScript}}}))
}

// Whatever is done with a mouse is done with the keys alone: Tab, Enter, blank and
// arrows.
func TestEveryFlowWorksWithTheKeysAlone(t *testing.T) {
	elsewhere, err := host().Create(t.Context(), "keys-elsewhere", apiclient.Fields{"name": "From elsewhere", "url": hook("keys-elsewhere", http.StatusNoContent), "events": event.Types()})
	require.NoError(t, err)
	require.NotEmpty(t, elsewhere.ID)
	as := desktop
	as.As.SignedOut = true
	b := open(t, "keys", as)

	b.visit("")
	b.tabTo("Project")
	b.do(chromedp.KeyEvent(kb.End))
	assert.Equal(t, "keys", evaluate[string](b, `document.activeElement.value`), "it was in the address")
	b.tabTo("Token")
	b.do(chromedp.SendKeys(chromedp.CSS("#token"), shared.at.Token))
	b.goOnWith(kb.Enter)
	b.sees("Tell your other tools when something happens")

	b.tabTo("Copy from another project")
	b.goOnWith(kb.Enter)
	b.tabTo("From elsewhere")
	b.goOnWith(kb.Enter)
	b.sees("Add a webhook")
	b.tabTo("Add webhook")
	b.goOnWith(kb.Enter)
	b.sees("Your webhook is ready")

	b.tabTo("Send a test")
	b.goOnWith(kb.Enter)
	b.tabTo("What to send")
	b.do(chromedp.KeyEvent(kb.ArrowDown))
	b.tabTo("Send test")
	b.goOnWith(kb.Enter)
	b.sees("Delivered: the receiver answered 204 No Content")
	assert.Equal(t, "result", evaluate[string](b, `document.activeElement.id`), "what became of it is read out")

	b.tabTo("Secret")
	b.goOnWith(kb.Enter)
	b.tabTo("How long the old secret stays")
	b.do(chromedp.KeyEvent(kb.ArrowDown))
	b.tabTo("Use the new secret")
	b.goOnWith(" ")
	b.sees("goes on signing until")
	b.isToldSoon("The new secret is in use.")

	b.tabTo("For developers")
	b.goOnWith(kb.Enter)
	b.tabTo("What to send")
	b.do(chromedp.KeyEvent(kb.ArrowDown))
	b.isToldSoon("Shown: Conversation summarised, Data (JSON)")
	b.tabTo("Send as")
	b.do(chromedp.KeyEvent(kb.ArrowDown))
	b.isToldSoon("Shown: Conversation summarised, Message for Slack")
	b.tabTo("Go")
	b.do(chromedp.KeyEvent(" "))
	b.sees("func ")
	b.tabTo("Statistics")
	b.goOnWith(kb.Enter)
	b.sees("Nothing was sent in the last seven days")

	b.tabTo("Summary")
	b.goOnWith(kb.Enter)
	b.tabTo("Send to From elsewhere")
	b.goOnWith(" ")
	b.sees("The webhook is off")
	b.isToldSoon("The webhook is off: nothing is sent to it.")
	b.tabTo("Settings")
	b.goOnWith(kb.Enter)
	b.tabTo("Delete …")
	b.goOnWith(kb.Enter)
	b.tabTo("Delete for good")
	b.goOnWith(kb.Enter)
	b.sees("The webhook was deleted.")
	b.tabTo("Sign out")
	b.goOnWith(kb.Enter)
	b.sees("You are signed out.")
	b.wantQuiet()
}

// tabTo presses Tab until the focus is on what has this name, and wants it to be seen.
func (b *tab) tabTo(name string) {
	b.t.Helper()
	const here = `(() => { const e = document.activeElement;
		const called = e.getAttribute("aria-label") || e.labels?.[0]?.firstChild?.textContent || (e.querySelector("b") ?? e).textContent || "";
		const box = e.getBoundingClientRect(), style = getComputedStyle(e);
		const ring = parseFloat(style.outlineWidth) + parseFloat(style.outlineOffset);
		let whole = style.outlineStyle !== "none" && box.bottom > 0 && box.top < innerHeight;
		for (let around = e.parentElement; around !== document.body && around; around = around.parentElement) {
			const cut = around.getBoundingClientRect();
			if (getComputedStyle(around).overflow !== "visible") whole &&= cut.left <= box.left - ring && cut.top <= box.top - ring && cut.right >= box.right + ring && cut.bottom >= box.bottom + ring;
		}
		return called.trim().replace(/\s+/g, " ") + "|" + whole; })()`
	var passed []string
	for range 80 {
		b.do(chromedp.KeyEvent(kb.Tab))
		at, isSeen, _ := strings.Cut(evaluate[string](b, here), "|")
		if at == name {
			assert.Equal(b.t, "true", isSeen, "one sees that the focus is on %q at %s", name, b.path())
			return
		}
		passed = append(passed, at)
	}
	require.Fail(b.t, "cannot be reached: "+name, "at %s, past %q", b.path(), passed)
}

// goOnWith presses a key that leads to another page, and waits for that.
func (b *tab) goOnWith(key string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	_, err := chromedp.RunResponse(ctx, chromedp.KeyEvent(key))
	require.NoError(b.t, err, "at %s", b.path())
}

// isToldSoon wants a text to be read out.
func (b *tab) isToldSoon(text string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return evaluate[string](b, `document.getElementById("said").textContent.trim()`) == text }, patience, patience/100, text)
}

// answerInstead answers a request that was held.
func (b *tab) answerInstead(id fetch.RequestID, source string) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	_, err := chromedp.Run(ctx, command(fetch.FulfillRequest, fetch.FulfillRequestParams{
		RequestID: id, ResponseCode: http.StatusOK, Body: []byte(source),
		ResponseHeaders: []*fetch.HeaderEntry{{Name: "Content-Type", Value: "text/javascript"}},
	}))
	if err != nil && b.ctx.Err() == nil {
		b.said <- "the script was not replaced: " + err.Error()
	}
}
