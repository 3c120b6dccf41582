// Package portal is the pages that hosts use in their browsers: HTML made on the
// server, a style sheet and a small script of our own, nothing from elsewhere. Every
// page works without the script.
//
// It is the API's first client. What a page shows and does it gets by [client],
// which hands requests to the API's own handler, with the cookie of the browser. So
// permissions, validation, limits and messages are the API's, and there is no other
// way to anything.
//
// To add a page:
//
//   - Its handler takes a *[visit] and returns an error; whatever the API refused
//     with can be returned as it is. Routes are in [Portal.Route]: get for what only
//     shows, post for forms, which are refused without their token, and typed for
//     those with fields to type into: their second handler shows the form again as it
//     was sent, so that nobody types twice because a session ended. A form ends with
//     [visit.done], a redirect, so that reloading repeats nothing.
//   - Its template is templates/{name}.gohtml with a block "content", rendered by
//     [visit.render] inside of layout.gohtml. Its dot is a *[page]; what the handler
//     made is .Body. Parts for all pages are in parts.gohtml. A form begins with
//     {{template "csrf" $}}.
//   - Its words are in texts/en.txt and texts/nl.txt: {{t "key" "name" value}} in
//     templates, v.t in Go. Tests fail for a key that is missing, unused or not
//     translated. What the API says is translated by words.Problem.
//   - Times and numbers are made in Go: v.moment, v.ago, v.number; a template shows
//     a moment by {{template "time" .}}.
//   - Whatever changes by itself is inside of an element with an id and the attribute
//     data-live: the script fetches the page anew every few seconds and exchanges it.
//     With data-places, what is in it stays in its order until the page is loaded.
//     A form with data-filter does so when a field changes. A button with data-copy
//     copies the text of the element that it names.
//   - A page that shows a secret calls v.forgetOnLeaving.
//   - No style attributes, no inline scripts: the policy forbids both.
//   - Its tests: portal_test.go looks at what the server answers, test/browser looks
//     at every page in a browser (add it to the list of pages there).
package portal

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/services/api/internal/httpapi"
)

// The addresses of what belongs to no project. A proxy passes on this prefix and
// /projects/{pid}/webhooks.
const (
	prefix       = "/webhooks"
	pathSignIn   = prefix + "/sign-in"
	pathSignOut  = prefix + "/sign-out"
	pathLanguage = prefix + "/language"
	pathAssets   = prefix + "/assets/"
)

// Deps is what the pages need beside the API.
type Deps struct {
	// SessionCookie is the cookie that the API takes a token from.
	SessionCookie string
	// SignIn has a page that takes a token and puts it into that cookie; without it,
	// whoever has none is sent to the dashboard.
	SignIn bool
	// DashboardURL is where hosts sign in otherwise.
	DashboardURL string
	// AttemptsKept and EventsKept are how far back there is anything to look at, and to
	// send again; 0 when that is not known.
	AttemptsKept, EventsKept time.Duration
	Log                      *zap.Logger
}

// Portal is the pages. It implements [httpapi.Pages].
type Portal struct {
	Deps

	call    httpapi.Call
	texts   catalogue
	pages   templates
	assets  assets
	codes   *codes
	origins *http.CrossOriginProtection
}

// New reads what is embedded. It fails only when that is not in order.
func New(deps Deps) (*Portal, error) {
	p := &Portal{Deps: deps, codes: newCodes(), origins: http.NewCrossOriginProtection()}
	var err error
	if p.texts, err = loadTexts(); err != nil {
		return nil, fmt.Errorf("read texts: %w", err)
	}
	if p.assets, err = loadAssets(); err != nil {
		return nil, fmt.Errorf("read assets: %w", err)
	}
	if p.pages, err = loadTemplates(p.texts); err != nil {
		return nil, fmt.Errorf("read templates: %w", err)
	}
	return p, nil
}

// Route implements [httpapi.Pages]: every page there is.
func (p *Portal) Route(e *echo.Echo, call httpapi.Call) {
	p.call = call
	e.GET(pathAssets+":version/:name", p.asset)
	shared := routes{p: p, group: e.Group(prefix), load: loadNothing}
	shared.get("/sign-in", signInPage)
	shared.typed("/sign-in", signIn, signInAgain)
	shared.post("/sign-out", signOut)
	shared.post("/language", chooseLanguage)

	project := routes{p: p, group: e.Group("/projects/:pid/webhooks"), load: loadProject}
	project.get("", overview)
	project.get("/new", newPage)
	project.typed("/new", create, newAgain)
	project.post("/suggest", suggest)
	project.get("/clone", clonePage)

	webhook := routes{p: p, group: e.Group("/projects/:pid/webhooks/:id"), load: loadWebhook}
	webhook.get("", summary)
	webhook.get("/created", createdPage)
	webhook.get("/statistics", statisticsPage)
	webhook.get("/developer", developerPage)
	webhook.get("/check", checkPage)
	webhook.typed("/check", check, checkAgain)
	webhook.get("/missing", missingPage)
	webhook.get("/edit", editPage)
	webhook.typed("/edit", edit, editAgain)
	webhook.post("/enabled", setEnabled)
	webhook.get("/test", testPage)
	webhook.typed("/test", sendTest, testAgain)
	webhook.get("/secret", secretPage)
	webhook.typed("/secret", rotateSecret, secretAgain)
	webhook.post("/secret/end", endOverlap)
	webhook.get("/secret/stop", unsignPage)
	webhook.post("/secret/stop", stopSigning)
	webhook.get("/delete", deletePage)
	webhook.post("/delete", deleteWebhook)
	webhook.get("/replays", putRight)
	webhook.post("/replays", sendMissed)
	webhook.get("/replays/test", putRight) // where a test from that page leads, loaded again
	webhook.post("/replays/test", testFirst)
	webhook.post("/replays/:replay/cancel", cancelReplay)
	webhook.get("/deliveries", deliveries)
	webhook.get("/deliveries/:attempt", delivery)
	webhook.get("/deliveries/:attempt/body", sentBody)
	webhook.post("/deliveries/:attempt/resend", resend)

	nothing := func(c echo.Context) error { return p.begin(c, notFound) }
	for _, path := range []string{prefix, prefix + "/*", "/projects/:pid/webhooks/*"} {
		e.Any(path, nothing)
	}
}

// handler makes one page, or does what a form asks for.
type handler func(v *visit) error

// routes registers handlers, with what comes before them.
type routes struct {
	p     *Portal
	group *echo.Group
	load  handler
}

func (r routes) get(path string, h handler) {
	r.group.GET(path, func(c echo.Context) error {
		return r.p.begin(c, func(v *visit) error {
			if err := r.load(v); err != nil {
				return err
			}
			return h(v)
		})
	})
}

// post is for forms with nothing but buttons: what comes from elsewhere, or without
// the token of the form, has no effect.
func (r routes) post(path string, h handler) { r.typed(path, h, nil) }

// typed is post for forms into which somebody types; again shows one once more, as it
// was sent.
func (r routes) typed(path string, h, again handler) {
	r.group.POST(path, func(c echo.Context) error {
		return r.p.begin(c, func(v *visit) error {
			v.again = again
			if err := v.readForm(); err != nil {
				return err
			}
			if err := r.load(v); err != nil {
				return err
			}
			switch {
			case v.onlyShow && again != nil:
				return v.showAgain(v.t("form.again"))
			case v.onlyShow:
				return v.redirect(v.here())
			case !v.tokenFits():
				return v.stale()
			default:
				return h(v)
			}
		})
	})
}

// begin makes a visit and shows what goes wrong.
func (p *Portal) begin(c echo.Context, next handler) error {
	v := p.visit(c, time.Now())
	if err := next(v); err != nil {
		return v.fail(err)
	}
	return nil
}

// loadNothing is for pages of no project.
func loadNothing(*visit) error { return nil }

// loadProject is for pages of a project. The API says whether the caller may see it.
func loadProject(v *visit) (err error) {
	v.project, err = v.api.project()
	return err
}

// loadWebhook is for pages of one webhook.
func loadWebhook(v *visit) error {
	if err := loadProject(v); err != nil {
		return err
	}
	w, err := v.api.webhook(v.c.Param("id"))
	if err != nil {
		return err
	}
	v.webhook = &w
	return nil
}
