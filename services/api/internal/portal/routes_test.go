package portal_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/services/api/internal/portal"
)

// routesOf are the addresses of pages, or of forms, below a prefix, as they are
// registered: a page that is new is among them. What stands for an id is one that
// nothing has.
func routesOf(t *testing.T, method, prefix string) []string {
	t.Helper()
	pages, err := portal.New(portal.Deps{SessionCookie: sessionCookie, SignIn: true, Log: zap.NewNop()})
	require.NoError(t, err)
	e := echo.New()
	pages.Route(e, nil)
	var paths []string
	for _, route := range e.Routes() {
		path, isBelow := strings.CutPrefix(route.Path, prefix)
		if route.Method != method || !isBelow || strings.Contains(path, "*") || prefix != ofWebhook && strings.Contains(path, ":") {
			continue
		}
		for _, name := range []string{":attempt", ":replay"} {
			path = strings.ReplaceAll(path, name, "01ARZ3NDEKTSV4RRFFQ69G5FAV")
		}
		require.NotContains(t, path, ":", "the test knows no such name")
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// What addresses begin with: those of a project, and of a webhook in it.
const (
	ofProject = "/projects/:pid/webhooks"
	ofWebhook = ofProject + "/:id"
)

// The list that tests of all pages go by has all of them.
func TestRoutesAreListed(t *testing.T) {
	assert.Subset(t, routesOf(t, http.MethodGet, ofProject), []string{"", "/clone", "/new"})
	assert.Subset(t, routesOf(t, http.MethodGet, ofWebhook), []string{"", "/deliveries/01ARZ3NDEKTSV4RRFFQ69G5FAV/body", "/secret"})
	assert.Subset(t, routesOf(t, http.MethodPost, ofWebhook), []string{"/secret/end", "/replays/01ARZ3NDEKTSV4RRFFQ69G5FAV/cancel"})
}
