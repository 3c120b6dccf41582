package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/secret"
)

// What an operator types, in its order, on a folder of data.
func TestTheKeysetIsLookedAfterFromTheCommandLine(t *testing.T) {
	folder := t.TempDir()
	keyset, err := secret.NewKeyset()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "keyset.json"), keyset, 0o600))
	for _, step := range []struct{ flag, want string }{
		{"--rotate-keyset", "2 keys in all. Now run: standalone -reencrypt\n"},
		{"--reencrypt", "webhooks with a secret: 0 encrypted anew, 0 had the primary key already, 0 cannot be read\n"},
		{"--retire-keys", "1 keys are gone"},
	} {
		var stdout, stderr bytes.Buffer
		require.Zero(t, run([]string{"-data-dir", folder, step.flag}, &stdout, &stderr), stderr.String())
		assert.Contains(t, stdout.String(), step.want)
		assert.Empty(t, stderr.String(), step.flag)
	}
}

func TestUpkeepThatCannotBeDoneSaysWhy(t *testing.T) {
	for want, args := range map[string][]string{
		"one at a time": {"-rotate-keyset", "-reencrypt", "-data-dir", t.TempDir()},
		"set DATA_DIR":  {"-reencrypt", "-data-dir", t.TempDir()},
	} {
		var stdout, stderr bytes.Buffer
		assert.Equal(t, 1, run(args, &stdout, &stderr))
		assert.Contains(t, stderr.String(), want)
		assert.Empty(t, stdout.String())
	}
}
