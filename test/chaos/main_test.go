package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryFaultStrikesAndNothingIsLost(t *testing.T) {
	out := filepath.Join(t.TempDir(), "chaos.json")
	var table, said bytes.Buffer

	code := execute(t.Context(), []string{"-quick", "-out", out}, &table, &said)

	t.Logf("%s\n%s", said.String(), table.String())
	require.Zero(t, code)
	data, err := os.ReadFile(out)
	require.NoError(t, err)
	var r report
	require.NoError(t, json.Unmarshal(data, &r))
	played := slices.DeleteFunc(faults(), func(f fault) bool { return f.long })
	require.Len(t, r.Rows, len(played))
	assert.Zero(t, r.Wrong)
	for i, f := range played {
		row := r.Rows[i]
		assert.Equal(t, f.key, row.Key)
		assert.Equal(t, 1, row.Rounds, f.title)
		assert.Positive(t, row.Acknowledged, f.title)
		assert.Zero(t, row.Lost, f.title)
		assert.Zero(t, row.Unrecorded, f.title)
		assert.Equal(t, row.Owed, row.Delivered+row.Otherwise, f.title)
	}
	backlog := r.Rows[len(r.Rows)-1].Backlog
	require.NotNil(t, backlog)
	assert.Equal(t, 3000, backlog.Pending)
	assert.GreaterOrEqual(t, backlog.Kept, 3000, "what was on the schedule is still there after the kill")
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, args := range [][]string{
		{"-rounds", "0"},
		{"-rate", "0"},
		{"-rate", "10001"},
		{"-ack-wait", "10ms"},
		{"-pending", "0"},
		{"-outage", "0s"},
		{"-patience", "-1s"},
		{"-only", "kill,no-such-fault"},
		{"-no-such-flag"},
	} {
		var said bytes.Buffer
		assert.Equal(t, 2, execute(t.Context(), args, io.Discard, &said), args)
		assert.NotEmpty(t, said.String(), args)
	}
}

func TestFaultsAreNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, key := range faultKeys() {
		assert.False(t, seen[key], key)
		seen[key] = true
	}
	for _, one := range scenes() {
		assert.False(t, seen[one.name+" the scene"], one.name)
		seen[one.name+" the scene"] = true
	}
}

// What is measured is what the manifests give.
func TestMemoryIsWhatTheManifestsGive(t *testing.T) {
	for service, want := range map[string][2]string{
		"dispatcher": {dispatcherCollects, strconv.Itoa(dispatcherMiB/1024) + "Gi"},
		"api":        {apiCollects, strconv.Itoa(apiMiB) + "Mi"},
	} {
		manifest, err := os.ReadFile(filepath.Join("..", "..", "deploy", "base", service, "deployment.yaml"))
		require.NoError(t, err)
		assert.Contains(t, string(manifest), "- name: GOMEMLIMIT\n              value: "+want[0]+"\n", service)
		assert.Contains(t, string(manifest), "limits:\n              memory: "+want[1]+"\n", service)
	}
}
