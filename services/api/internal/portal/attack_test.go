package portal_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// send sends a body as it is, as no browser would.
func (b *browser) send(path, kind, body string) answer {
	b.site.t.Helper()
	request, err := http.NewRequestWithContext(b.site.t.Context(), http.MethodPost, b.site.url+path, strings.NewReader(body))
	require.NoError(b.site.t, err)
	request.Header.Set("Content-Type", kind)
	return b.do(request)
}

// What no form of ours sends is refused, says so, and is answered with little.
func TestFormsThatAreNone(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/", "name", "As it was", "header_name", "X-Api-Key", "header_value", "k")
	token := b.token(one)
	good := "_token=" + url.QueryEscape(token) + "&url=https://example.org/&format=json&events=report.generated&enabled=true&name=Changed"
	for name, row := range map[string]struct {
		kind, body string
		want       int
	}{
		"half an escape":   {form, good + "&description=%zz", http.StatusBadRequest},
		"semicolons":       {form, strings.ReplaceAll(good, "&", ";"), http.StatusBadRequest},
		"several parts":    {"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"_token\"\r\n\r\n" + token + "\r\n--x--", http.StatusBadRequest},
		"JSON":             {"application/json", `{"_token":"` + token + `"}`, http.StatusForbidden},
		"nothing":          {form, "", http.StatusForbidden},
		"a NUL":            {form, strings.Replace(good, "Changed", "a%00b", 1), http.StatusUnprocessableEntity},
		"thousand headers": {form, good + strings.Repeat("&header_name=a", 4000), http.StatusUnprocessableEntity},
		"one header often": {form, good + strings.Repeat("&header_name=X-Api-Key", 1200) + strings.Repeat("&header_remove=X-Api-Ke", 1000) + "&description=%00", http.StatusUnprocessableEntity},
		"events":           {form, good + strings.Repeat("&events=a", 6000), http.StatusUnprocessableEntity},
		"rate NaN":         {form, good + "&max_per_second=NaN", http.StatusUnprocessableEntity},
		"rate Inf":         {form, good + "&max_per_second=-Inf", http.StatusUnprocessableEntity},
		"rate hexadecimal": {form, good + "&max_per_second=0x10", http.StatusUnprocessableEntity},
		"rate 1e3":         {form, good + "&max_per_second=1e3", http.StatusUnprocessableEntity},
	} {
		page := b.send(one+"/edit", row.kind, row.body)
		assert.Contains(t, []int{row.want, http.StatusBadRequest}, page.status, name)
		assert.Equal(t, row.want/100, page.status/100, name)
		assert.LessOrEqual(t, len(page.body), 100<<10, name)
		assert.NotContains(t, page.body, "too large for one form", name)
	}
	assert.Contains(t, b.get(one).body, "As it was")
}

// A limit is understood as the reader writes numbers.
func TestNumbersAreTypedAsTheReaderWritesThem(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	for _, row := range []struct{ language, typed, want string }{
		{"en", "1,000", "At most 1000 a second"},
		{"en", "2.5", "At most 2.5 a second"},
		{"en", "2,5", "At most 2.5 a second"},
		{"en", "0.500", "At most 0.5 a second"},
		{"nl", "1.000", "Hooguit 1000 per seconde"},
		{"nl", "2,5", "Hooguit 2,5 per seconde"},
		{"nl", "0.5", "Hooguit 0,5 per seconde"},
	} {
		b.header.Set("Accept-Language", row.language)
		saved := b.fill(one+"/edit", "url", "https://example.org/", "name", "x", "format", "json", "events", "report.generated", "enabled", "true", "max_per_second", row.typed)
		require.Equal(t, http.StatusSeeOther, saved.status, row)
		assert.Contains(t, b.get(one).body, row.want, row)
	}
}

// A page that was come to by a form sends the next one just as well, and says what
// that did.
func TestEveryFormSaysWhatItDid(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	page := one + "?x=1"
	for _, what := range []string{"false", "true", "false"} {
		here := regexp.MustCompile(`name="back" value="([^"]+)"`).FindStringSubmatch(b.get(page).body)
		require.NotNil(t, here)
		page = b.post(one+"/enabled", "_token", b.token(one), "enabled", what, "back", strings.ReplaceAll(here[1], "&amp;", "&")).header.Get("Location")
		want := map[string]string{"true": "The webhook is on", "false": "The webhook is off"}[what]
		assert.Contains(t, b.get(page).body, want, page)
		assert.Contains(t, page, "x=1", "the page is the one that the form was on")
	}
}

// A tab or a history tells pages apart.
func TestEveryPageHasItsTitle(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/", "name", "Archive")
	seen := map[string]string{}
	for _, path := range []string{
		overview, overview + "/new", overview + "/clone", overview + "/nothing-here", one, one + "/deliveries", one + "/statistics", one + "/test", one + "/edit",
		one + "/secret", one + "/developer", one + "/check", one + "/delete", "/webhooks/sign-in",
	} {
		page := b.get(path).body
		title := regexp.MustCompile(`<title>([^<]+)</title>`).FindStringSubmatch(page)
		require.NotNil(t, title, path)
		assert.Empty(t, seen[title[1]], "%s and %s have the same title: %s", path, seen[title[1]], title[1])
		seen[title[1]] = path
		parts := strings.Split(title[1], " · ")
		for i, part := range parts {
			assert.NotContains(t, parts[i+1:], part, title[1])
		}
		if strings.HasPrefix(path, one) {
			assert.Contains(t, parts, "Archive", path)
		}
		if strings.HasPrefix(path, overview) && path != overview+"/nothing-here" {
			assert.Contains(t, parts, "Town talks", path)
		}
		assert.Equal(t, 1, strings.Count(page, "<h1"), path)
	}
}

// A link with a code is ours, or it does nothing; what leads elsewhere spends no code.
func TestACodeLeadsToPagesOnly(t *testing.T) {
	s := newSite(t)
	link, err := url.Parse(s.pages.SignInPath("good", "p1"))
	require.NoError(t, err)
	code := link.Query().Get("code")
	for _, next := range []string{"", "//evil.example/", "https://evil.example/projects/p1/webhooks", "javascript:alert(1)", `/\evil.example`, "/api/docs"} {
		page := s.as("").get("/webhooks/sign-in?code=" + code + "&next=" + url.QueryEscape(next))
		assert.Equal(t, http.StatusOK, page.status, next)
		assert.NotContains(t, strings.Join(page.header.Values("Set-Cookie"), "\n"), sessionCookie, next)
		assert.Contains(t, page.body, `name="next" value=""`, next)
	}
	assert.Equal(t, overview, s.as("").get(link.String()).header.Get("Location"), "it was not spent")
}

// Who is signed in as somebody that may see nothing can sign out.
func TestWhoSeesNothingCanSignOut(t *testing.T) {
	s := newSite(t)
	for _, token := range []string{"stranger", "member", "away", "good"} {
		assert.Contains(t, s.as(token).get(overview).body, "Sign out", token)
	}
	assert.NotContains(t, s.as("").get("/webhooks/sign-in").body, "Sign out")
}

// While two versions run, a page of one gets the style sheet of the other, and does
// not keep it.
func TestAssetsOfAnotherVersion(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	style := regexp.MustCompile(`href="(/webhooks/assets/[^"]+\.css)"`).FindStringSubmatch(b.get(overview).body)
	require.NotNil(t, style)
	assert.Regexp(t, `<link rel="icon" type="image/svg\+xml" href="/webhooks/assets/[0-9a-f]{12}/icon\.svg">`, b.get(overview).body, "a browser asks for none elsewhere")
	for name, kind := range map[string]string{"app.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		other := b.get("/webhooks/assets/000000000000/" + name)
		assert.Equal(t, http.StatusOK, other.status)
		assert.Equal(t, "no-store", other.header.Get("Cache-Control"))
		assert.Equal(t, kind, other.header.Get("Content-Type"))
		assert.Equal(t, "nosniff", other.header.Get("X-Content-Type-Options"))
	}
	assert.Contains(t, b.get(style[1]).header.Get("Cache-Control"), "immutable")
	for _, path := range []string{"/webhooks/assets/x/nothing.css", "/webhooks/assets/x/..%2fapp.css", "/webhooks/assets/x/", "/webhooks/assets/"} {
		assert.Equal(t, http.StatusNotFound, b.get(path).status, path)
	}
}

// A project is called by somebody else than us, too.
func TestProjectNamesAreShownAsWhatTheyAre(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	b.add("url", "https://example.org/")
	const turned = "/projects/turned/webhooks"
	made := b.fill(turned+"/new", "form", "x", "url", "https://example.org/", "events", "report.generated", "enabled", "true")
	one := strings.TrimSuffix(b.wantMade(made), "/created")
	for _, path := range []string{turned, one, one + "/developer", one + "/developer?event=webhook.test&format=slack", turned + "/clone", overview + "/clone"} {
		page := b.get(path).body
		for _, bad := range []string{"\u202e", "\x00", "\u009b", "<script>", "<b>project"} {
			assert.NotContains(t, page, bad, path)
		}
	}
	assert.Contains(t, b.get(turned).body, "talks \ufffdgnp.exe &lt;script&gt;")
}

// A link that somebody made makes no page larger than it is.
func TestALongAddressMakesNoLargePage(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	for _, query := range []string{strings.Repeat("a=%22&", 5000), "cursor=" + strings.Repeat("x", 30_000), "next=/projects/" + strings.Repeat("&", 30_000)} {
		for _, path := range []string{overview, overview + "/new", overview + "/nothing", one + "/deliveries", "/webhooks/sign-in"} {
			page := b.get(path + "?" + query)
			assert.Less(t, page.status, http.StatusInternalServerError, path)
			assert.LessOrEqual(t, len(page.body), 100<<10, path)
		}
	}
}

// Who may not see a webhook learns nothing from any page or form, and changes nothing:
// neither with somebody else's address nor with an id of theirs in an own address.
func TestEveryPageAndFormIsGuarded(t *testing.T) {
	s := newSite(t)
	good := s.as("good")
	one := good.add("url", "https://example.org/", "name", "A name to look for", "signing", "true", "secret", "a-secret-of-mine")
	id := one[strings.LastIndex(one, "/")+1:]
	pages, forms := routesOf(t, http.MethodGet, ofWebhook), routesOf(t, http.MethodPost, ofWebhook)
	const unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAW"
	changing := regexp.MustCompile(`name="_(token|kept)" value="[^"]+"|<code>[0-9A-Z]{26}</code>|` + id + "|" + unknown)
	for caller, want := range map[string]int{
		"member": http.StatusForbidden, "stranger": http.StatusNotFound, "away": http.StatusServiceUnavailable, "expired": http.StatusSeeOther,
		"": http.StatusSeeOther, "good": http.StatusNotFound,
	} {
		b := s.as(caller)
		token, project := b.token("/webhooks/sign-in"), overview
		if caller == "good" {
			project = "/projects/p2/webhooks" // which is theirs, and the webhook is not in it
		}
		send := func(path string) answer {
			return b.post(path+"?enabled=false", "_token", token, "enabled", "false", "overlap", "0", "url", "https://evil.example/", "secret", "another-secret")
		}
		asked := func(ask func(path string) answer, path string) {
			there, nowhere := ask(project+"/"+id+path), ask(project+"/"+unknown+path)
			// Whoever has no session signs in there, with what was typed.
			assert.Contains(t, []int{want, map[int]int{http.StatusSeeOther: http.StatusUnauthorized}[want]}, there.status, caller+" "+path)
			assert.Equal(t, nowhere.status, there.status, caller+" "+path)
			assert.Equal(t, changing.ReplaceAllString(nowhere.header.Get("Location")+nowhere.body, ""), changing.ReplaceAllString(there.header.Get("Location")+there.body, ""), caller+" "+path)
			assert.NotContains(t, there.body, "A name to look for", caller+" "+path)
		}
		for _, path := range pages {
			asked(b.get, path)
		}
		for _, path := range forms {
			asked(send, path)
		}
	}
	list, err := s.store.List(t.Context(), "p1")
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.True(t, list[0].Status.Enabled())
	assert.Equal(t, "https://example.org/", list[0].URL)
	assert.Equal(t, http.StatusOK, good.get(one).status)
}

// Where the tier is too low, a page offers only what the API lets through.
func TestAFrozenProjectOffersOnlyWhatWorks(t *testing.T) {
	s := newStoredSite(t)
	one := s.as("good").add("url", "https://example.org/", "signing", "true", "secret", "a-secret-of-mine")
	b := s.as("low-tier")
	leads, sends := regexp.MustCompile(`href="(/projects/[^"#]+)"`), regexp.MustCompile(`(?:form)?action="(/[^"]+)"[^>]*>`)
	works := []string{one + "/enabled", one + "/delete", one + "/check", "/webhooks/language", "/webhooks/sign-out"}
	for _, path := range append([]string{overview}, one, one+"/deliveries", one+"/statistics", one+"/developer", one+"/check", one+"/missing", one+"/replays", one+"/edit", one+"/secret", one+"/delete") {
		page := b.get(path)
		require.Equal(t, http.StatusOK, page.status, path)
		for _, found := range leads.FindAllStringSubmatch(page.body, -1) {
			assert.NotEqual(t, http.StatusForbidden, b.get(strings.ReplaceAll(found[1], "&amp;", "&")).status, "%s leads to %s", path, found[1])
		}
		for _, found := range sends.FindAllStringSubmatch(page.body, -1) {
			isFilter := found[1] == path // it only looks
			assert.True(t, isFilter || slices.Contains(works, found[1]), "%s offers %s", path, found[1])
		}
	}
}
