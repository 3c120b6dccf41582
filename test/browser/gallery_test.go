package browser_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// show brings a tab to a page.
func (g gallery) show(t *testing.T, page shown, as look) *tab {
	t.Helper()
	as.SignedOut = page.SignedOut
	project := page.Project
	if project == "" {
		project = g.project
	}
	b := open(t, project, as)
	if strings.HasPrefix(page.Path, "/webhooks/") {
		b.goTo(page.Path)
	} else {
		b.visit(page.Path)
	}
	if page.Do != nil {
		page.Do(b)
	}
	return b
}

// Every page is accessible, fits its window, and breaks no policy, on a desktop in
// light and on a phone in the dark.
func TestEveryPageIsAccessible(t *testing.T) {
	g := newGallery(t, "accessible")
	dark := phone
	dark.Dark = true
	for _, page := range g.pages() {
		t.Run(page.Name, func(t *testing.T) {
			b := g.show(t, page, desktop)
			b.wantAccessible()
			b.wantFits()
			b.become(dark)
			b.wantAccessible()
			b.wantFits()
			b.wantUsable()
			b.wantQuiet()
		})
	}
}

// Pictures for people: make screenshots.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("only with -screenshots: make screenshots")
	}
	g := newGallery(t, "town-talks")
	looks := map[string]look{"desktop": desktop, "phone": phone}
	for size, as := range looks {
		for _, dark := range []bool{false, true} {
			as.Dark = dark
			suffix := "-" + size + "-light"
			if dark {
				suffix = "-" + size + "-dark"
			}
			for _, page := range g.pages() {
				t.Run(page.Name+suffix, func(t *testing.T) { g.show(t, page, as).shoot(*screenshots, page.Name+suffix) })
			}
		}
	}
	require.NotEmpty(t, g.pages())
}
