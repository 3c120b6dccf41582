package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/services/api/internal/access"
)

// maxSessions bounds the cookies that are tried: a browser sends one for the host
// and one for each domain above it.
const maxSessions = 4

// tokens takes the tokens to try from the session's cookies, or the one from the
// Authorization header when there is no cookie. A browser may hold an old cookie
// of a parent domain beside a good one, so one that is good is enough; but bad
// cookies are not retried with the header.
func (s *server) tokens(r *http.Request) ([]string, error) {
	if tokens := s.fromCookies(r); len(tokens) > 0 {
		// A browser sends cookies along whichever page makes it do so. Only pages of
		// the dashboard, or of this very host, may have effects.
		if err := s.origins.Check(r); err != nil {
			return nil, answer(http.StatusForbidden, "This page is not allowed to use your session.")
		}
		return tokens, nil
	}
	if token := fromHeader(r); token != "" {
		return []string{token}, nil
	}
	return nil, access.ErrSession
}

// presented are the tokens that [server.tokens] would take, whether or not the
// request may use them; at least one, which may be empty.
func (s *server) presented(r *http.Request) []string {
	if tokens := s.fromCookies(r); len(tokens) > 0 {
		return tokens
	}
	return []string{fromHeader(r)}
}

func (s *server) fromCookies(r *http.Request) []string {
	var tokens []string
	for _, cookie := range r.CookiesNamed(s.SessionCookie) {
		token := strings.TrimSpace(cookie.Value)
		if token != "" && !slices.Contains(tokens, token) && len(tokens) < maxSessions {
			tokens = append(tokens, token)
		}
	}
	return tokens
}

func fromHeader(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get(echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
