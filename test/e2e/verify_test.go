package e2e_test

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/receiver"
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
		for _, a := range []receiver.Arrival{r.next(t), r.next(t)} {
			require.NoError(t, verifier.Verify(a.Body, a.Header), kind)
			require.Error(t, verifier.Verify(append(a.Body, ' '), a.Header), kind)
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
	script, err := filepath.Abs("testdata/receiver.py")
	require.NoError(t, err)
	s := start(t, settings{"RETRY_ATTEMPTS": "1"})
	for _, secret := range secrets() {
		s.wantVerified(t, secret, python, script)
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

func TestTheReceiverCommandVerifies(t *testing.T) {
	t.Parallel()
	s := start(t, settings{"RETRY_ATTEMPTS": "2"})
	greeting, said := runs(t, program, "receiver", "-addr", "127.0.0.1:0", "-secret", secret, "-answer", "503,200")
	_, address, _ := strings.Cut(greeting, " on ")
	url, _, _ := strings.Cut(address, " ")
	w := s.registerWith(t, fields{"url": url, "secret": secret, "events": event.Types()})

	s.publish(t, started())

	s.wantAttempts(t, w, retry, delivered)
	for _, want := range []string{"answered 503  verified", "answered 200  verified"} {
		assert.Contains(t, said(), want)
	}
	s.change(t, w, fields{"secret": "not the receiver's"})
	s.publish(t, started())
	assert.Contains(t, said(), "answered 401  X-Dembrane-Signature does not match")
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
func (s *system) wantVerified(t *testing.T, secret, interpreter, script string) {
	t.Helper()
	url, said := runs(t, interpreter, script, secret)
	w := s.registerWith(t, fields{"url": url, "secret": secret, "events": event.Types()})
	for _, eventType := range event.Types() {
		s.publish(t, sampleOf(eventType))
		assert.Equal(t, "verified "+eventType, said())
	}
	s.wantAttempts(t, w, delivered, delivered, delivered, delivered)

	s.change(t, w, fields{"secret": "not the receiver's"})
	s.publish(t, started())
	assert.True(t, strings.HasPrefix(said(), "refused"))
	last := s.wantAttempts(t, w, delivered, delivered, delivered, delivered, exhausted)[4]
	assert.Equal(t, http.StatusUnauthorized, last.StatusCode)
	s.remove(t, w)
}

// runs starts a receiver. It returns the address that it prints first, and what
// reads the lines that follow.
func runs(t *testing.T, program string, args ...string) (url string, said func() string) {
	t.Helper()
	p := &process.Process{Name: "receiver", Program: program, Args: args, Env: os.Environ(), Folder: t.TempDir()}
	require.NoError(t, p.Launch(t.Context()))
	t.Cleanup(func() { _ = p.Kill() }) // it may have ended
	read := 0
	said = func() string {
		t.Helper()
		var lines []string
		eventually(t, "the receiver says something", func() bool {
			require.NoError(t, p.Check())
			lines = strings.Split(p.Output(), "\n")
			return len(lines)-1 > read
		})
		read++
		return lines[read-1]
	}
	return said(), said
}
