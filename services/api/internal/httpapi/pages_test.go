package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/services/api/internal/httpapi"
)

func TestTheProjectSaysWhatMayBeDone(t *testing.T) {
	a := newAPI(t)
	const path = "/api/projects/p1/webhooks/project"
	r := a.send("GET", path, "")
	require.Equal(t, http.StatusOK, r.status, r.raw)
	assert.JSONEq(t, `{"id":"p1","name":"Town talks","language":"nl","can_change":true,"why_not":null,"max_webhooks":4}`, r.raw)
	r = a.send("GET", path, "", "Authorization", "Bearer low-tier")
	require.Equal(t, http.StatusOK, r.status, r.raw)
	assert.Equal(t, false, r.body["can_change"])
	assert.Equal(t, "This action requires the changemaker tier (currently innovator).", r.body["why_not"])
	a.wantProblem(a.send("GET", path, "", "Authorization", "Bearer no-permission"), http.StatusForbidden, "Not allowed")
	a.wantProblem(a.send("GET", path, "", "Authorization", "Bearer away"), http.StatusServiceUnavailable, "Permissions")
}

// pages has one page, which calls the API as often as it is asked to.
type pages struct{ calls int }

func (p pages) Route(e *echo.Echo, call httpapi.Call) {
	e.GET("/page", func(c echo.Context) error {
		var last httpapi.Answer
		for range p.calls {
			r, err := http.NewRequestWithContext(c.Request().Context(), http.MethodGet, "/api/projects/p1/webhooks/project", http.NoBody)
			if err != nil {
				return err
			}
			r.Header = c.Request().Header
			last = call(c, r)
		}
		return c.Blob(last.Status, "application/json", last.Body)
	})
}

func (pages) Refuse(echo.Context, int, string) bool { return false }

func (pages) IsFree(path string) bool { return path == "/style" }

// A page may call the API often: it counts as one request of its caller, who is known
// from then on by token.
func TestAPageIsOneRequest(t *testing.T) {
	a := newAPIWith(t, func(deps *httpapi.Deps) {
		deps.Pages, deps.Rate = pages{calls: 10}, httpapi.Rate{PerSecond: 0.001, Burst: 3}
	}, func(*http.Server) {})
	at := func(path, token string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+path, http.NoBody)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	get := func(token string) int { return at("/page", token) }
	assert.Equal(t, http.StatusOK, get("good"), "by address, the first of three")
	for range 3 {
		assert.Equal(t, http.StatusOK, get("good"), "by token")
	}
	assert.Equal(t, http.StatusTooManyRequests, get("good"))
	assert.Equal(t, http.StatusNotFound, at("/style", "good"), "what pages are drawn with is not counted")
	lines := a.logs.FilterMessage("request").FilterField(zap.String("route", "/page")).Len()
	assert.Equal(t, 4, lines, "what is refused before it is routed has no route")
	assert.Equal(t, 6, a.logs.FilterMessage("request").Len(), "calls within have no line of their own")
	// Made-up tokens are refused, and counted by address.
	assert.Equal(t, http.StatusUnauthorized, get("made-up"))
}
