package portal

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/pkg/words"
)

// The cookies beside the session's. None of them says who somebody is.
const (
	cookieLanguage = "webhooks_language"
	// cookieZone is set by the script: the browser's time zone.
	cookieZone = "webhooks_zone"
	// cookieShown says that the page before showed a secret. See [visit.forgetOnLeaving].
	cookieShown = "webhooks_shown"
)

// policy lets the browser load what is ours, send forms to us, and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// visit is one request of a browser.
type visit struct {
	c   echo.Context
	p   *Portal
	api client
	in  words.Language
	// zone is the reader's; UTC until the browser has told.
	zone *time.Location
	now  time.Time
	// form is what was sent.
	form url.Values
	// cookie is what the cookie of the forms holds, once it was needed.
	cookie string
	// again shows the form that was sent once more; nil where nothing is typed.
	again handler
	// onlyShow says that the form is to be shown again, and not acted on.
	onlyShow bool
	// notice is what the page says before all else.
	notice string
	// project and webhook are what the address names, where it does.
	project apiProject
	webhook *apiWebhook
}

// maxQuery is longer than what any address of ours has behind its question mark. The
// rest of the address is in every form of a page.
const maxQuery = 4 << 10

func (p *Portal) visit(c echo.Context, now time.Time) *visit {
	if address := c.Request().URL; len(address.RawQuery) > maxQuery {
		address.RawQuery = ""
	}
	header := c.Response().Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Frame-Options", "DENY")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	// With no-referrer, a browser also hides from us that a form is ours: its Origin is
	// then "null", which is all that it says when there is no TLS.
	header.Set(echo.HeaderReferrerPolicy, "same-origin")
	v := &visit{c: c, p: p, in: languageOf(c.Request()), zone: zoneOf(c.Request()), now: now}
	if _, err := c.Cookie(cookieShown); err == nil {
		v.setCookie(cookieShown, "", -1)
	}
	v.api = client{c: c, call: p.call, in: v.in, say: v.translated, base: "/api/projects/" + url.PathEscape(c.Param("pid")) + "/webhooks"}
	return v
}

// languageOf is the one that the reader chose, or that the browser asks for.
func languageOf(r *http.Request) words.Language {
	if cookie, err := r.Cookie(cookieLanguage); err == nil {
		for _, in := range words.Languages() {
			if in.Tag() == cookie.Value {
				return in
			}
		}
	}
	return words.Choose(r.Header.Get("Accept-Language"))
}

func zoneOf(r *http.Request) *time.Location {
	if cookie, err := r.Cookie(cookieZone); err == nil && cookie.Value != "Local" {
		if name, err := url.QueryUnescape(cookie.Value); err == nil && len(name) < 64 {
			if zone, err := time.LoadLocation(name); err == nil {
				return zone
			}
		}
	}
	return time.UTC
}

// t is a text in the reader's language.
func (v *visit) t(key string, values ...any) string { return v.p.texts.text(v.in, key, values...) }

// n is a text with a number, in the reader's language.
func (v *visit) n(key string, n uint64, values ...any) string {
	return v.p.texts.plural(v.in, key, n, values...)
}

// base is the address of the project's overview.
func (v *visit) base() string { return "/projects/" + url.PathEscape(v.c.Param("pid")) + "/webhooks" }

// one is the address of the visit's webhook.
func (v *visit) one() string { return v.base() + "/" + url.PathEscape(v.webhook.ID) }

// done ends a form: it goes on to a page, which says what was done, see done.* in the
// texts.
func (v *visit) done(path, what string) error {
	to, err := url.Parse(path)
	if err != nil {
		return fmt.Errorf("read address: %w", err)
	}
	query := to.Query()
	query.Set("done", what) // in place of what the form before did
	to.RawQuery = query.Encode()
	return v.redirect(to.String())
}

func (v *visit) redirect(path string) error {
	return v.c.Redirect(http.StatusSeeOther, path) //nolint:wrapcheck // the caller is gone
}

// isSecure reports whether the browser came by https.
func (v *visit) isSecure() bool { return v.c.Scheme() == "https" }

// setCookie sets a cookie that scripts cannot read. It ends with the browser when
// maxAge is 0, and at once when it is negative.
func (v *visit) setCookie(name, value string, maxAge int) {
	v.c.SetCookie(&http.Cookie{ //nolint:gosec // over plain http, a secure cookie would not come back
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: v.isSecure(), SameSite: http.SameSiteLaxMode,
	})
}

// forgetOnLeaving is for pages that show a secret. Browsers keep a page that one left,
// to show it on the way back as it was, even one that must not be stored; unless a
// cookie changed meanwhile that scripts cannot read. So this page sets one, and the
// next takes it away. Without a script, nothing else can be done about it.
func (v *visit) forgetOnLeaving() { v.setCookie(cookieShown, "shown", 0) }

// local is an address of ours that somebody asked to be sent to; fallback for all
// others.
func local(path, fallback string) string {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || u.Opaque != "" || strings.ContainsAny(path, "\\\r\n\t") || strings.HasPrefix(path, "//") {
		return fallback
	}
	if strings.HasPrefix(u.Path, "/projects/") || strings.HasPrefix(u.Path, prefix+"/") {
		return path
	}
	return fallback
}
