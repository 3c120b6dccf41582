package browser_test

import (
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/test/internal/apiclient"
)

// What is said of chats and of programs changes with the format, at once.
func TestTheFormSpeaksOfTheFormat(t *testing.T) {
	const (
		ofData = "You get the whole transcript."
		ofChat = "The transcript itself is not posted."
	)
	b := open(t, "speaks", desktop)
	b.visit("/new")
	b.sees(ofData)
	b.fill("url", "https://hooks.slack.com/services/T/B/X")
	b.sees(ofChat)
	assert.NotContains(t, b.text("main"), ofData)
	b.sees("so no secret is needed")
	b.fill("url", "https://example.org/")
	b.sees(ofData)
	b.choose("format", "teams")
	b.sees(ofChat)
	b.fill("url", "zapier.com/editor/12/published")
	b.sees("This is a page of Zapier itself")
	assert.Equal(t, "teams", evaluate[string](b, `document.getElementById("format").value`), "it was chosen by hand")
	b.wantFits()
	b.wantAccessible()
	b.wantQuiet()
}

// choose picks from a list, as a hand does.
func (b *tab) choose(id, value string) {
	b.t.Helper()
	b.do(chromedp.SetValue(chromedp.CSS("#"+id), value))
	evaluate[bool](b, `document.getElementById("`+id+`").dispatchEvent(new Event("change", {bubbles: true}))`)
}

// signOut ends the session without a trace on the page, as time does.
func (b *tab) signOut() {
	b.t.Helper()
	b.do(command(network.DeleteCookies, network.DeleteCookiesParams{Name: "directus_session_token", URL: shared.at.API}))
}

// Whoever is signed out while they fill in a form has it again after signing in.
func TestAFormOutlivesTheSession(t *testing.T) {
	for name, as := range map[string]look{"script": desktop, "no-script": {Width: 360, Height: 740, NoScript: true}} {
		t.Run(name, func(t *testing.T) {
			project := "outlives-" + name
			b := open(t, project, as)
			b.visit("/new")
			b.fill("url", "https://example.org/outlives")
			b.fill("name", "Typed with care")
			b.signOut()
			b.press("Add webhook")
			b.sees("the form is here again as you had filled it in")
			b.fill("token", shared.at.Token)
			b.press("Sign in")
			b.sees("You are signed in again.")
			assert.Equal(t, "/projects/"+project+"/webhooks/new", b.path())
			assert.Equal(t, "Typed with care", evaluate[string](b, `document.getElementById("name").value`))
			b.press("Add webhook")
			b.sees("“Typed with care” gets what happens from now on.")
			list, err := host().List(t.Context(), project)
			require.NoError(t, err)
			assert.Len(t, list, 1)
			b.wantQuiet()
		})
	}
}

// A secret that was shown once is not there when one comes back.
func TestASecretIsShownOnce(t *testing.T) {
	b := open(t, "once", desktop)
	w, err := host().Create(t.Context(), "once", apiclient.Fields{
		"name": "Once", "url": "https://example.org/", "events": []string{"report.generated"}, "secret": "the-secret-so-far",
	})
	require.NoError(t, err)
	b.visit("/" + w.ID + "/secret")
	secret := func() string { return evaluate[string](b, `document.getElementById("secret").value`) }
	used := secret()
	b.press("Use the new secret")
	b.sees("goes on signing until")
	proposed := secret()
	b.press("Summary")
	for range 2 {
		b.do(chromedp.NavigateBack())
		if evaluate[bool](b, `document.getElementById("secret") !== null`) {
			assert.NotContains(t, []string{used, proposed}, secret(), b.path())
		}
		assert.NotContains(t, b.text("main"), used)
	}
	b.visit("/" + w.ID + "/secret")
	b.press("End it now")
	b.sees("The old secret signs no more.")
	b.wantQuiet()
}
