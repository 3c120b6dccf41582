package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/cli/internal/command"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/services/standalone/app"
)

const (
	// patience is how long is waited for anything; nothing takes nearly as long.
	patience = 60 * time.Second
	often    = 10 * time.Millisecond
)

// system is the one standalone that all tests of the package use, each with a
// project of its own.
var system app.Running

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "cli")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	settings, err := app.LoadConfig(map[string]string{
		"DATA_DIR": folder, "API_ADDR": "127.0.0.1:0", "NATS_ADDR": "127.0.0.1:0", "LOG_LEVEL": "error",
		"API_RATE_PER_SECOND": "0", "ALLOW_CIDRS": "127.0.0.0/8", "RETRY_ATTEMPTS": "1",
	})
	if err != nil {
		panic(err)
	}
	standalone, err := app.New(settings, "0.0.0-test", zap.NewNop())
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- standalone.Run(ctx) }()
	select {
	case system = <-standalone.Ready():
	case err := <-ended:
		panic(err)
	}
	status := m.Run()
	cancel()
	if err := <-ended; err != nil {
		panic(err)
	}
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// output is what was printed so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// shell runs the program for one project.
type shell struct {
	t           *testing.T
	environment map[string]string
	in          string
}

func newShell(t *testing.T, project string) *shell {
	t.Helper()
	return &shell{t: t, environment: map[string]string{
		"DEMBRANE_API": system.API, "DEMBRANE_NATS": system.NATS, "DEMBRANE_TOKEN": system.Token, "DEMBRANE_PROJECT": project,
		"HOME": t.TempDir(),
	}}
}

// with is the same shell with other variables.
func (s *shell) with(more map[string]string) *shell {
	all := maps.Clone(s.environment)
	maps.Copy(all, more)
	return &shell{t: s.t, environment: all, in: s.in}
}

// result is what a command said.
type result struct {
	status   int
	out, err string
}

func (s *shell) run(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	var out, err output
	status := command.Run(ctx, args, s.around(&out, &err))
	return result{status, out.String(), err.String()}
}

func (s *shell) around(out, err io.Writer) command.Surroundings {
	return command.Surroundings{
		In: bytes.NewBufferString(s.in), Out: out, Err: err, Environment: s.environment, Version: "0.0.0-test",
	}
}

// must is run for what is to succeed.
func (s *shell) must(args ...string) string {
	s.t.Helper()
	r := s.run(args...)
	require.Zero(s.t, r.status, "%v: %s%s", args, r.out, r.err)
	return r.out
}

// mustJSON decodes what a command prints with --json.
func mustJSON[T any](s *shell, args ...string) (value T) {
	s.t.Helper()
	require.NoError(s.t, json.Unmarshal([]byte(s.must(append(args, "--json")...)), &value))
	return value
}

// background is a command that goes on.
type background struct {
	out, err *output
	status   chan int
	cancel   context.CancelFunc
}

func (s *shell) start(args ...string) *background {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	b := &background{out: &output{}, err: &output{}, status: make(chan int, 1), cancel: cancel}
	go func() { b.status <- command.Run(ctx, args, s.around(b.out, b.err)) }()
	s.t.Cleanup(cancel)
	return b
}

// stop is Ctrl-C.
func (b *background) stop(t *testing.T) int {
	t.Helper()
	b.cancel()
	select {
	case status := <-b.status:
		return status
	case <-time.After(patience):
		require.FailNow(t, "it does not end")
		return 0
	}
}

// receiver verifies, remembers and answers what it is told to.
type receiver struct {
	*httptest.Server

	mu       sync.Mutex
	secret   string
	answers  []int
	verified []string
	refused  int
}

func newReceiver(t *testing.T, secret string, answers ...int) *receiver {
	t.Helper()
	r := &receiver{secret: secret, answers: answers}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil || r.secret != "" && signature.Verify(r.secret, request.Header, body, time.Now(), signature.Tolerance) != nil {
			r.refused++
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.verified = append(r.verified, request.Header.Get("X-Dembrane-Event")+" "+request.Header.Get("X-Dembrane-Attempt"))
		status := http.StatusNoContent
		if len(r.answers) > 0 {
			status, r.answers = r.answers[0], r.answers[1:]
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.verified...)
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, often)
}
