package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain lets the test binary be what the program starts itself as.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-role" {
		os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

func TestParse(t *testing.T) {
	o, err := parse(nil, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, 50_000, o.events)
	assert.Equal(t, 3, o.rounds)
	assert.Equal(t, 1000, o.hosts)

	quick, err := parse([]string{"-quick", "-set", "LOG_LEVEL=warn", "-set", "ATTEMPTS_MAX_AGE=24h"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, 1, quick.rounds)
	assert.Equal(t, time.Second, quick.calm)
	environment := quick.environment("/tmp/x")
	assert.Contains(t, environment, "DATA_DIR=/tmp/x/data")
	assert.Equal(t, []string{"LOG_LEVEL=warn", "ATTEMPTS_MAX_AGE=24h"}, environment[len(environment)-2:])
}

func TestQuickGivesWay(t *testing.T) {
	o, err := parse([]string{"-quick", "-events", "77", "-only", "hanging,flood", "-only", "large"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, 77, o.events, "what is said beside -quick wins")
	assert.Equal(t, 10_000, o.floodEvents)
	assert.Equal(t, "hanging,flood,large", o.only.String())
	assert.True(t, o.wants(throughputScenario, floodScenario))
	assert.False(t, o.wants(throughputScenario, registryScenario))
	everything, err := parse(nil, io.Discard)
	require.NoError(t, err)
	assert.True(t, everything.wants(registryScenario))
}

// Every scenario runs to its end, on the real system, loses nothing, and gives all
// its figures.
func TestEveryScenarioIsMeasured(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	var table, progress bytes.Buffer
	code := execute([]string{
		"-quick", "-events", "400", "-endpoints", "20", "-calm", "300ms", "-burst", "400", "-flood", "500", "-large", "3", "-replay", "400", "-webhooks", "200", "-out", file,
	}, &table, &progress)
	require.Zero(t, code, progress.String())

	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var got results
	require.NoError(t, json.Unmarshal(data, &got))
	assert.Zero(t, got.Lost)
	var judged []string
	for _, one := range got.Summary {
		judged = append(judged, one.Key)
		assert.Contains(t, table.String(), one.Figure)
	}
	for _, wanted := range goals() {
		assert.Contains(t, judged, wanted.key)
	}
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
		{"-only", "everything"},
		{"-webhooks", "100"},
		{"-attempt-timeout", "1ms"},
		{"-burst", "0"},
		{"-flood", "0"},
		{"-replay", "0"},
		{"-no-such-flag"},
	} {
		var said bytes.Buffer
		assert.Equal(t, 2, execute(args, io.Discard, &said), args)
		assert.NotEmpty(t, said.String(), args)
	}
}
