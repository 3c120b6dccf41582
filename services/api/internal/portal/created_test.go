package portal_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/dembrane/webhooks/services/api/internal/httpapi"
	"github.com/dembrane/webhooks/services/api/internal/portal"
)

const typedSecret = "a-secret-of-mine"

// made sends the form of a new webhook with a secret and returns what the browser got.
func (b *browser) made(secret string) answer {
	b.site.t.Helper()
	return b.press(b.get(overview+"/new"), overview+"/new", "url", "https://example.org/", "secret", secret)
}

// cookie is the last one of this name that an answer sets or takes away; nil for none.
func (a answer) cookie(name string) (last *http.Cookie) {
	for _, line := range a.header.Values("Set-Cookie") {
		if cookie, err := http.ParseSetCookie(line); err == nil && cookie.Name == name {
			last = cookie
		}
	}
	return last
}

// brought is the cookie that a secret is brought in.
func (a answer) brought() *http.Cookie { return a.cookie("webhooks_made") }

// withCookie asks for a page with a cookie more than the browser has.
func (b *browser) withCookie(path, value string) answer {
	b.site.t.Helper()
	b.header.Set("Cookie", "webhooks_made="+value)
	defer b.header.Del("Cookie")
	return b.get(path)
}

// The page of a new webhook shows its secret once: the secret is in no address, no
// cookie that can be read and no log. Afterwards the page says so and leads on.
func TestANewSecretIsShownOnce(t *testing.T) {
	for name, signIn := range map[string]bool{"static": true, "directus": false} {
		t.Run(name, func(t *testing.T) {
			core, logged := observer.New(zapcore.DebugLevel)
			s := newSiteWith(t, portal.Deps{
				SessionCookie: sessionCookie, SignIn: signIn, DashboardURL: "https://dashboard.example.org", Log: zap.New(core),
			}, func(deps *httpapi.Deps) { deps.Log = zap.New(core) })
			b := s.as("good")
			made := b.made(typedSecret)
			path := b.wantMade(made)
			cookie := made.brought()
			require.NotNil(t, cookie)
			assert.Equal(t, path, cookie.Path)
			assert.True(t, cookie.HttpOnly)
			assert.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
			assert.Equal(t, 600, cookie.MaxAge)
			assert.NotContains(t, cookie.Value, typedSecret)

			page := b.get(path)
			assert.Contains(t, page.body, ">"+typedSecret+"</code>")
			assert.Equal(t, "no-store", page.header.Get("Cache-Control"))
			require.NotNil(t, page.brought())
			assert.Negative(t, page.brought().MaxAge, "it is taken away")
			for _, again := range []answer{b.get(path), s.as("good").get(path)} {
				require.Equal(t, http.StatusOK, again.status)
				assert.NotContains(t, again.body, typedSecret)
				assert.Contains(t, readable(again), "It is shown only once, right after the webhook was added.")
				assert.Contains(t, again.body, `href="`+strings.TrimSuffix(path, "/created")+`/secret"`)
				assert.Nil(t, again.brought())
			}
			s.wantWebhooks(1)
			for _, entry := range logged.All() {
				for _, field := range entry.Context {
					assert.NotContains(t, field.String, typedSecret)
					assert.NotContains(t, field.String, cookie.Value)
				}
			}
		})
	}
}

// A browser does not keep a page that shows a secret for the way back: a cookie changes
// as soon as it is left. See the test of the browser, without scripts.
func TestPagesWithSecretsAreNotKept(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	made := b.wantMade(b.made(typedSecret))
	for _, path := range []string{made, strings.TrimSuffix(made, "/created") + "/secret"} {
		shown := b.get(path).cookie("webhooks_shown")
		require.NotNil(t, shown, path)
		assert.True(t, shown.HttpOnly)
		assert.GreaterOrEqual(t, shown.MaxAge, 0)
		left := b.get(overview).cookie("webhooks_shown")
		require.NotNil(t, left, path)
		assert.Negative(t, left.MaxAge)
		assert.Nil(t, b.get(overview).cookie("webhooks_shown"))
	}
}

// Two webhooks that are added in two tabs do not get in each other's way, and a secret
// of whatever length fits a cookie.
func TestTwoNewSecretsAreShownOnceEach(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	long := strings.Repeat("%é\"", 63)
	first, second := b.wantMade(b.made(typedSecret)), b.made(long)
	assert.Less(t, len(second.brought().Value), 2000)
	assert.Contains(t, readable(b.get(b.wantMade(second))), long)
	assert.Contains(t, b.get(first).body, typedSecret)
	assert.NotContains(t, b.get(first).body, typedSecret)
}

// The cookie of another webhook, project or browser shows nothing, nor one that was
// changed; and whoever may not see the webhook sees no secret of it.
func TestASecretIsBroughtToItsPageAlone(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	sealed := b.made(typedSecret)
	other := b.made("another-secret")
	value, path := sealed.brought().Value, b.wantMade(sealed)
	for name, shown := range map[string]answer{
		"another webhook": b.withCookie(b.wantMade(other), value),
		"another browser": s.as("good").withCookie(path, value),
	} {
		assert.Equal(t, http.StatusOK, shown.status, name)
		assert.NotContains(t, shown.body, typedSecret, name)
	}
	assert.Equal(t, http.StatusNotFound, b.withCookie(strings.Replace(path, "p1", "p2", 1), value).status, "another project")
	for token, status := range map[string]int{"member": http.StatusForbidden, "stranger": http.StatusNotFound, "": http.StatusSeeOther} {
		b.become(token)
		refused := b.get(path)
		assert.Equal(t, status, refused.status, token)
		assert.NotContains(t, refused.body, typedSecret)
		assert.Nil(t, refused.brought(), "it is not used up")
	}
	b.become("good")
	assert.Contains(t, b.get(path).body, typedSecret)
	for _, value := range []string{spoiled(value), "?", ""} {
		assert.Contains(t, readable(b.withCookie(path, value)), "shown only once")
	}
}

// Another replica of the api shows the secret as well: none of them remembers it.
func TestAnyReplicaShowsANewSecret(t *testing.T) {
	s, replica := newSite(t), newSite(t)
	b := s.as("good")
	path := b.wantMade(b.made(typedSecret))
	list, err := s.store.List(t.Context(), "p1")
	require.NoError(t, err)
	_, err = replica.store.Create(t.Context(), list[0], 50) // they have one database
	require.NoError(t, err)
	b.site = replica
	assert.Contains(t, b.get(path).body, typedSecret)
}

// A webhook that is off gets nothing yet, and one without a secret has none to show.
func TestTheNewWebhookIsDescribedAsItIs(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	text := readable(b.seeMade(b.press(b.get(overview+"/new"), overview+"/new", "url", slackURL, "enabled", "false")))
	assert.Contains(t, text, "Your webhook is ready “hooks.slack.com” is off: nothing is sent until you switch it on.")
	assert.NotContains(t, text, "shown only once")
}
