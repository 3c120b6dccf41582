package browser_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/receiver"
	"github.com/dembrane/webhooks/test/internal/run"
)

// checkSecret signs what the checker is given, and checkedBody is that.
const (
	checkSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	checkedBody = `{"event":"conversation.started","id":"evt_1","timestamp":"2026-01-20T12:00:00.000000+00:00"}`
)

// checkedHeaders are those of Standard Webhooks of a delivery at a time, one a line,
// and what is named besides.
func checkedHeaders(at time.Time, more ...string) string {
	header := http.Header{}
	signature.Headers(header, []signature.Key{signature.NewKey(checkSecret)}, "evt_1", at, []byte(checkedBody))
	var lines []string
	for _, name := range append([]string{signature.HeaderID, signature.HeaderTimestamp, signature.HeaderSignature}, more...) {
		lines = append(lines, name+": "+header.Get(name))
	}
	return strings.Join(lines, "\n")
}

// put sets a field, line breaks and all, which typing would not.
func (b *tab) put(id, value string) {
	b.t.Helper()
	b.do(chromedp.SetValue(chromedp.CSS("#"+id), value))
}

// check fills in the checker and sends it.
func (b *tab) check(w apiclient.Webhook, body, headers, secret string) {
	b.t.Helper()
	b.visit("/" + w.ID + "/check")
	b.put("body", body)
	b.put("headers", headers)
	b.put("secret", secret)
	b.press("Check")
}

// The checker says which part of a delivery does not match and why, with the script
// and without, and forgets the secret.
func TestTheCheckerSaysWhatIsWrong(t *testing.T) {
	w := newWebhook(t, "checker", receiver.Status(http.StatusOK))
	for name, noScript := range map[string]bool{"script": false, "no-script": true} {
		t.Run(name, func(t *testing.T) {
			as := desktop
			as.NoScript = noScript
			b := open(t, "checker", as)
			now := time.Now()
			for _, row := range []struct{ body, headers, secret, state, want string }{
				{checkedBody, checkedHeaders(now, signature.HeaderBody, signature.HeaderReference), checkSecret, "It is genuine", "It is the signature of this id, time and body by this secret."},
				{checkedBody + "\n", checkedHeaders(now, signature.HeaderBody, signature.HeaderReference), checkSecret, "It does not match", "The body ends in a line break that was not sent. Read the body as bytes"},
				{checkedBody, checkedHeaders(now, signature.HeaderBody, signature.HeaderReference), "another-secret", "It does not match", "most likely the delivery was signed with another secret"},
				{checkedBody, checkedHeaders(now.Add(-3 * time.Hour)), checkSecret, "The signature is right, but not its time", "which is 3 hours before the time it is checked at; the libraries take up to 5 minutes."},
				{checkedBody, "no header", checkSecret, "", "There is no header in it."},
			} {
				b.check(w, row.body, row.headers, row.secret)
				b.sees(row.state)
				b.sees(row.want)
				assert.NotContains(t, b.path(), "?", "nothing that was typed is in an address")
				assert.NotContains(t, evaluate[string](b, "document.documentElement.outerHTML"), row.secret, "it is not shown again")
				assert.Equal(t, row.body, evaluate[string](b, `document.getElementById("body").value`), "what was pasted stays, to the last line break")
			}
			b.wantQuiet()
		})
	}
	dutch := desktop
	dutch.Dutch, dutch.NoScript = true, true
	b := open(t, "checker", dutch)
	b.visit("/" + w.ID + "/check")
	b.put("body", checkedBody+"\n")
	b.put("headers", checkedHeaders(time.Now(), signature.HeaderBody))
	b.put("secret", checkSecret)
	b.press("Controleren")
	b.sees("De inhoud eindigt op een regeleinde dat niet is verzonden.")
}

// A developer sees a sample of every event in every format, and how to verify it.
func TestADeveloperSeesWhatArrives(t *testing.T) {
	w := newWebhook(t, "developer", receiver.Status(http.StatusOK))
	as := desktop
	as.NoScript = true
	b := open(t, "developer", as)
	b.visit("/" + w.ID)
	b.press("For developers")
	b.sees(`"event": "conversation.transcribed"`)
	b.sees("def is_valid(body: bytes, signature_header: str, secret: str) -> bool:")
	for _, language := range []string{"JavaScript (Node.js)", "Go", "PHP", "C#", "Ruby", "Java"} {
		b.sees(language)
	}
	for _, name := range event.Types() {
		b.visit("/" + w.ID + "/developer?format=slack&event=" + name)
		b.sees(`"blocks"`)
	}
	b.visit("/" + w.ID + "/developer?format=fax&event=nothing")
	b.sees(`"event": "conversation.transcribed"`)
	b.wantQuiet()
	scripted := open(t, "developer", desktop)
	scripted.visit("/" + w.ID + "/developer")
	scripted.do(chromedp.SetValue(chromedp.CSS("#event"), "report.generated"))
	evaluate[bool](scripted, `document.getElementById("event").dispatchEvent(new Event("change", {bubbles: true}))`)
	scripted.sees(`"event": "report.generated"`)
	scripted.wantQuiet()
}

// What is copied is what is shown, to the last byte, and the button says so. Where the
// browser refuses, it is selected, for the keys.
func TestWhatIsShownCanBeCopied(t *testing.T) {
	w := newWebhook(t, "copied", receiver.Status(http.StatusOK))
	b := open(t, "copied", desktop)
	b.visit("/" + w.ID + "/developer")
	b.do(chromedp.WaitVisible(chromedp.CSS(`[data-copy="code-python"]`)))
	evaluate[bool](b, `navigator.clipboard.writeText = async (text) => { window.copied = text; }, true`)
	b.do(chromedp.Click(chromedp.CSS(`[data-copy="code-python"]`)))
	b.sees("Copied")
	assert.True(t, evaluate[bool](b, `window.copied === document.getElementById("code-python").textContent && window.copied.includes("def is_valid")`))
	evaluate[bool](b, `navigator.clipboard.writeText = async () => { throw new Error("refused"); }, true`)
	b.do(chromedp.Click(chromedp.CSS(`[data-copy="code-python"]`)))
	require.Eventually(t, func() bool {
		return evaluate[bool](b, `getSelection().toString().includes("def is_valid") && document.getElementById("said").textContent.includes("It is selected now")`)
	}, patience, 50*time.Millisecond)
	b.wantQuiet()
}

// What did not arrive is counted, named, and can be sent from there.
func TestWhatIsMissingIsNamed(t *testing.T) {
	w := newWebhook(t, "missing", receiver.Status(http.StatusGone))
	publish(t, "missing", 2)
	run.Until(t, patience, "it is disabled", isIn(w, "disabled"))
	b := open(t, "missing", desktop)
	b.visit("/" + w.ID + "/developer")
	b.press("Is anything missing?")
	b.sees("2 events did not arrive")
	b.sees("These did not arrive")
	b.wantQuiet()
	arrived := newWebhook(t, "arrived", receiver.Status(http.StatusOK))
	publish(t, "arrived", 2)
	awaitAttempts(t, arrived, 2)
	all := open(t, "arrived", desktop)
	all.visit("/" + arrived.ID + "/missing?since=hour")
	all.sees("Nothing is missing: all 2 events arrived")
	digest := all.text("#digest")
	require.Len(t, digest, 64)
	_, err := strconv.ParseUint(digest[:16], 16, 64)
	require.NoError(t, err)
	all.wantQuiet()
}
