package portal_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/services/api/internal/portal"
)

// whatIsTyped is typed into the form of a new webhook: the last three are secrets.
func whatIsTyped() []string {
	return []string{
		"url", "https://example.org/typed?key=in-the-address", "name", "Typed with care", "description", "Two\nlines", "max_per_second", "2",
		"secret", "a-secret-that-was-typed", "header_name", "X-Api-Key", "header_value", "a-key-that-was-typed",
	}
}

func wantTyped(t *testing.T, page answer) {
	t.Helper()
	for _, typed := range []string{
		`value="https://example.org/typed?key=in-the-address"`, `value="Typed with care"`, "Two\nlines</textarea>", `value="2"`,
		`value="a-secret-that-was-typed"`, `value="X-Api-Key"`, `value="a-key-that-was-typed"`,
	} {
		assert.Contains(t, strings.ReplaceAll(page.body, "\r\n", "\n"), typed)
	}
	assert.Equal(t, "no-store", page.header.Get("Cache-Control"))
}

func (s *site) wantWebhooks(count int) {
	s.t.Helper()
	list, err := s.store.List(s.t.Context(), "p1")
	require.NoError(s.t, err)
	assert.Len(s.t, list, count)
}

// Whoever was signed out while they filled in a form signs in and has it again, filled
// in. It is saved when they say so, once.
func TestAFormOutlivesTheSession(t *testing.T) {
	for _, language := range []string{"en", "nl"} {
		s := newSite(t)
		b := s.as("good")
		b.header.Set("Accept-Language", language)
		page := b.get(overview + "/new")
		b.become("expired")
		out := b.press(page, overview+"/new", whatIsTyped()...)
		require.Equal(t, http.StatusUnauthorized, out.status, out.body)
		assert.Equal(t, "no-store", out.header.Get("Cache-Control"))
		for _, typed := range []string{"typed", "Typed with care", "X-Api-Key"} {
			assert.NotContains(t, out.body, typed, "it is sealed")
		}
		wrong := b.press(out, "/webhooks/sign-in", "token", "wrong")
		require.Equal(t, http.StatusUnprocessableEntity, wrong.status, "and goes on being kept")
		in := b.press(wrong, "/webhooks/sign-in", "token", "good")
		require.Equal(t, http.StatusUnprocessableEntity, in.status, in.body)
		assert.Contains(t, in.body, map[string]string{"en": "You are signed in again.", "nl": "U bent weer aangemeld."}[language])
		wantTyped(t, in)
		s.wantWebhooks(0)

		b.wantMade(b.press(in, overview+"/new"))
		s.wantWebhooks(1)
	}
}

// Where the dashboard signs in, the page itself keeps the form and sends it again.
func TestAFormWaitsForTheDashboard(t *testing.T) {
	s := newSiteWith(t, portal.Deps{SessionCookie: sessionCookie, DashboardURL: "https://dashboard.example.org", Log: zap.NewNop()})
	b := s.as("good")
	page := b.get(overview + "/new")
	b.become("expired")
	out := b.press(page, overview+"/new", whatIsTyped()...)
	require.Equal(t, http.StatusUnauthorized, out.status)
	assert.Contains(t, out.body, `href="https://dashboard.example.org" target="_blank" rel="noopener"`)
	assert.NotContains(t, out.body, "typed", "it is sealed")
	still := b.press(out, overview+"/new", "_go", "true")
	require.Equal(t, http.StatusUnauthorized, still.status, "they had not signed in")
	s.wantWebhooks(0)
	b.become("good")
	made := b.seeMade(b.press(still, overview+"/new", "_go", "true"))
	assert.Contains(t, made.body, "a-secret-that-was-typed")
	s.wantWebhooks(1)
}

// A form whose token does not fit any more comes back as it was filled in.
func TestAFormOutlivesItsToken(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/", "name", "As it was")
	for _, row := range []struct {
		path  string
		typed []string
		want  []string
	}{
		{one + "/edit", []string{"name", "Another name", "header_name", "X-Key", "header_value", "a-key"}, []string{`value="Another name"`, `value="a-key"`}},
		{one + "/secret", []string{"secret", "another-secret"}, []string{`value="another-secret"`}},
		{one + "/check", []string{"body", "a body", "headers", "webhook-id: 1"}, []string{"a body</textarea>", "webhook-id: 1</textarea>"}},
		{one + "/test", []string{"event", "report.generated", "format", "slack"}, []string{`value="report.generated" selected`, `value="slack" selected`}},
		{"/webhooks/sign-in", []string{"project", "p1"}, []string{`value="p1"`}},
	} {
		page := b.get(row.path)
		b.forget()
		again := b.press(page, row.path, row.typed...)
		require.Equal(t, http.StatusUnprocessableEntity, again.status, row.path)
		assert.Contains(t, again.body, "The page had been open for long", row.path)
		for _, want := range row.want {
			assert.Contains(t, again.body, want, row.path)
		}
		assert.Contains(t, b.get(one).body, "As it was")
	}
	page := b.get(one + "/edit")
	b.forget()
	saved := b.press(b.press(page, one+"/edit", "name", "Another name"), one+"/edit")
	assert.Equal(t, http.StatusSeeOther, saved.status)
	assert.Contains(t, b.get(one).body, "Another name")
}

// Buttons need one more click, and lead back to where they were.
func TestAButtonOutlivesItsToken(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	page := b.get(one + "/delete")
	b.forget()
	confirm := b.press(page, one+"/delete")
	require.Equal(t, http.StatusForbidden, confirm.status)
	assert.Contains(t, confirm.body, "so nothing was changed yet")
	assert.Contains(t, confirm.body, `href="`+one+`/delete"`)
	s.wantWebhooks(1)
	gone := b.press(confirm, one+"/delete", "_go", "true")
	assert.Equal(t, overview+"?done=deleted", gone.header.Get("Location"))
}

// Whoever was signed out comes back to the page on which they were, which exists.
func TestSigningInLeadsBackToThePage(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/", "signing", "true", "secret", "a-secret-of-mine")
	for page, action := range map[string]string{
		one + "/secret/stop": one + "/secret/stop", one + "/delete": one + "/enabled",
	} {
		b.become("good")
		from := b.get(page)
		b.become("expired")
		out := b.press(from, action)
		require.Equal(t, http.StatusSeeOther, out.status, action)
		assert.Equal(t, "/webhooks/sign-in?next="+url.QueryEscape(page)+"&unsaved=true", out.header.Get("Location"))
		in := b.press(b.get(out.header.Get("Location")), "/webhooks/sign-in", "token", "good")
		require.Equal(t, page, in.header.Get("Location"))
		assert.Equal(t, http.StatusOK, b.get(page).status, page)
	}
}

// What could not be saved because something is away can be sent again as it was.
func TestAFormOutlivesAnOutage(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	page := b.get(overview + "/new")
	b.become("away")
	out := b.press(page, overview+"/new", whatIsTyped()...)
	require.Equal(t, http.StatusServiceUnavailable, out.status)
	assert.NotContains(t, out.body, "a-key-that-was-typed")
	b.become("good")
	b.wantMade(b.press(out, overview+"/new", "_go", "true"))
	s.wantWebhooks(1)
}

// spoiled is what was sealed, with another beginning.
func spoiled(sealed string) string {
	if sealed[0] == 'A' {
		return "B" + sealed[1:]
	}
	return "A" + sealed[1:]
}

// What another site may have filled in is not shown, and what is sealed opens in this
// browser and for this address only.
func TestOnlyOurFormsAreKept(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	b.get(overview + "/new")
	stale := b.post(overview+"/new", "_token", "x", "url", "https://evil.example/") // a browser that does not say where from
	assert.Equal(t, http.StatusForbidden, stale.status)
	assert.NotContains(t, stale.body, "evil.example")
	b.become("expired")
	assert.Equal(t, http.StatusSeeOther, b.post(overview+"/new", "url", "https://evil.example/").status)
	b.become("good")

	page := b.get(overview + "/new")
	b.become("expired")
	sealed := b.inputs(b.press(page, overview+"/new", whatIsTyped()...), "/webhooks/sign-in").Get("_kept")
	require.NotEmpty(t, sealed)
	b.become("good")
	other := s.as("good")
	for name, opened := range map[string]answer{
		"another browser": other.fill(overview+"/new", "_kept", sealed),
		"another address": b.post(overview+"/suggest", "_token", b.token(overview+"/new"), "_kept", sealed),
		"changed":         b.fill(overview+"/new", "_kept", spoiled(sealed)),
		"nonsense":        b.fill(overview+"/new", "_kept", "?", "_go", "true"),
	} {
		assert.Equal(t, http.StatusForbidden, opened.status, name)
		assert.NotContains(t, opened.body, "typed", name)
	}
	s.wantWebhooks(0)
}

// Whoever signs in for another project does not send on there what was typed for this one.
func TestAFormIsKeptForItsProject(t *testing.T) {
	s := newSite(t)
	for project, want := range map[string]int{"p1": http.StatusTemporaryRedirect, "p2": http.StatusSeeOther} {
		signed := s.as("").fill("/webhooks/sign-in", "project", project, "token", "good", "_kept", "sealed", "action", overview+"/new")
		assert.Equal(t, want, signed.status, project)
		assert.Contains(t, signed.header.Get("Location"), "/projects/"+project+"/webhooks")
	}
}
