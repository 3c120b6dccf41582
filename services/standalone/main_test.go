package main

import (
	"bytes"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatIsAskedForIsPrinted(t *testing.T) {
	for flag, want := range map[string]string{
		"-version":      version,
		"-settings":     `"name": "DATA_DIR"`,
		"-print-config": "NATS_ADDR=127.0.0.1:4222",
	} {
		var stdout, stderr bytes.Buffer
		assert.Zero(t, run([]string{flag}, &stdout, &stderr), flag)
		assert.Contains(t, stdout.String(), want)
		assert.Empty(t, stderr.String())
	}
}

func TestWrongCommandLinesAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"-no-such-flag"},
		{"publish"},
		{"receiver", "-answer", "99"},
		{"receiver", "-answer", "200,none"},
	} {
		var stdout, stderr bytes.Buffer
		assert.Equal(t, 2, run(args, &stdout, &stderr), args)
		assert.Empty(t, stdout.String())
		assert.NotEmpty(t, stderr.String())
	}
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	addr := taken.Addr().String()
	for name, args := range map[string][]string{
		"api":      {"-data-dir", t.TempDir(), "-nats-addr", "127.0.0.1:0", "-api-addr", addr},
		"nats":     {"-data-dir", t.TempDir(), "-nats-addr", addr, "-api-addr", "127.0.0.1:0"},
		"receiver": {"receiver", "-addr", addr},
		"tokens":   {"-data-dir", t.TempDir(), "-nats-addr", "127.0.0.1:0", "-api-addr", "127.0.0.1:0", "-static-tokens-file", "/no/such/file"},
		"level":    {"-log-level", "loud"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			assert.Equal(t, 1, run(args, &stdout, &stderr))
			assert.Empty(t, stdout.String())
			assert.NotEmpty(t, stderr.String())
		})
	}
}
