package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/services/api/app"
	"github.com/dembrane/webhooks/services/api/directustest"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
)

// withDirectus is an api whose callers a Directus knows. Nothing is remembered,
// so that what changes there shows at once.
func withDirectus(t *testing.T) (*world, *directustest.Server) {
	t.Helper()
	directus := directustest.Start(t, directustest.Product())
	w := &world{t: t, mongo: mongotest.StartEmbedded(t), nats: natstest.Start(t, natstest.Embedded())}
	c := w.config()
	c.IdentityDriver, c.StaticTokensFile = "directus", ""
	c.DirectusBaseURL, c.DirectusToken, c.DirectusSecret = directus.URL().String(), directustest.ReaderToken, directustest.Secret
	c.DirectusCacheTTL = 0
	made, err := app.New(c, zap.NewNop())
	require.NoError(t, err)
	w.app = made
	w.run()
	w.wantReady()
	return w, directus
}

// as sends a request with a token, and with a webhook where it makes one.
func (w *world) as(token, method, path string) (int, map[string]any, http.Header) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), method, w.app.URL()+path, nil)
	require.NoError(w.t, err)
	if method == http.MethodPost {
		request.Body = io.NopCloser(strings.NewReader(minimal))
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	require.NoError(w.t, err)
	defer response.Body.Close() //nolint:errcheck // it is read to its end
	raw, err := io.ReadAll(response.Body)
	require.NoError(w.t, err)
	var body map[string]any
	if bytes.HasPrefix(raw, []byte("{")) {
		require.NoError(w.t, json.Unmarshal(raw, &body))
	}
	return response.StatusCode, body, response.Header
}

// Who may do what is the matrix of package directus; here is what a host is told
// about each of the answers.
func TestDirectusDecidesWhatAHostIsTold(t *testing.T) {
	w, directus := withDirectus(t)
	jwt := func(user int) string {
		return directustest.Sign(directustest.Secret, directustest.Claims(directustest.UserID(user), time.Now().Add(time.Minute), nil))
	}
	at := func(project int) string { return "/api/projects/" + directustest.ProjectID(project) + "/webhooks" }
	for _, row := range []struct {
		method, path, token string
		status              int
		detail              string
	}{
		{http.MethodPost, at(directustest.Changemaker), jwt(directustest.Owner), http.StatusCreated, ""},
		{http.MethodGet, at(directustest.Changemaker), "static-token-of-static-owner", http.StatusOK, ""},
		{http.MethodPost, at(directustest.OtherOrg), "static-token-of-staff", http.StatusCreated, ""},
		{http.MethodGet, at(directustest.Changemaker), "no-such-token", http.StatusUnauthorized, "Invalid session"},
		{http.MethodGet, at(directustest.Changemaker), jwt(directustest.Owner) + "x", http.StatusUnauthorized, "Invalid session"},
		{http.MethodGet, at(directustest.Changemaker), jwt(directustest.NotOnboarded), http.StatusForbidden, "User not onboarded"},
		{http.MethodGet, at(directustest.Changemaker), jwt(directustest.Outsider), http.StatusNotFound, "Project not found"},
		{http.MethodGet, at(0x99), jwt(directustest.Owner), http.StatusNotFound, "Project not found"},
		{http.MethodGet, "/api/projects/none/webhooks", jwt(directustest.Owner), http.StatusNotFound, "Project not found"},
		{http.MethodGet, at(directustest.Deleted), jwt(directustest.Owner), http.StatusNotFound, "Project not found"},
		{http.MethodGet, at(directustest.Changemaker), jwt(directustest.Member), http.StatusForbidden, "Not allowed"},
		{http.MethodGet, at(directustest.Free), jwt(directustest.Owner), http.StatusOK, ""},
		{
			http.MethodPost, at(directustest.Free), jwt(directustest.Owner), http.StatusForbidden,
			"This action requires the changemaker tier (currently free).",
		},
		{
			http.MethodPost, at(directustest.Pioneer), jwt(directustest.Member), http.StatusForbidden,
			"This action requires the changemaker tier (currently pioneer).",
		},
		{http.MethodGet, at(directustest.Changemaker) + "/copyable", jwt(directustest.Owner), http.StatusOK, ""},
	} {
		status, body, _ := w.as(row.token, row.method, row.path)
		assert.Equal(t, row.status, status, "%s %s", row.method, row.path)
		if row.detail != "" {
			assert.Equal(t, row.detail, body["detail"])
		}
	}
	directus.FailWith(directustest.RateLimited())
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		status, _, header := w.as(jwt(directustest.Owner), method, at(directustest.Changemaker))
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.NotEmpty(t, header.Get("Retry-After"))
	}
	directus.Fail(nil)
	status, _, _ := w.as(jwt(directustest.Owner), http.MethodGet, at(directustest.Changemaker))
	assert.Equal(t, http.StatusOK, status)
}
