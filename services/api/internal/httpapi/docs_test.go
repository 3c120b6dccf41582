package httpapi_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheDocumentIsServedAsItIs(t *testing.T) {
	a := newAPI(t)
	r := a.send("GET", "/api/openapi.yaml", "", "Authorization", "")
	assert.Equal(t, 200, r.status)
	assert.Equal(t, "application/yaml", r.header.Get("Content-Type"))
	want, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	assert.Equal(t, string(want), r.raw)
	linked, err := os.ReadFile("../../openapi.yaml")
	require.NoError(t, err)
	assert.Equal(t, want, linked, "where people look for it")
}

// What the page loads is there, and its policy lets a browser use nothing else.
func TestThePageLoadsNothingFromElsewhere(t *testing.T) {
	a := newAPI(t)
	page := a.send("GET", "/api/docs", "", "Authorization", "")
	require.Equal(t, 200, page.status)
	assert.Equal(t, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", page.header.Get("Content-Security-Policy"))
	assert.NotContains(t, page.raw, "<style")
	for _, script := range regexp.MustCompile(`<script[^>]*>([^<]*)</script>`).FindAllStringSubmatch(page.raw, -1) {
		assert.Empty(t, script[1], "the policy forbids scripts in the page")
	}
	loaded := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.raw, -1)
	assert.Len(t, loaded, 6)
	for _, match := range loaded {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+match[1], nil)
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, errors.Join(err, response.Body.Close()))
		assert.Equal(t, 200, response.StatusCode, match[1])
		assert.NotEmpty(t, body)
		if strings.HasSuffix(match[1], ".css") {
			assert.NotRegexp(t, `@import|url\(["']?(https?:)?//`, string(body), match[1])
		}
	}
}

// Half a megabyte is sent once: a browser that has it is told so.
func TestAssetsOfThePageAreKept(t *testing.T) {
	a := newAPI(t)
	ask := func(tag string) (status int, header http.Header) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+"/api/docs/swagger-ui-bundle.js", nil)
		require.NoError(t, err)
		request.Header.Set("Accept-Encoding", "gzip")
		request.Header.Set("If-None-Match", tag)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode, response.Header
	}
	status, header := ask("")
	assert.Equal(t, 200, status)
	assert.Equal(t, "gzip", header.Get("Content-Encoding"))
	assert.Equal(t, "no-cache", header.Get("Cache-Control"))
	status, _ = ask(header.Get("ETag"))
	assert.Equal(t, 304, status)
	assert.Equal(t, 404, a.send("GET", "/api/docs/oauth2-redirect.html", "").status)
}

// What docs/api.md says about attacks and limits is what the tests and the code
// say.
func TestTheDocsNameTestsThatExist(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/api.md")
	require.NoError(t, err)
	var sources strings.Builder
	for _, pattern := range []string{
		"*_test.go", "../../app/*_test.go", "../registration/*_test.go", "../../../../pkg/secret/*_test.go", "../../../../test/e2e/*_test.go",
		"../../../dispatcher/app/*_test.go", "../../../dispatcher/internal/registry/*_test.go",
	} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			sources.Write(source)
		}
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+|wantProblem)`").FindAllStringSubmatch(string(page), -1)
	assert.Greater(t, len(named), 15)
	for _, match := range named {
		declared := regexp.MustCompile(`func (\([a-z]+ \*[a-z]+\) )?` + match[1] + `\(`)
		assert.True(t, declared.MatchString(sources.String()), "there is no %s", match[1])
	}
	for _, operation := range document(t).operations {
		method, path, _ := strings.Cut(operation, " ")
		if rest, ours := strings.CutPrefix(path, "/api/projects/{pid}/webhooks"); ours {
			if rest == "" {
				rest = "/"
			}
			assert.Contains(t, string(page), "`"+method+" "+rest+"`")
		}
	}
}
