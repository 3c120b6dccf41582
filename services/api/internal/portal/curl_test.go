package portal

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/words"
)

// arguments are what a shell hands to curl.
func arguments(t *testing.T, command string) []string {
	t.Helper()
	shell := exec.CommandContext(t.Context(), "sh", "-c", `curl() { printf '%s\0' "$@"; }`+"\n"+command)
	out, err := shell.Output()
	require.NoError(t, err, command)
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// Whatever is in a body, the shell hands it on as it is, and nothing of it is run;
// what is secret is not there, and what to fill in is said.
func TestACurlCommandIsWhatWasSent(t *testing.T) {
	texts, err := loadTexts()
	require.NoError(t, err)
	v := &visit{p: &Portal{texts: texts}, in: words.English, webhook: &apiWebhook{ID: "w1"}}
	v.c = echo.New().NewContext(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody), httptest.NewRecorder())
	v.c.SetParamNames("pid")
	v.c.SetParamValues("p1")
	masked := "***"
	for _, body := range []string{
		`{"a":"it's","b":"\"quoted\" \\ back"}`, "{\n\t\"lines\": \"two\"\n}\n", `{"ł":"Zoë – 日本 🎉"}`, `{"x":"$(touch /tmp/x) ` + "`id`" + ` !! ${HOME} % ; & |"}`,
		`@/etc/passwd`, `''`, ``, strings.Repeat("x", maxCurlBytes),
	} {
		made := v.curl(apiDetail{apiAttempt: apiAttempt{ID: "a1"}, Request: &apiRequest{
			URL: "https://example.org/it's?a=***&empty=&***#f", Body: &body,
			Headers: []apiHeader{
				{Name: "Content-Type", Value: new("application/json")},
				{Name: "Webhook-Signature"},
				{Name: "X-Dembrane-Signature", Value: new("")},
				{Name: "X-Api-Key", Value: &masked},
			},
		}})
		assert.Equal(t, []string{
			"-X", "POST", "https://example.org/it's?a=FILL-IN&empty=&FILL-IN#f", "-H", "Content-Type: application/json", "-H", "X-Api-Key: FILL-IN", "--data-raw", body,
		}, arguments(t, made.Command))
		assert.NotContains(t, made.Command, masked)
		assert.Equal(t, "Secrets are left out. Fill in where it says FILL-IN: a in the address, the end of the address, X-Api-Key.", made.Fill)
		assert.Empty(t, made.File)
	}

	// Characters that turn a text around are escaped, which means the same in JSON.
	hidden := "{\"name\":\"abc\u202egnp.exe\"}"
	made := v.curl(apiDetail{Request: &apiRequest{URL: "https://example.org/", Body: &hidden}})
	assert.NotContains(t, made.Command, "\u202e")
	assert.Empty(t, made.Fill)
	sent := arguments(t, made.Command)
	var name struct{ Name string }
	require.NoError(t, json.Unmarshal([]byte(sent[len(sent)-1]), &name))
	assert.Equal(t, "abc\u202egnp.exe", name.Name)

	long := strings.Repeat("x", maxCurlBytes+1)
	made = v.curl(apiDetail{apiAttempt: apiAttempt{ID: "a1"}, Request: &apiRequest{URL: "https://example.org/", Body: &long}})
	assert.Contains(t, made.Command, "--data-binary @body.json")
	assert.Equal(t, "/projects/p1/webhooks/w1/deliveries/a1/body", made.File)
	assert.Nil(t, v.curl(apiDetail{Request: &apiRequest{URL: "https://example.org/"}}), "it is not known what was sent")
}
