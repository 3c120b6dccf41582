package browser_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/receiver"
	"github.com/dembrane/webhooks/test/internal/run"
)

// shown is one page in one state.
type shown struct {
	Name string
	// Path is below the project's webhooks, or a whole one.
	Path string
	// Project is the gallery's unless another is named.
	Project string
	// Do brings the page into the state; nil when it is there at once.
	Do func(b *tab)
	// SignedOut shows it to somebody without a session.
	SignedOut bool
}

// gallery is a project with a webhook in every state.
type gallery struct {
	project string
	// by name of the state
	webhooks map[string]apiclient.Webhook
}

func newGallery(t *testing.T, project string) gallery {
	t.Helper()
	need(t, shared.missing)
	g := gallery{project: project, webhooks: map[string]apiclient.Webhook{}}
	answers := map[string]receiver.Answer{
		"working": receiver.Status(http.StatusNoContent), "failing": receiver.Status(http.StatusNotFound),
		"gone": receiver.Status(http.StatusGone), "off": receiver.Status(http.StatusOK),
	}
	names := map[string]string{
		"working": "Interviews to the research archive", "failing": "Zapier: new row in Sheets",
		"gone": "Old CRM", "off": "Slack #interviews",
	}
	for _, state := range []string{"off", "gone", "failing", "working"} {
		url := shared.receiver.Add(receiver.Hook{Path: "/" + project + "-" + state, Answer: answers[state], Unnoted: true})
		w, err := host().Create(t.Context(), project, apiclient.Fields{
			"name": names[state], "url": url, "events": event.Types(), "secret": "a-secret-of-the-gallery",
			"headers":     map[string]string{"X-Api-Key": "a-key-of-the-gallery"},
			"description": "Made for the pictures.\nAsk Sanne before you change it.",
		})
		require.NoError(t, err)
		g.webhooks[state] = w
	}
	off := g.webhooks["off"]
	_, err := host().Call(t.Context(), http.MethodPatch, off.Path(), apiclient.Fields{"enabled": false}, http.StatusOK)
	require.NoError(t, err)
	g.webhooks["busy"] = busyWebhook(t, project+"-busy")
	for _, name := range []string{
		"أرشيف المقابلات في المدينة", "ארכיון הראיונות", strings.Repeat("Interviews", 12), strings.Repeat("Town talks of the northern districts ", 3),
	} {
		_, err := host().Create(t.Context(), project+"-names", apiclient.Fields{"name": name, "url": hook(project, http.StatusOK), "events": event.Types()})
		require.NoError(t, err)
	}
	publish(t, project, 3)
	g.await(t, "gone", "disabled")
	g.await(t, "failing", "failing")
	return g
}

// await waits until a webhook is in a state of health.
func (g gallery) await(t *testing.T, name, state string) {
	t.Helper()
	run.Until(t, patience, name+" is "+state, isIn(g.webhooks[name], state))
}

// isIn returns nil when a webhook is in a state of health.
func isIn(w apiclient.Webhook, state string) func(context.Context) error {
	return func(ctx context.Context) error {
		found, err := host().Get(ctx, w)
		if err == nil && found.Health.State != state {
			err = errors.New("it is " + found.Health.State)
		}
		return err
	}
}

// publish publishes events of the project, as the pipeline does.
func publish(t *testing.T, project string, count int) {
	t.Helper()
	for i := range count {
		about := &webhooksv1.Project{Id: project, WorkspaceId: new("w1"), Name: new("Town talks"), Language: new("nl")}
		e := payload.Sample(event.Types()[i%len(event.Types())], about, fmt.Sprintf("evt_%s_%d_%d", project, time.Now().UnixNano(), i), time.Now())
		require.NoError(t, shared.system.Publisher.Publish(t.Context(), e))
	}
}

// pages are all pages in all of their states. A new page belongs here.
func (g gallery) pages() []shown {
	one := func(name string) string { return "/" + g.webhooks[name].ID }
	return []shown{
		{Name: "overview", Path: ""},
		{Name: "overview-empty", Path: "", Project: "empty"},
		{Name: "overview-names", Path: "", Project: g.project + "-names"},
		{Name: "new", Path: "/new"},
		{Name: "new-suggestion", Path: "/new", Do: func(b *tab) {
			b.fill("url", "https://hooks.slack.com/services/T000/B000/XXXX")
			b.sees("This looks like Slack")
		}},
		{Name: "new-faults", Path: "/new", Do: func(b *tab) {
			b.fill("url", "http://localhost/hook")
			b.press("Add webhook")
		}},
		{Name: "created", Path: "/new", Project: "created", Do: func(b *tab) {
			b.fill("url", "https://hooks.zapier.com/hooks/catch/1/abc")
			b.press("Add webhook")
		}},
		{Name: "created-chat", Path: "/new", Project: "created", Do: func(b *tab) {
			b.fill("url", "https://hooks.slack.com/services/T000/B000/XXXX")
			b.press("Add webhook")
		}},
		{Name: "new-kept", Path: "/new", Do: func(b *tab) {
			b.fill("url", "zapier.com/editor/12/published")
			b.signOut()
			b.press("Add webhook")
		}},
		{Name: "clone", Path: "/clone"},
		{Name: "clone-chosen", Path: "/new?clone=" + g.webhooks["failing"].ID, Project: "empty"},
		{Name: "summary-working", Path: one("working")},
		{Name: "summary-failing", Path: one("failing")},
		{Name: "summary-stopped", Path: one("gone")},
		{Name: "edit", Path: one("working") + "/edit", Do: func(b *tab) { b.do(chromedp.Click(chromedp.CSS("summary"))) }},
		{Name: "test", Path: one("working") + "/test"},
		{Name: "test-delivered", Path: one("working") + "/test", Do: func(b *tab) { b.press("Send test") }},
		{Name: "test-failed", Path: one("failing") + "/test", Do: func(b *tab) { b.press("Send test") }},
		{Name: "secret", Path: one("failing") + "/secret"},
		{Name: "secret-rotated", Path: one("gone") + "/secret", Do: func(b *tab) { b.press("Use the new secret") }},
		{Name: "delete", Path: one("working") + "/delete"},
		{Name: "put-right", Path: one("failing") + "/replays"},
		{Name: "put-right-counted", Path: one("failing") + "/replays?since=failing&only=missed"},
		{Name: "put-right-nothing", Path: one("working") + "/replays?since=day&only=missed"},
		{Name: "put-right-off", Path: one("off") + "/replays"},
		{Name: "deliveries", Path: one("failing") + "/deliveries"},
		{Name: "deliveries-empty", Path: one("off") + "/deliveries"},
		{Name: "deliveries-none", Path: one("working") + "/deliveries?status=failed&trigger=replay"},
		{Name: "delivery", Path: one("failing") + "/deliveries", Do: func(b *tab) { b.pressFirstRow() }},
		{Name: "delivery-delivered", Path: one("working") + "/deliveries", Do: func(b *tab) { b.pressFirstRow() }},
		{Name: "statistics", Path: one("busy") + "/statistics", Project: g.project + "-busy", Do: func(b *tab) { b.unfold("The same as a table") }},
		{Name: "statistics-failing", Path: one("failing") + "/statistics"},
		{Name: "statistics-empty", Path: one("off") + "/statistics"},
		{Name: "developer", Path: one("working") + "/developer"},
		{Name: "developer-chat", Path: one("working") + "/developer?format=slack&event=conversation.summarized"},
		{Name: "check", Path: one("working") + "/check"},
		{Name: "check-faults", Path: one("working") + "/check", Do: func(b *tab) { b.press("Check") }},
		{Name: "check-differs", Path: one("working") + "/check", Do: func(b *tab) {
			b.put("body", checkedBody+"\n")
			b.put("headers", checkedHeaders(time.Now(), "X-Dembrane-Signature", "X-Webhook-Signature"))
			b.put("secret", checkSecret)
			b.press("Check")
		}},
		{Name: "missing-some", Path: one("gone") + "/missing"},
		{Name: "missing-none", Path: one("working") + "/missing"},
		{Name: "not-found", Path: "/01ARZ3NDEKTSV4RRFFQ69G5FAV"},
		{Name: "sign-in", Path: "/webhooks/sign-in", SignedOut: true},
	}
}
