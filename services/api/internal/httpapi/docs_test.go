package httpapi_test

import (
	"crypto/sha256"
	"encoding/base64"
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

func TestThePageShowsTheWholeDocument(t *testing.T) {
	a := newAPI(t)
	r := a.send("GET", "/api/docs", "", "Authorization", "")
	require.Equal(t, 200, r.status)
	for _, operation := range document(t).operations {
		method, path, _ := strings.Cut(operation, " ")
		heading := `<h3><code class="method">` + method + `</code> <span class="path">` + path + `</span></h3>`
		assert.Contains(t, r.raw, heading)
	}
	for _, said := range []string{"overlap_seconds", "by default 86400", "published or draft or archived", "Timestamp or null", "list"} {
		assert.Contains(t, r.raw, said)
	}
	ids := map[string]bool{}
	for _, match := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(r.raw, -1) {
		assert.False(t, ids[match[1]], match[1])
		ids[match[1]] = true
	}
	for _, match := range regexp.MustCompile(` href="#([^"]*)"`).FindAllStringSubmatch(r.raw, -1) {
		assert.True(t, ids[match[1]], "nothing at #%s", match[1])
	}
	assert.NotContains(t, r.raw, "ZgotmplZ", "the template refused something")
}

// A browser that keeps to the policy shows it as it is meant.
func TestThePageNeedsNothingButItsStyle(t *testing.T) {
	r := newAPI(t).send("GET", "/api/docs", "", "Authorization", "")
	policy := r.header.Get("Content-Security-Policy")
	_, rest, _ := strings.Cut(r.raw, "<style>")
	style, rest, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	assert.Equal(t, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", policy)
	for _, unwanted := range []string{"<script", "<link", "<img", "<style", " src=", " style=", "javascript:"} {
		assert.NotContains(t, rest, unwanted)
	}
	assert.NotContains(t, style, "url(")
	assert.NotContains(t, style, "@import")
}

// What docs/api.md says about attacks and limits is what the tests and the code
// say.
func TestTheDocsNameTestsThatExist(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/api.md")
	require.NoError(t, err)
	var sources strings.Builder
	for _, pattern := range []string{"*_test.go", "../../app/*_test.go", "../registration/*_test.go", "../../../../pkg/secret/*_test.go"} {
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
