package portal_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/portal"
)

// Adding, looking, changing, switching, testing and deleting, without any script.
func TestEverythingWorksWithForms(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	empty := b.get(overview)
	require.Equal(t, http.StatusOK, empty.status)
	assert.Contains(t, empty.body, "Tell your other tools when something happens")

	one := b.add("url", "https://hooks.slack.com/services/T/B/X", "name", "Slack #interviews", "signing", "true", "secret", "a-secret-of-mine",
		"header_name", "X-Api-Key", "header_value", "a-key")
	page := b.get(one)
	assert.Contains(t, page.body, "Message for Slack", "the format that fits was chosen, without a script")
	assert.Contains(t, page.body, "X-Api-Key")
	assert.NotContains(t, page.body, "a-secret-of-mine")
	assert.NotContains(t, page.body, "a-key")

	saved := b.fill(one+"/edit", "url", "https://example.org/", "name", "Archive", "format", "json", "events", "conversation.started",
		"events", "webhook.failing", "max_per_second", "0.5", "enabled", "true",
		"header_name", "X-Api-Key", "header_value", "", "header_remove", "X-Api-Key", "header_name", "Authorization", "header_value", "Bearer b")
	require.Equal(t, http.StatusSeeOther, saved.status, saved.body)
	page = b.get(saved.header.Get("Location"))
	for _, text := range []string{"Saved.", "Archive", "https://example.org/", "Conversation started", "Another webhook fails", "At most 0.5 a second", "Authorization"} {
		assert.Contains(t, page.body, text)
	}
	assert.NotContains(t, page.body, "X-Api-Key")

	off := b.post(one+"/enabled", "_token", b.token(one), "enabled", "false", "back", one)
	assert.Equal(t, one+"?done=off", off.header.Get("Location"))
	assert.Contains(t, b.get(one).body, "nothing is sent")

	tested := b.fill(one+"/test", "event", "report.generated", "format", "json")
	assert.Contains(t, tested.body, "Delivered: the receiver answered 200 OK")

	require.Equal(t, http.StatusSeeOther, b.fill(one+"/secret", "secret", "a-first-secret").status)
	rotated := b.fill(one+"/secret", "secret", "another-secret", "overlap", "72")
	require.Equal(t, http.StatusSeeOther, rotated.status, rotated.body)
	page = b.get(rotated.header.Get("Location"))
	assert.Contains(t, page.body, "goes on signing until")
	assert.NotContains(t, page.body, "another-secret")

	gone := b.fill(one + "/delete")
	assert.Equal(t, overview+"?done=deleted", gone.header.Get("Location"))
	assert.Equal(t, http.StatusNotFound, b.get(one).status)
}

// What is wrong is said beside its field, and nothing that was typed is lost.
func TestFaultsAreBesideTheirFields(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	for language, want := range map[string][]string{
		"en": {"The URL must start with https:// or http://.", "Choose at least one event", "The secret must have 8 to 255 characters", "Enter a number from 0.1 to 1,000"},
		"nl": {"moet met https:// of http:// beginnen.", "Kies minstens één gebeurtenis", "Het geheim moet 8 tot 255 tekens lang zijn", "Vul een getal van 0,1 tot 1.000 in"},
	} {
		b.header.Set("Accept-Language", language)
		page := b.fill(overview+"/new", "form", "f", "url", "ftp://x.example", "name", "My name", "secret", "short", "signing", "true", "max_per_second", "5000")
		require.Equal(t, http.StatusUnprocessableEntity, page.status, page.body)
		for i, field := range []string{"url", "events", "secret", "max_per_second"} {
			assert.Contains(t, page.body, want[i])
			assert.Contains(t, page.body, `id="`+field+`-fault"`)
		}
		assert.Contains(t, page.body, `value="My name"`)
		assert.Contains(t, page.body, `value="ftp://x.example"`)
	}
	list, err := s.store.List(t.Context(), "p1")
	require.NoError(t, err)
	assert.Empty(t, list)
}

// Sending the form of a new webhook twice, as reloading does, makes one.
func TestReloadingMakesNothingTwice(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	first := b.add("url", "https://example.org/", "signing", "true", "secret", "a-secret-of-mine")
	assert.Equal(t, first, b.add("url", "https://example.org/", "signing", "true", "secret", "a-secret-of-mine"))
	list, err := s.store.List(t.Context(), "p1")
	require.NoError(t, err)
	assert.Len(t, list, 1)
}

// A form that is not ours has no effect: without its token, with somebody else's,
// from another site.
func TestForeignFormsAreRefused(t *testing.T) {
	s := newSite(t)
	b, other := s.as("good"), s.as("good")
	one := b.add("url", "https://example.org/")
	token := b.token(one)
	for name, send := range map[string]func() answer{
		"no token":  func() answer { return b.post(one + "/delete") },
		"made up":   func() answer { return b.post(one+"/delete", "_token", "x") },
		"another's": func() answer { return b.post(one+"/delete", "_token", other.token(one)) },
		"no cookie": func() answer { return s.as("good").post(one+"/delete", "_token", token) },
		"other site": func() answer {
			b.header.Set("Sec-Fetch-Site", "cross-site")
			return b.post(one+"/delete", "_token", token)
		},
		"sister site": func() answer {
			b.header.Set("Sec-Fetch-Site", "same-site")
			return b.post(one+"/delete", "_token", token)
		},
		"other origin": func() answer {
			b.header.Set("Origin", "https://evil.example")
			return b.post(one+"/delete", "_token", token)
		},
		"no origin": func() answer {
			b.header.Set("Origin", "null")
			return b.post(one+"/delete", "_token", token)
		},
		"sign-in": func() answer {
			b.header.Set("Origin", "https://evil.example")
			return b.fill("/webhooks/sign-in", "token", "good", "project", "p1")
		},
		"other's token": func() answer { return other.post(one+"/enabled", "_token", token, "enabled", "false") },
	} {
		b.header = http.Header{"Accept-Language": {"en"}}
		refused := send()
		assert.Equal(t, http.StatusForbidden, refused.status, name)
		assert.Contains(t, refused.body, "nothing was changed", name)
		b.header = http.Header{}
		assert.Equal(t, http.StatusOK, b.get(one).status, name)
	}
	// Nothing is changed by looking.
	for _, path := range []string{"/delete", "/enabled", "/secret/stop"} {
		b.get(one + path + "?enabled=false&_token=" + token)
	}
	list, err := s.store.List(t.Context(), "p1")
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.True(t, list[0].Status.Enabled())
}

// Every answer tells the browser what it may do with it.
func TestEveryPageIsGuarded(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	paths := []string{"/webhooks/sign-in", "/webhooks/nothing", overview + "/missing"}
	for _, path := range routesOf(t, http.MethodGet, ofProject) {
		paths = append(paths, overview+path)
	}
	for _, path := range routesOf(t, http.MethodGet, ofWebhook) {
		paths = append(paths, one+path)
	}
	for _, path := range paths {
		page := b.get(path)
		policy := page.header.Get("Content-Security-Policy")
		for _, directive := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			assert.Contains(t, policy, directive, path)
		}
		assert.NotContains(t, policy, "unsafe", path)
		assert.Equal(t, "DENY", page.header.Get("X-Frame-Options"), path)
		assert.Equal(t, "nosniff", page.header.Get("X-Content-Type-Options"), path)
		assert.Equal(t, "same-origin", page.header.Get("Referrer-Policy"), path)
		assert.Equal(t, "same-origin", page.header.Get("Cross-Origin-Resource-Policy"), path)
		assert.Equal(t, "no-store", page.header.Get("Cache-Control"), path)
		for _, inline := range []string{" style=", "<style", "onclick", "javascript:", "<script>"} {
			assert.NotContains(t, page.body, inline, path)
		}
		assert.LessOrEqual(t, len(page.body), 100<<10, path)
	}
}

// No script reads a cookie of ours, and no other site has the browser send one with a
// form. Over https it goes over nothing else, and no other host of the domain can set
// the one that forms are known by.
func TestCookiesAreKeptFromOthers(t *testing.T) {
	s := newSite(t)
	for scheme, form := range map[string]string{"http": "webhooks_form", "https": "__Host-webhooks_form"} {
		b := s.as("")
		b.header.Set("X-Forwarded-Proto", scheme)
		link := b.get(s.pages.SignInPath("good", "p1"))
		require.Equal(t, http.StatusSeeOther, link.status)
		cookies := link.header.Values("Set-Cookie")
		cookies = append(cookies, b.get("/webhooks/sign-in").header.Values("Set-Cookie")...)
		require.Len(t, cookies, 2, scheme)
		assert.Contains(t, cookies[0], sessionCookie+"=good; Path=/")
		assert.Contains(t, cookies[1], form+"=")
		for _, cookie := range cookies {
			assert.Contains(t, cookie, "; HttpOnly")
			assert.Contains(t, cookie, "; SameSite=Lax")
			assert.Equal(t, scheme == "https", strings.Contains(cookie, "; Secure"), cookie)
		}
	}
}

// What others wrote is shown as what it is.
func TestNothingIsBelievedToBeMarkup(t *testing.T) {
	const script = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/?q="+url.QueryEscape(script), "name", script, "description", script)
	s.reply = &webhooksv1.Attempt{
		Outcome: webhooksv1.Outcome_OUTCOME_EXHAUSTED, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 500, StartedAt: timestamppb.Now(),
		Response: &webhooksv1.Response{Body: []byte(script + " abc\u202egnp.exe \u2066x \x00 " + strings.Repeat("я", 8<<20))},
	}
	tested := b.fill(one+"/test", "event", "webhook.test", "format", "json")
	require.Equal(t, http.StatusOK, tested.status)
	assert.LessOrEqual(t, len(tested.body), 100<<10, "8 MiB of an answer are cut")
	assert.Contains(t, tested.body, "abc\ufffdgnp.exe", "what turns a text around is shown")
	for _, page := range []answer{tested, b.get(overview), b.get(one), b.get(one + "/edit"), b.get(one + "/delete"), b.get(one + "/secret")} {
		assert.Contains(t, page.body, "&lt;script&gt;alert(1)&lt;/script&gt;")
		assert.NotContains(t, page.body, "<script>")
		assert.NotContains(t, page.body, "<img")
		for _, turning := range []string{"\u202e", "\u2066", "\x00"} {
			assert.NotContains(t, page.body, turning)
		}
	}
}

// Who may do what is what the API says.
func TestWhoSeesWhat(t *testing.T) {
	s := newSite(t)
	good := s.as("good")
	one := good.add("url", "https://example.org/", "name", "A name to look for")
	for token, want := range map[string]int{"member": 403, "stranger": 404, "away": 503, "expired": 303, "": 303} {
		b := s.as(token)
		for _, path := range []string{overview, one, one + "/edit", overview + "/new", one + "/delete"} {
			page := b.get(path)
			assert.Equal(t, want, page.status, token+" "+path)
			assert.NotContains(t, page.body, "A name to look for", token)
			if want == http.StatusSeeOther {
				assert.Equal(t, "/webhooks/sign-in?next="+url.QueryEscape(path), page.header.Get("Location"))
			}
		}
		if want != http.StatusSeeOther {
			assert.NotEqual(t, http.StatusSeeOther, b.fill(one+"/delete").status)
		}
	}
	assert.Equal(t, http.StatusOK, good.get(one).status, "nobody has deleted it")
	away := s.as("away").get(overview)
	assert.Contains(t, away.body, "Your webhooks are safe")
	assert.Equal(t, "5", away.header.Get("Retry-After"))
	assert.Equal(t, http.StatusNotFound, good.get("/projects/missing/webhooks").status)
}

// Whoever sends a form after the session has ended is told that nothing came of it.
func TestAFormWithoutASessionSaysThatNothingWasChanged(t *testing.T) {
	s := newSite(t)
	one := s.as("good").add("url", "https://example.org/", "name", "As it was")
	for token, want := range map[string]bool{"good": false, "": true} {
		b := s.as(token)
		sent := b.post(one+"/enabled", "_token", b.token("/webhooks/sign-in"), "enabled", "false", "back", overview)
		require.Equal(t, http.StatusSeeOther, sent.status)
		assert.Equal(t, want, sent.header.Get("Location") == "/webhooks/sign-in?next="+url.QueryEscape(overview)+"&unsaved=true", sent.header)
		assert.Equal(t, want, strings.Contains(b.get(sent.header.Get("Location")).body, "so nothing was changed"), token)
	}
}

// A tier that fell leaves looking, switching off and deleting.
func TestATierThatIsTooLowFreezes(t *testing.T) {
	s := newSite(t)
	one := s.as("good").add("url", "https://example.org/", "signing", "true", "secret", "a-secret-of-mine")
	b := s.as("low-tier")
	const why = "This takes the “changemaker” tier; the workspace has “innovator” now."
	page := b.get(overview)
	require.Equal(t, http.StatusOK, page.status)
	assert.Contains(t, page.body, why)
	assert.NotContains(t, page.body, overview+"/new")
	b.header.Set("Accept-Language", "nl")
	assert.Contains(t, b.get(overview).body, "Hiervoor is het abonnement ‘changemaker’ nodig; de werkruimte heeft nu ‘innovator’.")
	b.header.Set("Accept-Language", "en")

	assert.Contains(t, b.get(one+"/edit").body, why)
	for _, path := range []string{overview + "/new", one + "/test", overview + "/clone"} {
		refused := b.get(path)
		assert.Equal(t, http.StatusForbidden, refused.status, path)
		assert.Contains(t, refused.body, why, path)
	}
	token := b.token(one)
	for _, path := range []string{overview + "/new", one + "/edit", one + "/test", one + "/secret", one + "/secret/stop"} {
		assert.Equal(t, http.StatusForbidden, b.post(path, "_token", token, "url", "https://example.org/x", "events", "report.generated").status, path)
	}
	assert.Equal(t, http.StatusSeeOther, b.post(one+"/enabled", "_token", token, "enabled", "false").status)
	assert.Equal(t, http.StatusForbidden, b.post(one+"/enabled", "_token", token, "enabled", "true").status, "switching on is a change")
	assert.Equal(t, http.StatusSeeOther, b.post(one+"/delete", "_token", token).status)
}

// A link signs in once; the token is in no address.
func TestALinkSignsInOnce(t *testing.T) {
	s := newSite(t)
	path := s.pages.SignInPath("good", "p1")
	assert.NotContains(t, path, "good")
	b := s.as("")
	in := b.get(path)
	require.Equal(t, http.StatusSeeOther, in.status)
	assert.Equal(t, overview, in.header.Get("Location"), "the code is not in the history")
	assert.Equal(t, http.StatusOK, b.get(overview).status)
	assert.Equal(t, http.StatusSeeOther, b.get(path).status, "again, in the same browser")

	spent := s.as("").get(path)
	assert.Equal(t, http.StatusOK, spent.status)
	assert.Contains(t, spent.body, "used already")

	out := b.post("/webhooks/sign-out", "_token", b.token(overview))
	require.Equal(t, http.StatusSeeOther, out.status)
	assert.Equal(t, http.StatusSeeOther, b.get(overview).status)
}

func TestSigningInWithAToken(t *testing.T) {
	s := newSite(t)
	b := s.as("")
	for _, row := range []struct{ project, token, want string }{
		{"p1", "wrong", "This token is not known"},
		{"p1", "", "This token is not known"},
		{"p1", "with blank", "This token is not known"},
		{"p1", "stranger", "does not manage a project"},
		{"", "good", "Enter the id of the project"},
		{"../x", "good", "Enter the id of the project"},
	} {
		page := b.fill("/webhooks/sign-in", "project", row.project, "token", row.token)
		assert.Equal(t, http.StatusUnprocessableEntity, page.status, row)
		assert.Contains(t, page.body, row.want, row)
		if row.token != "" {
			assert.NotContains(t, page.body, `value="`+row.token, row)
		}
	}
	for next, want := range map[string]string{
		"": overview, overview + "/new?clone=x": overview + "/new?clone=x", "https://evil.example/projects/p1/": overview,
		"//evil.example/projects/p1/webhooks": overview, `/\evil.example/projects/p1`: overview, "/projects/p2/webhooks": overview,
	} {
		in := b.fill("/webhooks/sign-in", "project", "p1", "token", "good", "next", next)
		require.Equal(t, http.StatusSeeOther, in.status, next)
		assert.Equal(t, want, in.header.Get("Location"), next)
	}
}

// Without a page for tokens, whoever has no session is told where to get one.
func TestWithoutASignInPageTheDashboardSignsIn(t *testing.T) {
	s := newSiteWith(t, portal.Deps{SessionCookie: sessionCookie, DashboardURL: "https://dashboard.example.org", Log: zap.NewNop()})
	b := s.as("")
	page := b.get(overview)
	assert.Equal(t, http.StatusUnauthorized, page.status)
	assert.Contains(t, page.body, `href="https://dashboard.example.org"`)
	assert.Equal(t, http.StatusNotFound, b.get("/webhooks/sign-in").status)
	assert.NotContains(t, s.as("good").get(overview).body, "Sign out")
}

func TestTheLanguageIsTheBrowsersOrTheChosenOne(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	b.header.Set("Accept-Language", "nl-BE,nl;q=0.9")
	page := b.get(overview)
	assert.Contains(t, page.body, `<html lang="nl">`)
	assert.Equal(t, "nl", page.header.Get("Content-Language"))
	chosen := b.post("/webhooks/language", "_token", b.token(overview), "language", "en", "here", overview+"/new")
	assert.Equal(t, overview+"/new", chosen.header.Get("Location"))
	assert.Contains(t, b.get(overview).body, `<html lang="en">`)
	assert.Equal(t, "/webhooks/sign-in", b.post("/webhooks/language", "_token", b.token(overview), "language", "nl", "here", "https://evil.example/").header.Get("Location"))
}

// What the server itself refuses is a page, too, and not for programs.
func TestWhatTheServerRefusesIsAPage(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	page := b.post(overview+"/clone", "_token", "x") // there is no such form
	assert.Equal(t, http.StatusNotFound, page.status)
	assert.Contains(t, page.header.Get("Content-Type"), "text/html")
	assert.Contains(t, page.body, "Nothing here")
	assert.Contains(t, b.get("/api/projects/p1/webhooks/nothing").header.Get("Content-Type"), "application/problem+json")
	large := b.post(overview+"/new", "_token", b.token(overview), "url", strings.Repeat("x", 257<<10))
	assert.Equal(t, http.StatusRequestEntityTooLarge, large.status)
	assert.Contains(t, large.body, "too large")
}
