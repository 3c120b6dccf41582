package directustest_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/dembrane/webhooks/services/api/directustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exchange is one that was captured from a real Directus.
type exchange struct {
	Request *struct {
		Method, Path string
		Headers      map[string]string
	}
	Status  int
	Headers map[string]string
	Body    json.RawMessage
}

func captured(t *testing.T, path string) exchange {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	var e exchange
	require.NoError(t, json.Unmarshal(content, &e))
	return e
}

// The stand-in is worth something only as long as it answers like the real one:
// every exchange that was captured is played back against it.
func TestEveryCapturedExchangeIsAnsweredAlike(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	require.Greater(t, len(files), 100)
	server := directustest.Start(t, directustest.Product())
	server.SetClock(func() time.Time { return time.Unix(1795463869+60, 0) }) // when they were captured
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			want := captured(t, file)
			defer server.Fail(nil)
			if want.Request == nil {
				failWith(t, server, name)
			}
			ended := []string{}
			if strings.HasSuffix(name, "_after_logout") {
				ended = append(ended, claim(t, want.Request.Headers["authorization"], "session"))
			}
			server.Change(func(w *directustest.World) {
				w.EndedSessions = ended
				// The reader of the captured exchanges had two fields more.
				w.Readable = directustest.Readable()
				w.Readable["workspace_membership"] = append(w.Readable["workspace_membership"], "source")
				w.Readable["project_membership"] = append(w.Readable["project_membership"], "role")
			})
			status, header, body := play(t, server, name, want)
			assert.Equal(t, want.Status, status, string(body))
			for key, value := range want.Headers {
				assert.Equal(t, value, header.Get(key), key)
			}
			if asksForTheWholeUser(want) {
				assert.Equal(t, userID(t, want.Body), userID(t, body))
				return
			}
			assert.JSONEq(t, string(want.Body), string(body))
		})
	}
}

func failWith(t *testing.T, server *directustest.Server, name string) {
	t.Helper()
	switch {
	case strings.HasPrefix(name, "fail_db_down"):
		server.FailWith(directustest.NoDatabase())
	case strings.HasPrefix(name, "fail_rate_limited"):
		server.FailWith(directustest.RateLimited())
	case name == "fail_under_pressure":
		server.FailWith(directustest.UnderPressure())
	default:
		t.Fatalf("nobody knows how to fail like %s", name)
	}
}

func play(t *testing.T, server *directustest.Server, name string, e exchange) (int, http.Header, []byte) {
	t.Helper()
	path := "/items/project/" + directustest.ProjectID(1)
	var headers map[string]string
	if e.Request != nil {
		require.Equal(t, http.MethodGet, e.Request.Method)
		path, headers = e.Request.Path, e.Request.Headers
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL().String()+strings.ReplaceAll(path, "{bad", "%7Bbad"), nil)
	require.NoError(t, err)
	secret := directustest.Secret
	if strings.HasSuffix(name, "wrong_secret") {
		secret = "another"
	}
	for key, value := range headers {
		request.Header.Set(key, resigned(t, value, secret))
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close() //nolint:errcheck // it is read to its end
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, response.Header, body
}

// resigned signs a captured HS256 token anew: the secret of the real one was not
// captured.
func resigned(t *testing.T, header, secret string) string {
	t.Helper()
	i := strings.Index(header, "eyJ")
	if i < 0 {
		return header
	}
	parts := strings.Split(header[i:], ".")
	kind, err := base64.RawURLEncoding.DecodeString(parts[0])
	require.NoError(t, err)
	if !strings.Contains(string(kind), "HS256") {
		return header
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	var claims map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(payload)))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&claims))
	return header[:i] + directustest.Sign(secret, claims)
}

func claim(t *testing.T, header, name string) string {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(header, ".")[1])
	require.NoError(t, err)
	var claims map[string]any
	require.NoError(t, json.Unmarshal(payload, &claims))
	value, _ := claims[name].(string)
	require.NotEmpty(t, value)
	return value
}

// asksForTheWholeUser: a user has many fields that nobody here reads.
func asksForTheWholeUser(e exchange) bool {
	return e.Request != nil && e.Request.Path == "/users/me" && e.Status == http.StatusOK
}

func userID(t *testing.T, body []byte) string {
	t.Helper()
	var envelope struct{ Data struct{ ID string } }
	require.NoError(t, json.Unmarshal(body, &envelope))
	require.NotEmpty(t, envelope.Data.ID)
	return envelope.Data.ID
}
