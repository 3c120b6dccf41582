package e2e_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/test/internal/process"
)

func TestTheDemoShowsFourVerifiedDeliveries(t *testing.T) {
	t.Parallel()
	var ready struct {
		Ready                     bool
		API, NATS, MongoDB, Token string
	}
	demo := &process.Process{
		Name: "demo", Program: program, Args: []string{"--demo", "-data-dir", t.TempDir()}, Folder: t.TempDir(), Line: &ready,
		Env: append(os.Environ(), "API_ADDR=127.0.0.1:0", "NATS_ADDR=127.0.0.1:0"),
	}
	require.NoError(t, demo.Launch(t.Context()))
	t.Cleanup(func() { _ = demo.Stop() }) // only a story that failed has not stopped it
	eventually(t, "the demo says how to go on", func() bool { return strings.Contains(demo.Log(), "nats --server") })

	assert.Equal(t, 1, strings.Count(demo.Output(), "\n"), "standard output is one JSON document")
	assert.True(t, ready.Ready)
	assert.NotEmpty(t, ready.Token)
	for prefix, address := range map[string]string{"http://": ready.API, "nats://": ready.NATS, "mongodb://": ready.MongoDB} {
		assert.True(t, strings.HasPrefix(address, prefix), address)
	}
	assert.Equal(t, 4, verifiedDeliveries(demo))
	assert.LessOrEqual(t, strings.Count(demo.Log(), "\n"), 40, "it fits on a screen")

	wantCommandsWork(t, demo)

	require.NoError(t, demo.Signal(syscall.SIGINT))
	assert.Zero(t, demo.Wait(patience), "Ctrl-C ends it cleanly")
	assert.Equal(t, 1, strings.Count(demo.Output(), "\n"))
}

func verifiedDeliveries(demo *process.Process) int {
	count := 0
	for line := range strings.Lines(demo.Log()) {
		if strings.Contains(line, "✓") && strings.Contains(line, "verified") {
			count++
		}
	}
	return count
}

// wantCommandsWork pastes every command of the story into a shell.
func wantCommandsWork(t *testing.T, demo *process.Process) {
	t.Helper()
	_, haveCurl := tool(t, "curl")
	_, haveNATS := natsCLI(t)
	curls, publishes := 0, 0
	for line := range strings.Lines(demo.Log()) {
		command := strings.TrimSpace(line)
		before := verifiedDeliveries(demo)
		switch {
		case strings.HasPrefix(command, "curl ") && haveCurl:
			output := paste(t, command)
			assert.True(t, json.Valid([]byte(output)), "%s: %s", command, output)
			assert.NotRegexp(t, `"detail":\s*"[^"]`, output, "no refusal")
			if strings.Contains(command, "/test") {
				eventually(t, "the test delivery is shown", func() bool { return verifiedDeliveries(demo) > before })
			}
			curls++
		case strings.Contains(command, "nats --server") && haveNATS:
			assert.Contains(t, paste(t, command), "EVENTS")
			eventually(t, "the event is shown", func() bool { return verifiedDeliveries(demo) > before })
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

	assert.Equal(t, "evt_from_cli_1", r.next(t).Event)
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
