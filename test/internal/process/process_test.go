package process_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/dembrane/webhooks/test/internal/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shell(t *testing.T, script string) *process.Process {
	t.Helper()
	return &process.Process{Name: "shell", Program: "/bin/sh", Args: []string{"-c", script}, Folder: t.TempDir()}
}

func TestAProcessThatNeverWorksIsNoSecret(t *testing.T) {
	nobody := &process.Process{Name: "nobody", Program: "/nonexistent", Folder: t.TempDir()}
	require.ErrorContains(t, nobody.Start(t.Context()), "start nobody")

	p := shell(t, "echo 'no such setting' >&2; exit 2")
	p.Line = new(struct{})
	err := p.Launch(t.Context())
	require.ErrorContains(t, err, "ended before it was ready")
	require.ErrorContains(t, err, "no such setting", "what it wrote to its log is shown")
	require.Error(t, p.Stop(), "it ended by itself")
	require.NoError(t, p.Stop())

	silent := shell(t, "exec sleep 60")
	silent.Line = new(struct{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, silent.Launch(ctx), "it has said nothing")
	require.NoError(t, silent.Kill())
}

func TestAProcessIsStartedAndHarmed(t *testing.T) {
	var line struct{ Ready bool }
	p := shell(t, `trap 'exit 0' TERM; echo '{"ready":true}'; while true; do sleep 0.01; done`)
	p.Line = &line
	require.NoError(t, p.Launch(t.Context()))
	assert.True(t, line.Ready)
	require.NoError(t, p.Check())
	assert.Positive(t, p.PID())

	require.NoError(t, p.Kill())
	require.NoError(t, p.Check(), "it was asked to")
	require.NoError(t, p.Launch(t.Context()))
	require.NoError(t, p.Signal(syscall.SIGSTOP))
	require.NoError(t, p.Stop(), "one that was stopped ends in the orderly way")

	require.NoError(t, p.Launch(t.Context()))
	require.NoError(t, p.Signal(syscall.SIGKILL))
	assert.Equal(t, -1, p.Wait(time.Minute))
}

func TestPortsAreGivenOnce(t *testing.T) {
	ports := process.Ports{}
	first, err := ports.Take(t.Context(), 3)
	require.NoError(t, err)
	second, err := ports.Take(t.Context(), 3)
	require.NoError(t, err)
	assert.Len(t, ports, 6)
	assert.NotContains(t, first, second[0])
	require.Error(t, process.Dials("127.0.0.1:1")(t.Context()))
}
