package e2e_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// text collects what a process writes.
type text struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write implements io.Writer.
func (x *text) Write(data []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.buffer.Write(data)
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.buffer.String()
}

func TestTheDemoShowsFourVerifiedDeliveries(t *testing.T) {
	t.Parallel()
	var stdout, stderr text
	demo := exec.Command(program, "--demo", "-data-dir", t.TempDir()) //nolint:noctx // it is stopped by a signal, as a person would
	demo.Env = append(os.Environ(), "API_ADDR=127.0.0.1:0", "NATS_ADDR=127.0.0.1:0")
	demo.Stdout, demo.Stderr = &stdout, &stderr
	require.NoError(t, demo.Start())
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			require.NoError(t, demo.Process.Signal(syscall.SIGINT))
			require.NoError(t, demo.Wait(), "Ctrl-C ends it cleanly")
		}
	}
	t.Cleanup(stop)
	eventually(t, "the demo says how to go on", func() bool { return strings.Contains(stderr.String(), "nats --server") })

	var ready struct {
		Ready                     bool
		API, NATS, MongoDB, Token string
	}
	require.NoError(t, json.Unmarshal([]byte(stdout.String()), &ready), "standard output is one JSON document")
	assert.Equal(t, 1, strings.Count(stdout.String(), "\n"))
	assert.True(t, ready.Ready)
	assert.NotEmpty(t, ready.Token)
	for prefix, address := range map[string]string{"http://": ready.API, "nats://": ready.NATS, "mongodb://": ready.MongoDB} {
		assert.True(t, strings.HasPrefix(address, prefix), address)
	}
	assert.Equal(t, 4, verifiedDeliveries(&stderr))
	assert.LessOrEqual(t, strings.Count(stderr.String(), "\n"), 40, "it fits on a screen")

	wantCommandsWork(t, &stderr)

	stop()
	assert.Equal(t, 1, strings.Count(stdout.String(), "\n"))
}

func verifiedDeliveries(story *text) int {
	count := 0
	for line := range strings.Lines(story.String()) {
		if strings.Contains(line, "✓") && strings.Contains(line, "verified") {
			count++
		}
	}
	return count
}

// wantCommandsWork pastes every command of the story into a shell.
func wantCommandsWork(t *testing.T, story *text) {
	t.Helper()
	_, haveCurl := tool(t, "curl")
	_, haveNATS := natsCLI(t)
	curls, publishes := 0, 0
	for line := range strings.Lines(story.String()) {
		command := strings.TrimSpace(line)
		before := verifiedDeliveries(story)
		switch {
		case strings.HasPrefix(command, "curl ") && haveCurl:
			output := paste(t, command)
			assert.True(t, json.Valid([]byte(output)), "%s: %s", command, output)
			assert.NotContains(t, output, `"detail"`)
			if strings.Contains(command, "/test") {
				eventually(t, "the test delivery is shown", func() bool { return verifiedDeliveries(story) > before })
			}
			curls++
		case strings.Contains(command, "nats --server") && haveNATS:
			assert.Contains(t, paste(t, command), "EVENTS")
			eventually(t, "the event is shown", func() bool { return verifiedDeliveries(story) > before })
			publishes++
		}
	}
	assert.True(t, curls == 3 || !haveCurl)
	assert.True(t, publishes == 1 || !haveNATS)
}

func TestTheReadmesCommandPublishes(t *testing.T) {
	t.Parallel()
	if _, present := natsCLI(t); !present {
		return
	}
	s := start(t, nil)
	r := receiverAnswers(t)
	s.create(t, "demo", fields{"url": r.url, "events": []string{"report.generated"}})
	s.settle(t)

	paste(t, strings.ReplaceAll(readmeCommand(t, "nats --server"), "nats://127.0.0.1:4222", s.at.NATS))

	assert.Equal(t, "evt_from_cli_1", r.next(t).eventID(t))
}

// readmeCommand is the block of shell in the README that begins like this.
func readmeCommand(t *testing.T, prefix string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	for block := range strings.SplitSeq(string(readme), "```sh\n") {
		if command, _, found := strings.Cut(block, "```"); found && strings.HasPrefix(command, prefix) {
			return command
		}
	}
	require.Fail(t, "the README has no such command", prefix)
	return ""
}

// natsCLI is the command line of NATS that the Makefile builds.
func natsCLI(t *testing.T) (string, bool) {
	t.Helper()
	folder, err := filepath.Abs("../../bin")
	require.NoError(t, err)
	return tool(t, filepath.Join(folder, "nats"))
}

// paste runs a command line as a person's shell would.
func paste(t *testing.T, line string) string {
	t.Helper()
	folder, err := filepath.Abs("../../bin")
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), "sh", "-c", line)
	// The command line keeps its settings in the home folder: not in a person's.
	command.Env = append(os.Environ(), "PATH="+folder+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+t.TempDir())
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	require.NoError(t, command.Run(), "%s\n%s", line, &output)
	return output.String()
}
