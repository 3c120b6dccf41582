package browser_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/test/internal/apiclient"
)

// sessionCookie holds what says who somebody is.
const sessionCookie = "directus_session_token"

// look is how a tab shows pages.
type look struct {
	Width, Height int64
	Dark, Dutch   bool
	// NoScript has the browser run no script.
	NoScript bool
	// As is who looks; the zero value is a host.
	As visitor
}

// visitor is somebody with a browser.
type visitor struct {
	// SignedOut has no session.
	SignedOut bool
	// Dashboard comes from the product: Directus knows who somebody is. User is who, as
	// directustest numbers them.
	Dashboard bool
	User      int
	// Token is shown instead of the visitor's own.
	Token string
}

// at is where the visitor's pages are, and token what the browser shows there.
func (v visitor) at() string {
	if v.Dashboard {
		return shared.dashboard.url
	}
	return shared.at.API
}

func (v visitor) token() string {
	switch {
	case v.Token != "" || v.SignedOut:
		return v.Token
	case v.Dashboard:
		return shared.dashboard.token(v.User)
	default:
		return shared.at.Token
	}
}

var (
	desktop     = look{Width: 1280, Height: 900}
	desktopDark = look{Width: 1280, Height: 900, Dark: true}
	phone       = look{Width: 360, Height: 740}
	phoneDark   = look{Width: 360, Height: 740, Dark: true}
	// zoomed is a desktop at 200 %: of 1280 pixels, 640 are left.
	zoomed = look{Width: 640, Height: 450}
)

// tab is a tab of the browser, with a profile of its own.
type tab struct {
	t       *testing.T
	ctx     context.Context //nolint:containedctx // chromedp keeps the tab in one
	project string
	as      visitor
	// still: without scripts a page does not change by itself.
	still bool
	// said is what the browser complained about: scripts that fail, policies that are
	// broken, resources that are missing.
	said chan string
}

// open opens a tab for a host of the project.
func open(t *testing.T, project string, as look) *tab {
	t.Helper()
	need(t, shared.missing)
	ctx, end := chromedp.NewContext(shared.browser, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	b := &tab{t: t, ctx: ctx, still: as.NoScript, said: make(chan string, 100)}
	require.NoError(t, chromedp.Do(ctx)) // the first must have no deadline
	require.NoError(t, chromedp.Listen(ctx, b.listen))
	locale, accepted := "en_GB", "en-GB,en"
	if as.Dutch {
		locale, accepted = "nl_NL", "nl-NL,nl"
	}
	b.do(
		command(runtime.Enable, cdp.Empty{}), command(log.Enable, cdp.Empty{}),
		command(emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Europe/Amsterdam"}),
		command(emulation.SetLocaleOverride, emulation.SetLocaleOverrideParams{Locale: locale}),
		command(network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": accepted}}),
		command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: as.NoScript}),
	)
	b.become(as)
	b.signIn(project, as.As)
	return b
}

// signIn has somebody use the tab who has not been here before.
func (b *tab) signIn(project string, as visitor) {
	b.t.Helper()
	b.project, b.as = project, as
	b.do(command(network.ClearBrowserCookies, cdp.Empty{}))
	if token := as.token(); token != "" {
		b.do(command(network.SetCookie, network.SetCookieParams{
			Name: sessionCookie, Value: token, URL: as.at(), HTTPOnly: new(true),
		}))
	}
}

// become changes the size and the colours of what the tab shows.
func (b *tab) become(as look) {
	b.t.Helper()
	scheme := "light"
	if as.Dark {
		scheme = "dark"
	}
	b.do(
		chromedp.EmulateViewport(as.Width, as.Height),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		}),
	)
}

func (b *tab) listen(event any) {
	say := func(text string) {
		select {
		case b.said <- text:
		default:
		}
	}
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		say("exception: " + e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		say(fmt.Sprintf("console.%s", e.Type))
	case *log.EventEntryAdded:
		// What a page answers to a form with faults is no fault of the page.
		if e.Entry.Level == log.EntryLevelError && !strings.Contains(e.Entry.Text, "status of 4") {
			say("log: " + e.Entry.Text + " " + e.Entry.URL)
		}
	}
}

// command makes a step of a command of the browser's protocol.
func command[P, R any](of cdp.Command[P, R], with P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, of, with)
		return chromedp.Void{}, err
	}
}

// patiently makes a step again when the page moved or exchanged an element between finding
// and using it: the script of the pages does so, and then nothing was done with it.
func patiently(step func() error) error {
	for range 5 {
		err := step()
		if err == nil || !errors.Is(err, errMissed) && !strings.Contains(err.Error(), "Could not find node") {
			return err
		}
	}
	return step()
}

// do makes steps in the tab.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	require.NoError(b.t, patiently(func() error { return chromedp.Do(ctx, steps...) }), "at %s", b.path())
}

// ask makes a step that has a result.
func ask[T any](b *tab, step chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	var result T
	require.NoError(b.t, patiently(func() (err error) {
		result, err = chromedp.Run(ctx, step)
		return err
	}), "at %s", b.path())
	return result
}

// path is where the tab is.
func (b *tab) path() string {
	ctx, cancel := context.WithTimeout(b.ctx, time.Second)
	defer cancel()
	address, err := chromedp.Run(ctx, chromedp.Location())
	if err != nil {
		return "?"
	}
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.RequestURI()
}

// visit goes to a page of the project, such as "/new".
func (b *tab) visit(path string) {
	b.t.Helper()
	b.goTo("/projects/" + b.project + "/webhooks" + path)
}

func (b *tab) goTo(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.as.at() + path))
}

// lose takes a cookie out of the browser.
func (b *tab) lose(cookie string) {
	b.t.Helper()
	b.do(command(network.DeleteCookies, network.DeleteCookiesParams{Name: cookie, URL: b.as.at()}))
}

// fill types a value into the field with this id.
func (b *tab) fill(id, value string) {
	b.t.Helper()
	evaluate[string](b, fmt.Sprintf(`document.getElementById(%q).value = ""`, id))
	b.do(chromedp.SendKeys(chromedp.CSS("#"+id), value))
}

// text is what an element shows.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return ask(b, chromedp.Text(chromedp.CSS(selector)))
}

// sees waits until the page shows a text.
func (b *tab) sees(text string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		return strings.Contains(strings.Join(strings.Fields(b.text("main")), " "), text)
	}, patience, 50*time.Millisecond, "%q at %s, which shows: %s", text, b.path(), b.text("main"))
}

// until loads the page again until it shows a text: without scripts it does not
// change by itself.
func (b *tab) until(text string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		if strings.Contains(b.text("main"), text) {
			return true
		}
		b.do(chromedp.Navigate(b.as.at() + b.path()))
		return false
	}, patience, 300*time.Millisecond, "%q at %s, which shows: %s", text, b.path(), b.text("main"))
}

// evaluate evaluates a script in the page, waits for what it promises, and returns it.
func evaluate[T any](b *tab, script string) T {
	b.t.Helper()
	return ask(b, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
}

// wantFits wants nothing to stick out of the page sideways.
func (b *tab) wantFits() {
	b.t.Helper()
	over := evaluate[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`)
	assert.LessOrEqual(b.t, over, 0, "%s is wider than the window by that many pixels", b.path())
}

// wantQuiet wants no complaint of the browser.
func (b *tab) wantQuiet() {
	b.t.Helper()
	for {
		select {
		case text := <-b.said:
			assert.Fail(b.t, "the browser complains at "+b.path(), text)
		default:
			return
		}
	}
}

// shoot takes a picture of the whole page.
func (b *tab) shoot(folder, name string) {
	b.t.Helper()
	picture := ask(b, chromedp.FullScreenshot(100))
	require.NoError(b.t, os.MkdirAll(folder, 0o755))
	require.NoError(b.t, os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600))
}

// host is who makes webhooks without a browser.
func host() apiclient.Client { return apiclient.Client{URL: shared.at.API, Token: shared.at.Token} }
