package browser_test

import (
	"encoding/json"
	"strings"

	"github.com/chromedp/cdproto/emulation"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// audit finds what axe-core does not look for; its result is a list of complaints.
const audit = `(() => {
  const found = new Set();
  const called = (e) => (e.getAttribute("aria-label") || e.textContent || e.id).trim().replace(/\s+/g, " ").slice(0, 60);
  const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getBoundingClientRect().width > 0;

  const levels = [...document.querySelectorAll("h1, h2, h3, h4")].filter((h) => h.checkVisibility()).map((h) => Number(h.tagName[1]));
  if (levels[0] !== 1 || levels.filter((l) => l === 1).length !== 1) found.add("not one h1, as the first heading: " + levels);
  levels.forEach((level, i) => { if (i > 0 && level > levels[i - 1] + 1) found.add("a level of headings is left out: " + levels); });
  for (const part of ["header", "main", "footer"]) {
    if (document.querySelectorAll("body > " + part).length !== 1) found.add("not one " + part);
  }

  for (const e of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")) {
    if (!seen(e) || e.matches(".skip")) continue;
    if (e.tabIndex > 0) found.add("an order of its own: " + called(e));
    const box = (e.matches("[type=checkbox], [type=radio]") && e.closest("label") || e).getBoundingClientRect();
    // WCAG 2.2, 2.5.8: links in a sentence, and those with nothing near them, may be smaller.
    const mayBeSmall = e.tagName === "A" && getComputedStyle(e).display === "inline" && !e.parentElement.matches("li");
    if (!mayBeSmall && (box.width < 24 || box.height < 24)) found.add("smaller than 24 pixels: " + called(e) + " " + box.width + "x" + box.height);
  }
  for (const e of document.querySelectorAll("[aria-describedby], [aria-labelledby]")) {
    for (const id of [e.getAttribute("aria-describedby"), e.getAttribute("aria-labelledby")].join(" ").split(" ")) {
      if (id && !document.getElementById(id)) found.add("told by what is not there: " + id);
    }
  }

  const edge = document.documentElement.clientWidth + 1;
  for (const e of document.querySelectorAll("body *")) {
    if (!seen(e) || e.closest("pre, svg, .scroll, .tabs, .unseen, input, select, textarea")) continue;
    if (e.getBoundingClientRect().right > edge) found.add("sticks out: " + called(e));
    const clips = /hidden|clip/.test(getComputedStyle(e).overflow) && !e.matches(".bar-project, .brand span");
    if (clips && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)) found.add("is cut off: " + called(e));
  }
  return JSON.stringify([...found]);
})()`

// spaced sets a text as wide as some people need it: WCAG 1.4.12.
const spaced = `(() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important } p { margin-bottom: 2em !important }");
  document.adoptedStyleSheets = [sheet];
})()`

// wantUsable wants a page that can be used by whoever sees little, hits badly, or has
// it read out: as it is, at 320 pixels (400 %), and with texts set wider.
func (b *tab) wantUsable() {
	b.t.Helper()
	want := func(how string) {
		var found []string
		require.NoError(b.t, json.Unmarshal([]byte(evaluate[string](b, audit)), &found))
		assert.Empty(b.t, found, "%s, %s:\n%s", b.path(), how, strings.Join(found, "\n"))
		b.wantFits()
	}
	want("as it is")
	b.become(look{Width: 320, Height: 256})
	want("at 400 %")
	evaluate[any](b, spaced)
	want("at 400 %, spaced")
}

// emulate has the browser ask for what a reader set: a feature of media queries.
func (b *tab) emulate(media string, features ...string) {
	b.t.Helper()
	with := emulation.SetEmulatedMediaParams{Media: media}
	for i := 0; i+1 < len(features); i += 2 {
		with.Features = append(with.Features, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
	}
	b.do(command(emulation.SetEmulatedMedia, with))
}
