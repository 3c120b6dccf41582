package browser_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// errMissed says that a click went beside its target: the page moved between finding the
// place and clicking on it, as when a suggestion comes that needs room.
var errMissed = errors.New("the click missed")

// target is what is clicked on: for the browser's protocol, and as an expression of a
// script.
type target struct {
	click  chromedp.Action[chromedp.Void]
	script string
}

func byXPath(path string) target {
	return target{
		click:  chromedp.Click(chromedp.Search(path)),
		script: fmt.Sprintf(`document.evaluate(%q, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE, null).singleNodeValue`, path),
	}
}

func byCSS(selector string) target {
	return target{click: chromedp.Click(chromedp.CSS(selector)), script: fmt.Sprintf(`document.querySelector(%q)`, selector)}
}

// press clicks on the button or link with this text, and waits for the page after it.
func (b *tab) press(text string) {
	b.t.Helper()
	err := b.click(byXPath(fmt.Sprintf(`//*[self::a or self::button or self::summary][normalize-space(.)=%q or @aria-label=%q]`, text, text)))
	require.NoError(b.t, err, "press %q at %s: %s", text, b.path(), b.text("main"))
}

// follow clicks on what the selector finds first, whatever the language, and waits for
// the page after it.
func (b *tab) follow(selector string) {
	b.t.Helper()
	require.NoError(b.t, b.click(byCSS(selector)), "press %q at %s", selector, b.path())
}

// submit presses the button of the form that goes to an address with this end, whatever
// the language.
func (b *tab) submit(end string) {
	b.t.Helper()
	b.follow(fmt.Sprintf(`main form[action$=%q] button[type=submit]`, end))
}

// pressFirstRow clicks on the newest delivery of the log, and waits for its page.
func (b *tab) pressFirstRow() {
	b.t.Helper()
	b.follow(".log-row")
}

// click clicks, again when it missed, and waits for the page after it.
func (b *tab) click(on target) error {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	steps := []chromedp.Action[chromedp.Void]{on.click}
	if !b.still {
		steps = []chromedp.Action[chromedp.Void]{watched, on.click, on.struck}
	}
	return patiently(func() error {
		_, err := chromedp.RunResponse(ctx, steps...)
		return err
	})
}

// watched has the page remember what is clicked on next.
func watched(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	_, err := chromedp.Evaluate[bool](`(() => {
		window.struck = null
		addEventListener("click", (event) => { window.struck = event.target }, { capture: true, once: true })
		return true
	})()`)(ctx, t)
	return chromedp.Void{}, err
}

// struck fails with errMissed when something else was clicked on.
func (on target) struck(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	missed, err := chromedp.Evaluate[bool](`window.struck !== undefined && !`+on.script+`?.contains(window.struck)`)(ctx, t)
	if err == nil && missed {
		return chromedp.Void{}, errMissed
	}
	return chromedp.Void{}, nil // an error: the page is gone already
}

// A click that a moving page lets go beside its target is made again.
func TestAMissedClickIsMadeAgain(t *testing.T) {
	need(t, shared.missing)
	b := open(t, "missed", desktop)
	b.visit("")
	evaluate[bool](b, `(addEventListener("mousedown", () => { document.body.style.paddingTop = "300px" }, { capture: true, once: true }), true)`)
	b.follow(`a[href$="/new"]`)
	require.Contains(t, b.path(), "/new")
}
