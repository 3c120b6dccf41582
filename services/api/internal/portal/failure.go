package portal

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
)

// failure is the body of the page that says why there is nothing else.
type failure struct {
	Heading, Detail, Help string
	// RequestID helps whoever is asked about it; only where the fault is ours.
	RequestID string
	// Link leads on.
	Link, LinkText string
	// Retry has the browser try again.
	Retry bool
	// Kept is the form that was sent, to be sent again; Elsewhere says that the link is
	// to be followed before that, in a tab of its own.
	Kept      *kept
	Elsewhere bool
}

// notFound is for addresses that nothing is at.
func notFound(v *visit) error {
	return &problem{Status: http.StatusNotFound, Detail: v.t("error.notfound.detail")}
}

// Refuse implements [httpapi.Pages].
func (p *Portal) Refuse(c echo.Context, status int, detail string) bool {
	path := c.Request().URL.Path
	if !strings.HasPrefix(path, "/projects/") && !strings.HasPrefix(path, prefix+"/") {
		return false
	}
	v := p.visit(c, time.Now())
	if c.Request().Method == http.MethodPost {
		_ = v.readForm() // so that it is not lost; what is wrong with it changes nothing here
	}
	err := v.fail(&problem{Status: status, Detail: v.translated(detail), RequestID: v.requestID()})
	if err != nil {
		p.Log.Error("page failed", zap.String("request_id", v.requestID()), zap.Error(err))
	}
	return err == nil
}

// fail shows what went wrong. Whoever has no session is sent to where they get one.
func (v *visit) fail(err error) error {
	refusal := &problem{Status: http.StatusInternalServerError, RequestID: v.requestID()}
	if !errors.As(err, &refusal) {
		v.p.Log.Error("page failed", zap.String("request_id", v.requestID()), zap.Error(err))
	}
	if refusal.Status == http.StatusUnauthorized && v.p.SignIn {
		return v.askToSignIn()
	}
	f := failure{Detail: refusal.Detail, Kept: v.keep()}
	title := ""
	switch refusal.Status {
	case http.StatusUnauthorized:
		title, f.Detail, f.Help = v.t("error.session.title"), v.t("error.session.detail"), v.t("error.session.help")
		f.Link, f.LinkText = v.p.DashboardURL, v.t("error.session.link")
		if f.Kept != nil {
			f.Detail, f.Help, f.Elsewhere = v.t("error.session.kept"), v.t("error.session.kept.help"), true
		}
	case http.StatusForbidden:
		title, f.Help = v.t("error.forbidden.title"), v.t("error.forbidden.help")
	case http.StatusNotFound:
		title, f.Help = v.t("error.notfound.title"), v.t("error.notfound.help")
	case http.StatusTooManyRequests:
		title, f.Help, f.Retry = v.t("error.busy.title"), v.t("error.busy.help"), true
	case http.StatusServiceUnavailable:
		title, f.Help, f.Retry = v.t("error.away.title"), v.t("error.away.help"), true
	case http.StatusInternalServerError:
		title, f.Detail, f.Help = v.t("error.fault.title"), v.t("error.fault.detail"), v.t("error.fault.help")
		f.RequestID, f.Retry = refusal.RequestID, true
	default:
		title, f.Help = v.t("error.refused.title"), v.t("error.refused.help")
	}
	f.Heading = title
	if !f.Retry && !f.Elsewhere {
		f.Kept = nil // it would be refused again
	}
	// A form that is too large is refused before the project is looked at.
	isLarge := refusal.Status == http.StatusRequestEntityTooLarge && v.c.Param("pid") != ""
	if (v.project.ID != "" || isLarge) && f.Link == "" {
		f.Link, f.LinkText = v.base(), v.t("error.back")
	}
	if f.Link == "" && v.p.DashboardURL != "" {
		f.Link, f.LinkText = v.p.DashboardURL, v.t("error.session.link")
	}
	if f.Retry && v.c.Response().Header().Get(echo.HeaderRetryAfter) == "" {
		v.c.Response().Header().Set(echo.HeaderRetryAfter, "5")
	}
	v.webhook = nil
	return v.render(refusal.Status, "failure", title, f)
}

func (v *visit) requestID() string { return v.c.Response().Header().Get("X-Request-Id") }

// askToSignIn shows the page that takes a token, from which one comes back to where
// one was, and to what one had typed there.
func (v *visit) askToSignIn() error {
	next := v.here()
	if carried := v.keep(); carried != nil && v.again != nil {
		return v.renderSignIn(http.StatusUnauthorized, signInForm{Next: next, Project: projectOf(carried.Action), Kept: carried})
	}
	query := url.Values{"next": {next}}
	if v.c.Request().Method != http.MethodGet {
		query.Set("unsaved", "true")
	}
	return v.redirect(pathSignIn + "?" + query.Encode())
}
