package browser_test

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/stretchr/testify/require"
)

// rooms is how many tabs of each language show pages at once.
const rooms = 3

// hall is tabs that pages are shown in, one page after the other.
type hall map[bool]chan *tab

// openHall opens its tabs, in English and in Dutch.
func openHall(t *testing.T) hall {
	t.Helper()
	h := hall{}
	for _, dutch := range []bool{false, true} {
		h[dutch] = make(chan *tab, rooms)
		as := desktop
		as.Dutch = dutch
		for range rooms {
			room := open(t, "hall", as)
			room.bringAxe()
			h[dutch] <- room
		}
	}
	return h
}

// show shows a page in one of the tabs, and lets somebody look at it.
func (h hall) show(t *testing.T, g gallery, page shown, dutch bool, look func(b *tab)) {
	t.Helper()
	room := <-h[dutch]
	defer func() { h[dutch] <- room }()
	b := &tab{t: t, ctx: room.ctx, said: room.said}
	project := page.Project
	if project == "" {
		project = g.project
	}
	b.become(desktop)
	b.signIn(project, page.As)
	// Who has been here before: the pages know the time zone without asking for it.
	b.do(command(network.SetCookie, network.SetCookieParams{Name: "webhooks_zone", Value: "Europe/Amsterdam", URL: page.As.at()}))
	if strings.HasPrefix(page.Path, "/webhooks/") {
		b.goTo(page.Path)
	} else {
		b.visit(page.Path)
	}
	if page.Do != nil {
		page.Do(b)
	}
	look(b)
	if !page.Fails {
		b.wantQuiet()
	}
	b.forget()
}

// Every page in every state is accessible, laid out well on a phone in both languages, on
// a desktop and at 200 %, and breaks no policy.
func TestEveryPageIsAccessible(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "accessible")
	h := openHall(t)
	pages := g.pages()
	t.Run("page", func(t *testing.T) {
		for _, page := range pages {
			t.Run(page.Name, func(t *testing.T) {
				t.Parallel()
				h.show(t, g, page, false, func(b *tab) {
					b.wantAccessibleIn(phone, desktopDark)
					b.wantLaidOutIn(phone, desktop, zoomed)
					b.wantUsable()
				})
				h.show(t, g, page, true, func(b *tab) { b.wantLaidOutIn(phone) }) // the longest words in the least room
			})
		}
	})
}

// Pictures for people: make screenshots.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("only with -screenshots: make screenshots")
	}
	g := newGallery(t, "town-talks")
	h := openHall(t)
	looks := map[string]look{"desktop-light": desktop, "desktop-dark": desktopDark, "phone-light": phone, "phone-dark": phoneDark}
	for _, page := range g.pages() {
		for language, dutch := range map[string]bool{"en": false, "nl": true} {
			t.Run(page.Name+"-"+language, func(t *testing.T) {
				t.Parallel()
				h.show(t, g, page, dutch, func(b *tab) {
					for name, as := range looks {
						b.become(as)
						b.shoot(*screenshots, page.Name+"-"+name+"-"+language)
					}
				})
			})
		}
	}
	require.NotEmpty(t, g.pages())
}
