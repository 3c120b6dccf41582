package browser_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// hook is a receiver for one project, which answers with this status.
func hook(project string, status int) string {
	return shared.receiver.Add(receiver.Hook{Path: "/" + project, Answer: receiver.Status(status), Unnoted: true})
}

// A host adds a webhook, tests it, changes it, rotates its secret, switches it off and
// deletes it: with the script and without.
func TestAHostSetsUpAWebhook(t *testing.T) {
	t.Parallel()
	for name, as := range map[string]look{"script": desktop, "no-script": {Width: 1280, Height: 900, NoScript: true}} {
		t.Run(name, func(t *testing.T) {
			project := "set-up-" + name
			b := open(t, project, as)
			b.visit("")
			b.press("Add a webhook")
			b.fill("url", hook(project, http.StatusOK))
			b.fill("name", "Our archive")
			b.press("Add webhook")
			b.sees("Your webhook is ready")
			secret := b.text("#new-secret")
			assert.True(t, strings.HasPrefix(secret, "whsec_"), secret)
			assert.NotContains(t, b.path(), "whsec_")
			b.press("Send a test")
			b.do(chromedp.NavigateBack())
			b.sees("It is shown only once")
			assert.NotContains(t, b.text("main"), secret)
			b.goTo(b.path()) // as reloading does: nothing is asked, and nothing sent
			b.sees("It is shown only once")

			b.press("Send a test")
			b.press("Send test")
			b.sees("Delivered: the receiver answered 200 OK")
			b.sees("Waiting for the answer")

			b.press("Settings")
			b.fill("name", "The archive")
			b.press("Save")
			b.sees("Saved.")
			b.sees("The archive")

			b.press("Secret")
			proposed := evaluate[string](b, `document.getElementById("secret").value`)
			b.press("Use the new secret")
			b.sees("goes on signing until")
			b.do(chromedp.NavigateBack())
			assert.NotContains(t, evaluate[string](b, `document.getElementById("secret").value`), proposed)

			b.press("Summary")
			b.press("Send to The archive")
			b.sees("The webhook is off")

			b.press("Settings")
			b.press("Delete …")
			b.press("Delete for good")
			b.sees("The webhook was deleted.")
			b.sees("Tell your other tools when something happens")
			b.wantQuiet()
		})
	}
}

// The script says what an address looks like while it is typed, and leaves alone what
// was chosen by hand.
func TestTheFormSuggests(t *testing.T) {
	b := open(t, "suggests", desktop)
	b.visit("/new")
	format := func() string { return evaluate[string](b, `document.getElementById("format").value`) }
	b.fill("url", "https://hooks.slack.com/services/T/B/X")
	b.sees("This looks like Slack.")
	assert.Equal(t, "slack", format())
	b.fill("url", "https://discord.com/api/webhooks/1/x")
	b.sees("This looks like Discord.")
	assert.Equal(t, "discord", format())
	b.do(chromedp.SetValue(chromedp.CSS("#format"), "json"))
	evaluate[bool](b, `document.getElementById("format").dispatchEvent(new Event("change", {bubbles: true}))`)
	b.fill("url", "https://chat.googleapis.com/v1/spaces/x/messages")
	b.sees("This looks like Google Chat.")
	assert.Equal(t, "json", format(), "it was chosen by hand")
	b.wantQuiet()
}

// What happens shows up by itself.
func TestTheOverviewIsLive(t *testing.T) {
	t.Parallel()
	b := open(t, "live", desktop)
	w, err := host().Create(t.Context(), "live", apiclient.Fields{"name": "Live", "url": hook("live", http.StatusOK), "events": []string{"conversation.started"}})
	require.NoError(t, err)
	b.visit("")
	b.sees("nothing has been sent yet")
	publish(t, "live", 1)
	b.sees("last delivered")
	assert.Contains(t, evaluate[string](b, `document.querySelector("time").dateTime`), "T", "programs can read it")
	assert.Equal(t, "/projects/live/webhooks", b.path())
	assert.NotEmpty(t, w.ID)
	b.wantQuiet()
}

// Everything can be reached with the keyboard, and one sees where one is.
func TestTheKeyboardIsEnough(t *testing.T) {
	b := open(t, "keyboard", desktop)
	b.visit("")
	var seen []string
	for range 8 {
		b.do(chromedp.KeyEvent(kb.Tab))
		seen = append(seen, evaluate[string](b, `(() => { const e = document.activeElement; return (e.textContent || e.ariaLabel).trim() + "|" + getComputedStyle(e).outlineStyle; })()`))
	}
	assert.Equal(t, "Skip to the content|solid", seen[0])
	assert.Contains(t, seen, "Add a webhook|solid")
	b.visit("")
	b.do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	assert.Equal(t, "main", evaluate[string](b, `document.activeElement.id`))
}

// What others wrote runs nothing, whatever a browser makes of it.
func TestScriptsOfOthersDoNotRun(t *testing.T) {
	const script = `<script>window.ran = 1</script><img src=x onerror="window.ran = 1">`
	url := shared.receiver.Add(receiver.Hook{Path: "/hostile", Unnoted: true, Answer: receiver.Status(http.StatusTeapot)})
	w, err := host().Create(t.Context(), "hostile", apiclient.Fields{"name": script, "description": script, "url": url, "events": []string{"report.generated"}})
	require.NoError(t, err)
	b := open(t, "hostile", phone)
	for _, path := range []string{"", "/" + w.ID, "/" + w.ID + "/edit", "/" + w.ID + "/delete", "/" + w.ID + "/test"} {
		b.visit(path)
		assert.True(t, evaluate[bool](b, `window.ran === undefined`), path)
		b.wantFits()
	}
	b.press("Send test")
	assert.True(t, evaluate[bool](b, `window.ran === undefined`))
	b.wantQuiet()
}

// At 200 % a page of 1280 pixels has 640. It is accessible in Dutch, too.
func TestPagesFitAtTwiceTheSize(t *testing.T) {
	w := newWebhook(t, "twice", receiver.Status(http.StatusNotFound))
	publish(t, "twice", 1)
	awaitAttempts(t, w, 1)
	b := open(t, "twice", look{Width: 640, Height: 450, Dutch: true})
	one := "/" + w.ID
	for _, path := range []string{
		"", "/new", "/clone", one, one + "/deliveries", one + "/replays", one + "/statistics", one + "/test", one + "/edit",
		one + "/secret", one + "/delete",
	} {
		b.visit(path)
		b.wantFits()
		b.wantAccessible()
	}
	assert.Equal(t, "nl", evaluate[string](b, `document.documentElement.lang`))
	b.wantQuiet()
}
