package portal_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	slackURL = "https://hooks.slack.com/services/T/B/X"
	chatNote = "A chat does not check signatures, so no secret is needed."
)

// hides reports whether a page hides what it says for a kind of receiver.
func hides(page answer, kind string) bool {
	return strings.Contains(page.body, `data-for="`+kind+`" hidden`)
}

// A chat checks no signature: it gets no secret, and its host is told so. Whoever turns
// it into data learns that there can be one.
func TestAChatNeedsNoSecret(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	made := b.seeMade(b.press(b.get(overview+"/new"), overview+"/new", "url", slackURL, "name", "The channel"))
	assert.Contains(t, made.body, chatNote)
	assert.NotContains(t, made.body, "whsec_")
	list, err := s.store.List(t.Context(), "p1")
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Empty(t, list[0].Secrets)

	one := overview + "/" + list[0].ID
	page := b.get(one + "/secret")
	assert.Contains(t, page.body, chatNote)
	assert.Contains(t, page.body, "<details><summary><h2>Sign all the same")
	data := b.press(b.get(one+"/edit"), one+"/edit", "format", "json")
	require.Equal(t, one+"?done=saved-data", data.header.Get("Location"))
	assert.Contains(t, b.get(data.header.Get("Location")).body, "make a secret for it under “Secret”")
	page = b.get(one + "/secret")
	assert.NotContains(t, page.body, chatNote)
	assert.NotContains(t, page.body, "Sign all the same")

	require.Equal(t, http.StatusSeeOther, b.press(page, one+"/secret", "secret", "a-secret-of-mine").status)
	assert.Equal(t, one+"?done=saved", b.press(b.get(one+"/edit"), one+"/edit", "format", "slack").header.Get("Location"))
	page = b.get(one + "/secret")
	assert.Contains(t, page.body, chatNote)
	assert.Contains(t, page.body, "Deliveries are signed with a secret.", "the API goes on signing")
}

// The form says what is got of an event in the chosen format, also without a script.
func TestTheFormSaysWhatIsGot(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	page := b.get(overview + "/new")
	assert.True(t, hides(page, "chat") && !hides(page, "data"))
	assert.Contains(t, page.body, "You get the whole transcript.")
	for _, typed := range [][]string{{"url", slackURL}, {"url", "https://example.org/", "format", "teams"}} {
		page = b.press(b.get(overview+"/new"), overview+"/new", append(typed, "max_per_second", "x")...)
		require.Equal(t, http.StatusUnprocessableEntity, page.status)
		assert.True(t, hides(page, "data") && !hides(page, "chat"), typed)
		assert.Contains(t, page.body, "The transcript itself is not posted.")
	}
	one := b.add("url", slackURL)
	assert.True(t, hides(b.get(one+"/edit"), "data"))
}

// What comes along in copying does no harm.
func TestAnAddressIsTakenAsItIsCopied(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	for typed, want := range map[string]string{
		"  https://example.org/a \r\n":        "https://example.org/a",
		"<https://example.org/b>":             "https://example.org/b",
		"“https://example.org/c”":             "https://example.org/c",
		"https://example.org/lo\r\nng":        "https://example.org/long",
		"hooks.zapier.com/hooks/catch/1/d":    "https://hooks.zapier.com/hooks/catch/1/d",
		"//example.org/e":                     "https://example.org/e",
		"example.org:8443/f?x=https://y.org/": "https://example.org:8443/f?x=https://y.org/",
		"\ufeffhttps://example.org/g\u00a0":   "https://example.org/g",
		"http://example.org/h":                "http://example.org/h",
		"EXAMPLE.org/i":                       "https://example.org/i",
	} {
		b.wantMade(b.press(b.get(overview+"/new"), overview+"/new", "url", typed))
		list, err := s.store.List(t.Context(), "p1")
		require.NoError(t, err)
		urls := make([]string, len(list))
		for i, w := range list {
			urls[i] = w.URL
		}
		assert.Contains(t, urls, want, typed)
	}
	for _, row := range [][2]string{
		{"", "The URL must not be empty."},
		{"my webhook", "The URL must not contain spaces"},
		{"localhost:8080/x", "The URL must start with https:// or http://."},
		{"mailto:a@example.org", "The URL must start with"},
		{"https://me:secret@example.org", "must not contain a user name or a password"},
		{"me:secret@example.org", "The URL must start with"},
		{"https://zapier.com/editor/1/published", "This is a page of Zapier itself: deliveries cannot be sent to it. Open the trigger"},
		{"zapier.com/app/zaps", "This is a page of Zapier itself"},
		{"https://eu1.make.com/1/scenarios/2/edit", "This is a page of Make itself"},
		{"https://x.app.n8n.cloud/workflow/abc", "This is a page of n8n itself"},
		{"https://api.slack.com/apps/A0/incoming", "This is a page of Slack itself"},
		{"https://app.slack.com/client/T0/C0", "This is a page of Slack itself"},
		{"https://discord.com/channels/1/2", "This is a page of Discord itself"},
		{"https://teams.microsoft.com/l/channel/1", "This is a page of Microsoft Teams itself"},
		{"https://make.powerautomate.com/x", "This is a page of Power Automate itself"},
		{"https://chat.google.com/room/x", "This is a page of Google Chat itself"},
		{"https://script.google.com/home/projects/x", "This is a page of Google Apps Script itself"},
	} {
		typed, want := row[0], row[1]
		refused := b.press(b.get(overview+"/new"), overview+"/new", "url", typed)
		require.Equal(t, http.StatusUnprocessableEntity, refused.status, typed)
		assert.Contains(t, refused.body, want, typed)
		assert.Contains(t, refused.body, `href="#url"`, typed)
	}
}

// What is beside an address while it is typed, and stays there without a script.
func TestTheFormWarnsOfAnAddress(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/twin", "name", "The <first>")
	token := b.token(overview + "/new")
	ask := func(url, webhook string) answer {
		return b.post(overview+"/suggest?webhook="+webhook, "_token", token, "url", url)
	}
	twin := ask("example.org/twin", "")
	assert.Contains(t, twin.body, "sends to the same address")
	assert.Contains(t, twin.body, `<a href="`+one+`" target="_blank" rel="noopener" dir="auto">The &lt;first&gt;</a>`)
	assert.NotContains(t, ask("https://example.org/twin", strings.TrimPrefix(one, overview+"/")).body, "same address", "it is this one")
	assert.Contains(t, ask("http://example.org/x", "").body, "whoever is on the way can read")
	assert.Contains(t, ask("https://zapier.com/editor/1", "").body, "This is a page of Zapier itself")
	assert.Equal(t, "slack", ask(slackURL, "").header.Get("Suggested-Format"))
	assert.Empty(t, ask("https://example.org/", "").header.Get("Suggested-Format"))

	made := b.seeMade(b.press(b.get(overview+"/new"), overview+"/new", "url", "https://example.org/twin")) // it may be meant
	assert.Contains(t, made.body, "sends to the same address")
	assert.NotContains(t, b.get(overview+"/new").body, "same address")
}

// Each fault is beside its field and in the list above, in the order of the fields.
func TestEveryFaultHasItsField(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	page := b.get(overview + "/new")
	token := b.token(overview + "/new")
	require.NotEmpty(t, page)
	long := strings.Repeat("é", 201)
	refused := b.post(overview+"/new", "_token", token, "form", "f", "url", "https://zapier.com/editor/1", "name", long,
		"max_per_second", "NaN", "description", strings.Repeat("x", 2001), "signing", "true", "secret", "short",
		"header_name", "X-Good", "header_value", "good", "header_name", "x-good", "header_value", "twice",
		"header_name", "Bad name", "header_value", "x", "header_name", "X-Empty", "header_value", " ",
		"header_name", "Content-Type", "header_value", "x", "header_name", "", "header_value", "no name",
		"header_name", "X-Tab", "header_value", "a\tb")
	require.Equal(t, http.StatusUnprocessableEntity, refused.status, refused.body)
	last := 0
	for _, want := range [][2]string{
		{"url", "This is a page of Zapier itself"},
		{"name", "The name must have at most 200 characters."},
		{"events", "Choose at least one event.</span>"},
		{"secret", "The secret must have 8 to 255 characters (letters with accents count twice)."},
		{"header-name-1", "The header x-good is there already."},
		{"header-name-2", "must consist of ASCII letters"},
		{"header-value-3", "Enter a value for the header X-Empty."},
		{"header-name-4", "The header Content-Type cannot be set"},
		{"header-name-5", "The name of a header must not be empty."},
		{"header-value-6", "must consist of printable characters"},
		{"max_per_second", "Enter a number from 0.1 to 1,000"},
		{"description", "at most 2000 characters"},
	} {
		field, message := want[0], want[1]
		at := strings.Index(refused.body, `<a href="#`+field+`">`)
		assert.Greater(t, at, last, field)
		last = max(at, last)
		assert.Contains(t, refused.body, `id="`+field+`-fault"`)
		assert.Contains(t, refused.body, `id="`+field+`"`)
		assert.Regexp(t, `aria-invalid="true" aria-describedby="`+field+`-fault`, refused.body)
		assert.Contains(t, refused.body, message)
	}
	assert.Contains(t, refused.body, `value="`+long+`"`, "nothing is cut off")
	assert.Contains(t, refused.body, `<details open>`)
	assert.Contains(t, refused.body, `id="faults" tabindex="-1" autofocus`)
	s.wantWebhooks(0)
	b.header.Set("Accept-Language", "nl")
	dutch := b.press(b.get(overview+"/new"), overview+"/new", "url", "https://zapier.com/editor/1", "header_name", "X-Leeg")
	for _, want := range []string{"Dit is een pagina van Zapier zelf", "Vul een waarde voor de header X-Leeg in."} {
		assert.Contains(t, dutch.body, want)
	}
}

// What is far too long, as when a whole transcript was pasted, is said beside its field,
// and stays there with all else, also for who was signed out meanwhile.
func TestWhatIsFarTooLongIsSaidBesideItsField(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/", "name", "As it was", "signing", "true", "secret", "a-secret-of-mine")
	long := strings.Repeat("long-", 20_000)
	fields := map[string]string{"url": "url", "name": "name", "description": "description", "header_name": "header-name-0", "header_value": "header-value-0"}
	for path, fields := range map[string]map[string]string{
		overview + "/new": {"secret": "secret", "url": "url", "description": "description"}, one + "/edit": fields, one + "/secret": {"secret": "secret"},
	} {
		page := b.get(path)
		for field, id := range fields {
			refused := b.press(page, path, "url", "https://example.org/", "name", "Kept", "header_name", "X-Key", "header_value", "a-key", field, long)
			require.Equal(t, http.StatusUnprocessableEntity, refused.status, path+" "+field)
			assert.Contains(t, refused.body, `id="`+id+`-fault"`, path)
			assert.Contains(t, refused.body, long, path+" "+field)
			if field != "name" && path != one+"/secret" {
				assert.Contains(t, refused.body, `value="Kept"`, path+" "+field)
			}
		}
	}
	s.wantWebhooks(1)
	assert.Contains(t, b.get(one).body, "As it was")

	page := b.get(one + "/edit")
	b.become("expired")
	in := b.press(b.press(page, one+"/edit", "description", long), "/webhooks/sign-in", "token", "good")
	require.Equal(t, http.StatusUnprocessableEntity, in.status)
	assert.Contains(t, in.body, long)

	checked := b.fill(one+"/check", "body", long, "headers", "v1,abc", "secret", "x")
	assert.Equal(t, http.StatusOK, checked.status, "the checker takes it")
	beyond := b.post(one+"/edit", "_token", b.token(one), "description", strings.Repeat(long, 3))
	assert.Equal(t, http.StatusRequestEntityTooLarge, beyond.status)
	assert.Contains(t, readable(beyond), "too large for one form")
	assert.Contains(t, beyond.body, `class="button primary" href="`+overview+`"`, "it leads on")
}

// What is no number of deliveries a second is said beside the field, whatever it is.
func TestARateIsANumber(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	for _, typed := range []string{"many", "NaN", "Inf", "1e400", "-1", "1,001", "0.01", "1.2.3", "0x1p4"} {
		refused := b.press(b.get(one+"/edit"), one+"/edit", "max_per_second", typed)
		require.Equal(t, http.StatusUnprocessableEntity, refused.status, typed)
		assert.Contains(t, refused.body, `id="max_per_second-fault"`, typed)
		assert.Contains(t, refused.body, `value="`+typed+`"`)
	}
}

// Two clicks make one webhook. Whoever comes back and changes the form is told, and
// makes another one with one more click.
func TestAFormMakesOneWebhook(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	page := b.get(overview + "/new")
	for range 2 {
		made := b.seeMade(b.press(page, overview+"/new", "url", "https://example.org/"))
		assert.Contains(t, made.body, "whsec_", "whoever clicks twice sees the second answer")
	}
	s.wantWebhooks(1)
	changed := b.press(page, overview+"/new", "url", "https://example.org/another")
	require.Equal(t, http.StatusUnprocessableEntity, changed.status)
	assert.Contains(t, changed.body, "A webhook was added with this form before")
	s.wantWebhooks(1)
	b.wantMade(b.press(changed, overview+"/new"))
	s.wantWebhooks(2)
}

// Whoever takes the secret away is told first what follows, and asked once.
func TestStoppingToSignIsAskedOnce(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/", "name", "Archive", "signing", "true", "secret", "a-secret-of-mine")
	page := b.get(one + "/secret")
	assert.Contains(t, page.body, `href="`+one+`/secret/stop"`)
	assert.NotContains(t, page.body, `action="`+one+`/secret/stop"`, "one click does nothing yet")
	asked := b.get(one + "/secret/stop")
	assert.Contains(t, readable(asked), "deliveries to “Archive” carry no signature. A receiver that checks signatures refuses all of them")
	assert.Contains(t, b.get(one+"/secret").body, "Deliveries are signed with a secret.", "looking changes nothing")
	assert.Equal(t, http.StatusForbidden, s.as("low-tier").get(one+"/secret/stop").status)
	assert.Equal(t, one+"/secret?done=unsigned", b.press(asked, one+"/secret/stop").header.Get("Location"))
	assert.Contains(t, b.get(one+"/secret").body, "Deliveries are not signed")
	assert.Equal(t, one+"/secret", b.get(one+"/secret/stop").header.Get("Location"), "there is nothing to stop any more")

	b.press(b.get(one+"/secret"), one+"/secret", "secret", "a-secret-of-mine")
	require.Equal(t, http.StatusSeeOther, b.press(b.get(one+"/edit"), one+"/edit", "format", "slack").status)
	assert.NotContains(t, b.get(one+"/secret/stop").body, "refuses", "a chat does not")
}

// The old secret can be ended at once; two clicks on the new one drop nothing.
func TestTheOldSecretCanBeEnded(t *testing.T) {
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/", "signing", "true", "secret", "a-secret-of-mine")
	page := b.get(one + "/secret")
	assert.Contains(t, page.body, "data-once")
	for range 2 {
		require.Equal(t, http.StatusSeeOther, b.press(page, one+"/secret", "secret", "another-secret").status)
	}
	page = b.get(one + "/secret")
	assert.Contains(t, page.body, "goes on signing until")
	assert.NotContains(t, page.body, "another-secret")
	assert.Contains(t, page.body, `<details id="replace"`, "what is proposed is not taken for what is in use")
	list, err := s.store.List(t.Context(), "p1")
	require.NoError(t, err)
	assert.Len(t, list[0].Secrets, 2)
	ended := b.press(page, one+"/secret/end")
	require.Equal(t, one+"/secret?done=ended", ended.header.Get("Location"))
	page = b.get(ended.header.Get("Location"))
	assert.Contains(t, page.body, "The old secret signs no more.")
	assert.NotContains(t, page.body, "goes on signing until")
}

// A webhook is copied from another project with all that the page promises, and nothing
// secret. What is of nobody's, or of a project that is not theirs, is not copied.
func TestAWebhookIsCopiedFromAnotherProject(t *testing.T) {
	const there, theirs = "/projects/p2/webhooks", "/projects/p3/webhooks"
	s := newSite(t)
	b := s.as("good")
	add := func(project, name string) {
		made := b.press(b.get(project+"/new"), project+"/new", "url", "https://hooks.example.org/"+name, "name", name, "events", "webhook.failing",
			"signing", "true", "secret", "a-secret-of-"+name, "header_name", "X-Api-Key", "header_value", "key-of-"+name)
		require.Equal(t, http.StatusSeeOther, made.status, made.body)
	}
	add(there, "second")
	add(theirs, "third")
	choose := b.get(overview + "/clone")
	assert.Contains(t, readable(choose), "second hooks.example.org Second")
	assert.NotContains(t, choose.body, "third", "the caller's projects are p1 and p2")
	link := between(choose.body, `href="`+overview+`/new?clone=`, `"`)
	require.NotEmpty(t, link)
	form := b.get(overview + "/new?clone=" + link)
	fields := b.inputs(form, overview+"/new")
	assert.Equal(t, []string{"https://hooks.example.org/second", "second", "json"}, []string{fields.Get("url"), fields.Get("name"), fields.Get("format")})
	assert.Equal(t, []string{"webhook.failing"}, fields["events"])
	for _, secret := range []string{"a-secret-of-second", "key-of-second"} {
		assert.NotContains(t, form.body, secret)
	}
	assert.Regexp(t, "^whsec_", fields.Get("secret"), "the copy gets one of its own")
	list, err := s.store.List(t.Context(), "p3")
	require.NoError(t, err)
	require.Len(t, list, 1)
	for _, id := range []string{list[0].ID, "nothing"} {
		assert.Empty(t, b.inputs(b.get(overview+"/new?clone="+id), overview+"/new").Get("url"), id)
	}
	require.Equal(t, http.StatusSeeOther, b.press(form, overview+"/new").status)
	s.wantWebhooks(1)
}
