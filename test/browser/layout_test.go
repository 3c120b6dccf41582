package browser_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bringAxe takes axe-core along to all pages that the tab will show, where it is read
// when it is first used. Sending it to each of them takes longer than running it.
func (b *tab) bringAxe() {
	b.t.Helper()
	b.do(command(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: "window.loadAxe = () => {" + shared.axe + "}",
	}))
}

// wantAccessible runs axe-core on the page and wants no finding.
func (b *tab) wantAccessible() {
	b.t.Helper()
	b.wantAxe(`{resultTypes: ["violations"]}`)
}

// wantAxe runs axe-core with these options.
func (b *tab) wantAxe(options string) {
	b.t.Helper()
	if shared.axe == "" {
		need(b.t, "there is no axe-core: make axe")
	}
	if !evaluate[bool](b, `typeof axe === "object" || typeof loadAxe === "function" && (loadAxe(), true)`) {
		evaluate[int](b, shared.axe+`;0`)
	}
	found := evaluate[string](b, `axe.run(document, `+options+`).then(r => JSON.stringify(r.violations.map(
		v => v.id + ": " + v.help + "\n" + v.nodes.map(n => "   " + n.html.slice(0, 200) + " " + n.any.map(a => a.message).join("; ")).join("\n"))))`)
	var violations []string
	require.NoError(b.t, json.Unmarshal([]byte(found), &violations))
	assert.Empty(b.t, violations, "axe-core at %s:\n%s", b.path(), strings.Join(violations, "\n"))
}

// wantAccessibleIn is wantAccessible in the first of the looks. In the others it looks
// at what depends on colours and sizes: the rest of the page is the same.
func (b *tab) wantAccessibleIn(looks ...look) {
	b.t.Helper()
	for i, as := range looks {
		b.become(as)
		if i == 0 {
			b.wantAccessible()
			continue
		}
		b.wantAxe(`{resultTypes: ["violations"], runOnly: ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size"]}`)
	}
}

// wantLaidOutIn is wantLaidOut in these looks.
func (b *tab) wantLaidOutIn(looks ...look) {
	b.t.Helper()
	for _, as := range looks {
		b.become(as)
		b.wantLaidOut(as)
	}
}

// openAll unfolds everything that is folded.
func (b *tab) openAll() {
	b.t.Helper()
	evaluate[int](b, `(() => { const all = document.querySelectorAll("details"); for (const d of all) d.open = true; return all.length })()`)
}

// forget leaves the page, so that the next one finds nothing of it.
func (b *tab) forget() {
	b.t.Helper()
	b.do(chromedp.Navigate("about:blank"))
	for len(b.said) > 0 {
		<-b.said
	}
}

// wantLaidOut wants nothing that sticks out, is cut off or lies on top of something
// else, nothing that is hard to hit, and no text that is none.
func (b *tab) wantLaidOut(as look) {
	b.t.Helper()
	keys, err := json.Marshal(slices.DeleteFunc(slices.Collect(maps.Keys(shared.english)), func(key string) bool { return !strings.Contains(key, ".") }))
	require.NoError(b.t, err)
	found := evaluate[string](b, "("+shared.layout+")("+string(keys)+")")
	var faults []string
	require.NoError(b.t, json.Unmarshal([]byte(found), &faults))
	assert.Empty(b.t, faults, "%s, %d px wide:\n%s", b.path(), as.Width, strings.Join(faults, "\n"))
}
