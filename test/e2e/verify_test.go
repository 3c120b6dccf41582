package e2e_test

import (
	"bufio"
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
)

// secrets are the two kinds that a host may have: any text, and what Standard
// Webhooks generates.
func secrets() map[string]string {
	return map[string]string{"raw": "geheim – not even ASCII", "standard": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
}

func TestTheOfficialGoLibraryVerifies(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for kind, secret := range secrets() {
		verifier, err := standardwebhooks.NewWebhookRaw([]byte(secret))
		if kind == "standard" {
			verifier, err = standardwebhooks.NewWebhook(secret)
		}
		require.NoError(t, err)
		r := receiverAnswers(t, 500)
		w := s.registerWith(t, fields{"url": r.url, "secret": secret, "events": []string{event.ConversationSummarized}})
		s.publish(t, sampleOf(event.ConversationSummarized))
		s.wantAttempts(t, w, retry, delivered)
		for _, a := range []arrival{r.next(t), r.next(t)} {
			require.NoError(t, verifier.Verify(a.body, a.header), kind)
			require.Error(t, verifier.Verify(append(a.body, ' '), a.header), kind)
		}
		s.remove(t, w)
	}
}

func TestTheDocumentedPythonVerifies(t *testing.T) {
	t.Parallel()
	python, present := tool(t, "python3")
	if !present {
		return
	}
	s := start(t, settings{"RETRY_ATTEMPTS": "1"})
	for _, secret := range secrets() {
		s.wantVerified(t, secret, func(secret string) *exec.Cmd {
			return exec.CommandContext(t.Context(), python, "testdata/receiver.py", secret)
		})
	}
}

// The verifier in the README is the one that the test above runs.
func TestTheReadmeShowsThePythonThatIsTested(t *testing.T) {
	t.Parallel()
	tested, err := os.ReadFile("testdata/receiver.py")
	require.NoError(t, err)
	_, verifier, _ := bytes.Cut(tested, []byte("import hashlib\n"))
	verifier, _, _ = bytes.Cut(verifier, []byte("\n\n"))
	require.NotEmpty(t, verifier)
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	assert.Contains(t, string(readme), "import hashlib\n"+string(verifier))
}

func TestTheOfficialJavaScriptLibraryVerifies(t *testing.T) {
	t.Parallel()
	node, haveNode := tool(t, "node")
	npm, haveNPM := tool(t, "npm")
	if !haveNode || !haveNPM {
		return
	}
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(folder, os.DirFS("testdata/javascript")))
	install := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = folder
	output, err := install.CombinedOutput()
	require.NoError(t, err, "%s", output)
	s := start(t, settings{"RETRY_ATTEMPTS": "1"})
	for _, secret := range secrets() {
		s.wantVerified(t, secret, func(secret string) *exec.Cmd {
			return exec.CommandContext(t.Context(), node, filepath.Join(folder, "receiver.mjs"), secret)
		})
	}
}

func TestTheReceiverCommandVerifies(t *testing.T) {
	t.Parallel()
	s := start(t, settings{"RETRY_ATTEMPTS": "2"})
	greeting, said := runs(t, exec.CommandContext(t.Context(), program, "receiver",
		"-addr", "127.0.0.1:0", "-secret", secret, "-answer", "503,200"))
	_, address, _ := strings.Cut(greeting, " on ")
	url, _, _ := strings.Cut(address, " ")
	w := s.registerWith(t, fields{"url": url, "secret": secret, "events": event.Types()})

	s.publish(t, started())

	s.wantAttempts(t, w, retry, delivered)
	for _, want := range []string{"answered 503  verified", "answered 200  verified"} {
		assert.Contains(t, said(t), want)
	}
	s.change(t, w, fields{"secret": "not the receiver's"})
	s.publish(t, started())
	assert.Contains(t, said(t), "answered 401  X-Dembrane-Signature does not match")
}

// tool finds a program that is not part of Go. CI has them all.
func tool(t *testing.T, name string) (string, bool) {
	t.Helper()
	path, err := exec.LookPath(name)
	if os.Getenv("CI") != "" {
		require.NoError(t, err)
	}
	if err != nil {
		t.Logf("%s is not installed: nothing is tested with it", name)
	}
	return path, err == nil
}

// wantVerified delivers an event of each type to a receiver that is a program,
// and wants it to verify all of them, and none that has another secret.
func (s *system) wantVerified(t *testing.T, secret string, command func(secret string) *exec.Cmd) {
	t.Helper()
	url, said := runs(t, command(secret))
	w := s.registerWith(t, fields{"url": url, "secret": secret, "events": event.Types()})
	for _, eventType := range event.Types() {
		s.publish(t, sampleOf(eventType))
		assert.Equal(t, "verified "+eventType, said(t))
	}
	s.wantAttempts(t, w, delivered, delivered, delivered, delivered)

	s.change(t, w, fields{"secret": "not the receiver's"})
	s.publish(t, started())
	assert.True(t, strings.HasPrefix(said(t), "refused"))
	last := s.wantAttempts(t, w, delivered, delivered, delivered, delivered, exhausted)[4]
	assert.Equal(t, http.StatusUnauthorized, last.StatusCode)
	s.remove(t, w)
}

// runs starts a receiver. It returns the address that it prints first, and what
// reads the lines that follow.
func runs(t *testing.T, command *exec.Cmd) (url string, said func(*testing.T) string) {
	t.Helper()
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	var faults text
	command.Stderr = &faults
	require.NoError(t, command.Start())
	lines := make(chan string)
	ended := make(chan struct{})
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(stdout)
		for scanner.Scan() {
			select {
			case lines <- scanner.Text():
			case <-ended:
			}
		}
	}()
	t.Cleanup(func() {
		close(ended)
		_ = command.Process.Kill()
		for range lines { // until its output has ended
		}
		_ = command.Wait() // it was killed
	})
	said = func(t *testing.T) string {
		t.Helper()
		select {
		case line, open := <-lines:
			require.True(t, open, "the receiver ended: %s", faults.String())
			return line
		case <-time.After(patience):
			require.Fail(t, "the receiver says nothing")
			return ""
		}
	}
	return said(t), said
}
