package receivers_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// library is one of Standard Webhooks, and the program around it.
type library struct {
	name    string
	command func(t *testing.T) []string
}

func libraries() []library {
	return []library{
		{"PyPI", func(t *testing.T) []string {
			t.Helper()
			python := required(t, "python3")[0]
			folder := prepared(t, "python", python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
				"--no-deps", "--target", ".", "-r", "requirements.txt")
			return []string{python, filepath.Join(folder, "verify.py")}
		}},
		{"npm", func(t *testing.T) []string {
			t.Helper()
			return []string{required(t, "node")[0], filepath.Join(packages(t), "verify.mjs")}
		}},
		{"Maven", func(t *testing.T) []string {
			t.Helper()
			tools := required(t, "java", "mvn")
			folder := prepared(t, "java", tools[1], "--batch-mode", "--quiet", "dependency:copy-dependencies", "-DoutputDirectory=jars")
			return []string{tools[0], "-cp", filepath.Join(folder, "jars", "*"), filepath.Join(folder, "Verify.java")}
		}},
		{"crates.io", func(t *testing.T) []string {
			t.Helper()
			return []string{filepath.Join(rust(t), "verify")}
		}},
	}
}

// packages is the folder with what npm installs.
func packages(t *testing.T) string {
	t.Helper()
	return prepared(t, "javascript", required(t, "npm")[0], "ci", "--ignore-scripts", "--no-audit", "--no-fund")
}

// Deliveries with a secret of either kind, before, during and after its change.
func TestTheOfficialLibrariesVerify(t *testing.T) {
	t.Parallel()
	var folders, want []string
	folder := t.TempDir()
	add := func(a receiver.Arrival, secret string, body []byte, verdict string) {
		name := filepath.Join(folder, strconv.Itoa(len(folders)))
		require.NoError(t, os.Mkdir(name, 0o700))
		files := map[string]string{"secret": secret, "body": string(body)}
		for _, header := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			files[header] = a.Header.Get(header)
		}
		for file, content := range files {
			require.NoError(t, os.WriteFile(filepath.Join(name, file), []byte(content), 0o600))
		}
		folders, want = append(folders, name), append(want, verdict)
	}
	const next = "whsec_bmV4dCBzZWNyZXQsIGxvbmcgZW5vdWdo"
	for secret, other := range map[string]string{rawSecret: next, standardSecret: "raw, and next"} {
		before, during := rotated(t, secret, other)
		add(before, secret, before.Body, "verified")
		add(before, other, before.Body, "refused")
		add(before, secret, append(before.Body, '\n'), "refused")
		add(during, secret, during.Body, "verified")
		add(during, other, during.Body, "verified")
		add(during, "neither", during.Body, "refused")
		old := during
		old.Header = old.Header.Clone()
		old.Header.Set("webhook-timestamp", "1768910400")
		add(old, secret, old.Body, "refused")
	}
	for _, l := range libraries() {
		t.Run(l.name, func(t *testing.T) {
			output := strings.TrimSpace(runs(t, folder, append(l.command(t), folders...)...))
			var got []string
			for line := range strings.SplitSeq(output, "\n") {
				verdict, _, _ := strings.Cut(line, ":")
				got = append(got, verdict)
			}
			assert.Equal(t, want, got, output)
		})
	}
}

// rotated is a delivery to a webhook with a secret, and one while it has the next
// one too.
func rotated(t *testing.T, secret, next string) (before, during receiver.Arrival) {
	t.Helper()
	s := start(t)
	arrivals := make(chan receiver.Arrival, 1000)
	r := receiver.Start(t, nil, receiver.Hook{Path: "/", Seen: func(a receiver.Arrival) { arrivals <- a }})
	arrived := map[string]receiver.Arrival{}
	arrival := func(id string) bool {
		for {
			select {
			case a := <-arrivals:
				arrived[a.Event] = a
			case <-time.After(100 * time.Millisecond):
				return arrived[id].Event != ""
			}
		}
	}
	w := s.register(t, r.URL+"/hook", secret, arrival)
	id := s.publish(t, w, event.ConversationSummarized)
	until(t, "the delivery arrives", func() bool { return arrival(id) })
	s.rotate(t, w, next)
	var last string
	until(t, "a delivery has two signatures", func() bool {
		last = s.publish(t, w, event.ConversationSummarized)
		return arrival(last) && strings.Contains(arrived[last].Header.Get("webhook-signature"), " ")
	})
	return arrived[id], arrived[last]
}

// The receiver for Node is right as TypeScript, too.
func TestTheReceiverForNodeIsTyped(t *testing.T) {
	t.Parallel()
	node := required(t, "node")[0]
	folder := packages(t)
	runs(t, folder, node, filepath.Join("node_modules", "typescript", "bin", "tsc"), "--noEmit", "--allowJs", "--checkJs", "--strict",
		"--target", "es2022", "--module", "nodenext", "--types", "node", "--typeRoots", filepath.Join(folder, "node_modules", "@types"),
		shown(t, "receiver.mjs"))
}

// What receiver.rs says to put into Cargo.toml is what it is tested with.
func TestTheReceiverForRustNamesItsCrates(t *testing.T) {
	t.Parallel()
	manifest, err := os.ReadFile("testdata/rust/Cargo.toml")
	require.NoError(t, err)
	_, crates, _ := strings.Cut(string(manifest), "[dependencies]\n")
	crates, _, _ = strings.Cut(crates, "\n\n")
	source, err := os.ReadFile(shown(t, "receiver.rs"))
	require.NoError(t, err)
	assert.Contains(t, string(source), "//! [dependencies]\n//! "+strings.ReplaceAll(crates, "\n", "\n//! ")+"\n//! ```")
}
