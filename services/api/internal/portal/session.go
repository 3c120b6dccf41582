package portal

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/words"
)

const (
	// codeLife is how long a one-time code can be used, and maxCodes how many there
	// can be.
	codeLife = 15 * time.Minute
	maxCodes = 100
	// languageLife is how long the choice of a language lasts, in seconds.
	languageLife = 365 * 24 * 60 * 60
)

// codes are what a token can be had for once. A link with a code may stay in a
// history or a terminal; a token must not.
type codes struct {
	mu    sync.Mutex
	known map[string]code
}

type code struct {
	token string
	until time.Time
}

func newCodes() *codes { return &codes{known: map[string]code{}} }

func (s *codes) issue(token string, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, c := range s.known {
		if now.After(c.until) || len(s.known) >= maxCodes {
			delete(s.known, old)
		}
	}
	fresh := rand.Text()
	s.known[fresh] = code{token: token, until: now.Add(codeLife)}
	return fresh
}

// redeem returns the token of a code; empty when there is none, or not any more.
func (s *codes) redeem(given string, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.known[given]
	delete(s.known, given)
	if now.After(found.until) {
		return ""
	}
	return found.token
}

// SignInPath is an address that signs a browser in with the token, once and soon, and
// goes on to the project's webhooks.
func (p *Portal) SignInPath(token, projectID string) string {
	return pathSignIn + "?" + url.Values{
		"code": {p.codes.issue(token, time.Now())}, "next": {"/projects/" + projectID + "/webhooks"},
	}.Encode()
}

// signInForm is the body of the page that takes a token.
type signInForm struct {
	Next, Project string
	// TokenFault and ProjectFault say what is wrong with a field.
	TokenFault, ProjectFault string
	// Spent says that the code of a link was used up.
	Spent bool
	// Unsaved says that a form was sent without a session, so nothing came of it.
	Unsaved bool
	// Kept is such a form, which is shown again afterwards.
	Kept *kept
}

func signInPage(v *visit) error {
	if !v.p.SignIn {
		return notFound(v)
	}
	next := local(v.c.QueryParam("next"), "")
	given := v.c.QueryParam("code")
	if given == "" || next == "" {
		return v.renderSignIn(http.StatusOK, signInForm{Next: next, Project: projectOf(next), Unsaved: v.c.QueryParam("unsaved") != ""})
	}
	if token := v.p.codes.redeem(given, v.now); token != "" {
		v.setCookie(v.p.SessionCookie, token, 0)
		return v.redirect(next)
	}
	if v.hasSession() {
		return v.redirect(next) // the link was followed before, in this browser
	}
	return v.renderSignIn(http.StatusOK, signInForm{Next: next, Project: projectOf(next), Spent: true})
}

func (v *visit) renderSignIn(status int, form signInForm) error {
	return v.render(status, "signin", v.t("signin.title"), form)
}

// projectOf is the project that an address is about.
func projectOf(path string) string {
	rest, isProject := strings.CutPrefix(path, "/projects/")
	id, _, _ := strings.Cut(rest, "/")
	if !isProject || !event.ValidID(id) {
		return ""
	}
	return id
}

// typedSignIn is the form as it came back.
func (v *visit) typedSignIn() signInForm {
	form := signInForm{Next: local(v.field("next"), ""), Project: strings.TrimSpace(v.field("project"))}
	if action := local(v.field("action"), ""); action != "" && v.field(fieldKept) != "" {
		form.Kept = &kept{Action: action, Sealed: v.field(fieldKept)}
	}
	return form
}

func signInAgain(v *visit) error {
	if !v.p.SignIn {
		return notFound(v)
	}
	return v.renderSignIn(http.StatusUnprocessableEntity, v.typedSignIn())
}

// signIn puts a token into the session's cookie when the API knows it.
func signIn(v *visit) error {
	if !v.p.SignIn {
		return notFound(v)
	}
	form := v.typedSignIn()
	token := strings.TrimSpace(v.field("token"))
	if !event.ValidID(form.Project) {
		form.ProjectFault = v.t("signin.project.missing")
		return v.renderSignIn(http.StatusUnprocessableEntity, form)
	}
	if !fitsCookie(token) {
		form.TokenFault = v.t("signin.token.wrong")
		return v.renderSignIn(http.StatusUnprocessableEntity, form)
	}
	// The API is asked with the new token in place of what the browser has.
	came := v.c.Request().Header.Get("Cookie")
	v.c.Request().Header.Set("Cookie", v.p.SessionCookie+"="+token)
	v.api.base = "/api/projects/" + form.Project + "/webhooks"
	_, err := v.api.project()
	v.c.Request().Header.Set("Cookie", came)
	refusal := &problem{}
	switch {
	case errors.As(err, &refusal) && refusal.Status == http.StatusUnauthorized:
		form.TokenFault = v.t("signin.token.wrong")
	case errors.As(err, &refusal) && refusal.Status == http.StatusNotFound:
		form.ProjectFault = v.t("signin.project.wrong")
	case err != nil:
		return err
	default:
		v.setCookie(v.p.SessionCookie, token, 0)
		if form.Kept != nil && projectOf(form.Kept.Action) == form.Project {
			// The browser sends what it sent here on to there, with what was kept in it.
			return v.c.Redirect(http.StatusTemporaryRedirect, form.Kept.Action) //nolint:wrapcheck // the caller is gone
		}
		if projectOf(form.Next) == form.Project {
			return v.redirect(form.Next)
		}
		return v.redirect("/projects/" + form.Project + "/webhooks")
	}
	return v.renderSignIn(http.StatusUnprocessableEntity, form)
}

// fitsCookie reports whether a token can be the value of a cookie as it is.
func fitsCookie(token string) bool {
	return token != "" && len(token) <= 4096-64 && !strings.ContainsFunc(token, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == ',' || r == ';' || r == '\\'
	})
}

// hasSession reports whether the browser has one, good or not.
func (v *visit) hasSession() bool {
	cookie, err := v.c.Cookie(v.p.SessionCookie)
	return err == nil && cookie.Value != ""
}

func signOut(v *visit) error {
	if !v.p.SignIn {
		return notFound(v)
	}
	v.setCookie(v.p.SessionCookie, "", -1)
	v.setCookie(v.formCookie(), "", -1)
	return v.done(pathSignIn, "signed-out")
}

func chooseLanguage(v *visit) error {
	for _, in := range words.Languages() {
		if in.Tag() == v.field("language") {
			v.setCookie(cookieLanguage, in.Tag(), languageLife)
		}
	}
	return v.redirect(local(v.field("here"), pathSignIn))
}
