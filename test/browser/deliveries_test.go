package browser_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// newWebhook makes a webhook of the project whose receiver answers so.
func newWebhook(t *testing.T, project string, answer receiver.Answer) apiclient.Webhook {
	t.Helper()
	need(t, shared.missing)
	url := shared.receiver.Add(receiver.Hook{Path: "/" + project, Answer: answer, Unnoted: true})
	w, err := host().Create(t.Context(), project, apiclient.Fields{"name": project, "url": url, "events": event.Types()})
	require.NoError(t, err)
	return w
}

// The log with and without scripts: filters, pages, one delivery, sent again.
func TestDeliveriesAreFoundAndSentAgain(t *testing.T) {
	w := newWebhook(t, "found", receiver.Status(http.StatusNoContent))
	publish(t, "found", 30)
	awaitAttempts(t, w, 30) // without scripts a page does not change by itself
	for name, noScript := range map[string]bool{"with scripts": false, "without scripts": true} {
		t.Run(name, func(t *testing.T) {
			as := desktop
			as.NoScript = noScript
			b := open(t, "found", as)
			b.visit("/" + w.ID + "/deliveries")
			b.sees("Older")
			b.press("Older")
			b.sees("Newer")
			b.press("Newer")
			b.visit("/" + w.ID + "/deliveries?event=report.generated&status=delivered")
			b.sees("Report ready")
			assert.NotContains(t, b.text("#log"), "Conversation started")
			b.pressFirstRow()
			b.sees("What we sent")
			b.sees("report.generated")
			b.press("Send again")
			b.sees("It is on its way")
			b.wantQuiet()
		})
	}
	b := open(t, "found", desktop)
	b.visit("/" + w.ID + "/deliveries?trigger=resend")
	b.sees("Sent again")
}

// What a stranger's server answers is shown, and never believed.
func TestAnAnswerOfAStrangerIsOnlyText(t *testing.T) {
	hostile := `<script>document.title="owned"</script><img src=x onerror="document.title='owned'">` + "\u202e\u2066" + strings.Repeat("A", 20_000)
	need(t, shared.missing)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("X-Note", `"><script>document.title="owned"</script>`)
		for i := range 40 {
			rw.Header().Set("X-Many-"+strconv.Itoa(i), strings.Repeat(`"`, 1000))
		}
		rw.WriteHeader(http.StatusTeapot)
		_, err := rw.Write([]byte(hostile))
		assert.NoError(t, err)
	}))
	t.Cleanup(server.Close)
	w, err := host().Create(t.Context(), "hostile", apiclient.Fields{"name": "hostile", "url": server.URL, "events": event.Types()})
	require.NoError(t, err)
	publish(t, "hostile", 1)
	b := open(t, "hostile", desktop)
	b.visit("/" + w.ID + "/deliveries")
	b.sees("418")
	b.pressFirstRow()
	b.sees("What came back")
	assert.Contains(t, b.text("main"), `<script>document.title="owned"</script>`)
	assert.NotEqual(t, "owned", evaluate[string](b, "document.title"))
	assert.Less(t, evaluate[int](b, pageSize), 100<<10)
	b.wantQuiet()
}

// pageSize is how many bytes a page has that the server made.
const pageSize = `fetch(location.href).then((r) => r.arrayBuffer()).then((a) => a.byteLength)`

// Nor does a page become large by what is answered: neither by what is written in more
// letters on a page, nor by what is laid out in many lines.
func TestAnAnswerOfAStrangerIsNotLarge(t *testing.T) {
	t.Parallel()
	need(t, shared.missing)
	for name, body := range map[string]string{
		"quotes": `"` + strings.Repeat(`\"`, 8000) + `"`, "deep": strings.Repeat("[", 8000) + strings.Repeat("]", 8000), "markup": strings.Repeat("<&", 8000),
	} {
		t.Run(name, func(t *testing.T) {
			project := "large-" + name
			url := shared.receiver.Add(receiver.Hook{Path: "/" + project, Unnoted: true, Reply: []byte(body), Answer: receiver.Status(http.StatusTeapot)})
			w, err := host().Create(t.Context(), project, apiclient.Fields{"name": name, "url": url, "events": event.Types()})
			require.NoError(t, err)
			publish(t, project, 1)
			b := open(t, project, desktop)
			b.visit("/" + w.ID + "/deliveries")
			b.sees("418")
			b.pressFirstRow()
			b.sees("What came back")
			assert.Less(t, evaluate[int](b, pageSize), 100<<10)
			b.visit("/" + w.ID + "/test")
			b.press("Send test")
			b.sees("418")
			assert.Less(t, evaluate[int](b, "document.documentElement.outerHTML.length"), 100<<10)
		})
	}
}
