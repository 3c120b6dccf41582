package main

import (
	"bytes"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain lets the test binary be what the program starts itself as.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-role" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

func TestParse(t *testing.T) {
	o, err := parse(nil, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, 50_000, o.events)
	assert.Equal(t, 3, o.rounds)
	assert.Equal(t, 1000, o.hosts)

	quick, err := parse([]string{"-quick", "-set", "LOG_LEVEL=warn", "-set", "RECORD_SHARE=1"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, 1, quick.rounds)
	assert.Equal(t, 2*time.Second, quick.calm)
	environment := quick.environment("/tmp/x")
	assert.Contains(t, environment, "DATA_DIR=/tmp/x/data")
	assert.Equal(t, []string{"LOG_LEVEL=warn", "RECORD_SHARE=1"}, environment[len(environment)-2:])
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, args := range [][]string{
		{"-events", "0"},
		{"-rounds", "-1"},
		{"-endpoints", "0"},
		{"-endpoints", "10001"},
		{"-encoding", "text/plain"},
		{"-rate", "many"},
		{"-set", "nonsense"},
		{"-no-such-flag"},
	} {
		var said bytes.Buffer
		assert.Equal(t, 2, run(args, io.Discard, &said), args)
		assert.NotEmpty(t, said.String(), args)
	}
}

func selfPath(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	return path
}
