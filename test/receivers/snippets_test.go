package receivers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/signature"
)

// snippet is what one of the pieces of code of docs/receivers/no-code.md is given,
// and what it says and keeps.
type snippet struct {
	Name    string            `json:"name"`
	Code    string            `json:"code"`
	Secret  string            `json:"secret"`
	Key     string            `json:"key"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Times   int               `json:"times"`
}

type played struct {
	Answers []any
	Kept    []any
}

func TestTheCodeForCloudsAndTools(t *testing.T) {
	t.Parallel()
	node, python := required(t, "node")[0], required(t, "python3")[0]
	for _, test := range []struct {
		name, interpreter, script string
		verifies                  bool // else it asks for the key
		ok, again, refused        any
	}{
		{"zapier", node, "run.mjs", true, "ok", "ok", "not from dembrane: another secret, or a forgery"},
		{"apps-script", node, "run.mjs", false, "ok", "ok", "wrong key"},
		{"worker", node, "run.mjs", true, 202., 200., 401.},
		{"lambda", python, "run.py", true, 202., 200., 401.},
		{"bigquery", python, "run.py", false, 204., 204., 401.},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, secret := range []string{rawSecret, standardSecret} {
				s := delivery(t, test.name, secret, time.Now())
				got := s.play(t, test.interpreter, test.script)
				assert.Equal(t, []any{test.ok, test.again}, got.Answers)
				kept := 1
				if test.name == "zapier" { // it has no memory
					kept = 2
				}
				require.Len(t, got.Kept, kept)
				assert.Contains(t, fmt.Sprint(got.Kept[0]), "(sample)")

				s.Key, s.Body = "another", strings.Replace(s.Body, "sample", "Sample", 1)
				got = s.play(t, test.interpreter, test.script)
				assert.Equal(t, []any{test.refused, test.refused}, got.Answers)
				assert.Empty(t, got.Kept)
				if test.verifies && test.name != "zapier" {
					old := delivery(t, test.name, secret, time.Now().Add(-6*time.Minute))
					assert.Equal(t, []any{test.refused, test.refused}, old.play(t, test.interpreter, test.script).Answers)
				}
			}
		})
	}
}

// Where nobody has set a secret, everybody could sign: nothing is taken then.
func TestTheCodeForCloudsAndToolsWantsASecret(t *testing.T) {
	t.Parallel()
	for name, run := range map[string][2]string{
		"zapier": {"node", "run.mjs"}, "worker": {"node", "run.mjs"}, "lambda": {"python3", "run.py"}, "bigquery": {"python3", "run.py"},
	} {
		s := delivery(t, name, rawSecret, time.Now())
		s.Secret = ""
		said, err := s.command(t, required(t, run[0])[0], run[1]).CombinedOutput()
		assert.Contains(t, string(said), "without one, anybody can", "%s: %v", name, err)
		assert.NotContains(t, string(said), "(sample)", name)
	}
}

// What a participant types must not become a formula.
func TestTheSheetHasNoFormulas(t *testing.T) {
	t.Parallel()
	s := delivery(t, "apps-script", rawSecret, time.Now())
	s.Body = strings.Replace(s.Body, `"participant_name":"Zo\u00eb`, `"participant_name":"=IMPORTXML(1)+Zo\u00eb`, 1)
	got := s.play(t, required(t, "node")[0], "run.mjs")
	assert.Contains(t, fmt.Sprint(got.Kept[0]), " '=IMPORTXML(1)+Zoë")
}

// delivery is one to the code of this name, twice, with two signatures.
func delivery(t *testing.T, name, secret string, at time.Time) snippet {
	t.Helper()
	e := sample("p1", event.ConversationSummarized)
	body := payload.Renderer{AdminBaseURL: "https://dashboard.example.org"}.Append(nil, e)
	header := map[string][]string{}
	signature.Headers(header, []signature.Key{signature.NewKey(secret), signature.NewKey("the one before")}, e.GetId(), at, body)
	s := snippet{
		Name: name, Code: codeOf(t, name), Secret: secret, Key: "a long random text", Body: string(body), Times: 2,
		Headers: map[string]string{},
	}
	for name, values := range header {
		s.Headers[name] = values[0]
	}
	return s
}

// codeOf is the code on the page whose first line has this name.
func codeOf(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/receivers/no-code.md")
	require.NoError(t, err)
	for _, first := range []string{"```js\n// " + name + "\n", "```python\n# " + name + "\n"} {
		if _, code, found := strings.Cut(string(page), first); found {
			code, _, _ = strings.Cut(code, "\n```\n")
			return code
		}
	}
	require.Fail(t, "the page has no such code", name)
	return ""
}

func (s snippet) play(t *testing.T, interpreter, script string) (got played) {
	t.Helper()
	command := s.command(t, interpreter, script)
	var output, fault bytes.Buffer
	command.Stdout, command.Stderr = &output, &fault
	require.NoError(t, command.Run(), fault.String())
	require.NoError(t, json.Unmarshal(output.Bytes(), &got), output.String())
	return got
}

func (s snippet) command(t *testing.T, interpreter, script string) *exec.Cmd {
	t.Helper()
	given, err := json.Marshal(s)
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), interpreter, "testdata/snippets/"+script)
	command.Stdin = bytes.NewReader(given)
	return command
}
