package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/settings"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
)

func call(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func setenv(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"MONGODB_URI": "mongodb://user:hunter2@one", "NATS_URL": "nats://user:hunter2@one", "SECRETS_KEYSET_FILE": "/none",
		"ADMIN_BASE_URL": "https://dashboard.example.org", "STATIC_TOKENS_FILE": "/none", "OPS_ADDR": "127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
}

func TestFlags(t *testing.T) {
	code, out, _ := call("", "-version")
	assert.Zero(t, code)
	assert.Equal(t, version+"\n", out)

	code, out, _ = call("", "-settings")
	assert.Zero(t, code)
	var list []settings.Setting
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	assert.NotEmpty(t, list)

	code, out, _ = call("", "-new-keyset")
	assert.Zero(t, code)
	_, err := secret.OpenKeyset([]byte(out))
	require.NoError(t, err)

	// The same as `printf local-token | sha256sum`.
	code, out, _ = call("local-token\n", "-hash-token")
	assert.Zero(t, code)
	assert.Equal(t, "c7ec7c548f5992a239dc52fea748b808b408fe083c4625e9aa6ffe717343f9c1\n", out)
	code, _, _ = call("\n", "-hash-token")
	assert.Equal(t, 1, code)
	code, _, _ = call("", "-nonsense")
	assert.Equal(t, 2, code)
}

// What a shell or a power failure could do to the only copy of the keys.
func TestKeysetIsRotatedInItsFile(t *testing.T) {
	_, keyset, _ := call("", "-new-keyset")
	path := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, os.WriteFile(path, []byte(keyset), 0o640))
	before, err := secret.OpenKeyset([]byte(keyset))
	require.NoError(t, err)
	sealed, err := before.Seal(secret.New("12345678"), "p1", "w1")
	require.NoError(t, err)

	code, out, errs := call("", "-rotate-keyset", path)
	require.Zero(t, code, errs)
	assert.Contains(t, out, "2 keys in all")
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o640), info.Mode().Perm(), "who could read it still can, and nobody else")
	rotated, err := secret.OpenKeysetFile(path)
	require.NoError(t, err)
	anew, err := rotated.Reseal(sealed, "p1", "w1")
	require.NoError(t, err)
	assert.NotNil(t, anew)

	code, out, errs = call("", "-retire-keys", path)
	require.Zero(t, code, errs)
	assert.Contains(t, out, "1 keys are gone")
	alone, err := secret.OpenKeysetFile(path)
	require.NoError(t, err)
	_, err = alone.Open(anew, "p1", "w1")
	require.NoError(t, err)
	_, err = alone.Open(sealed, "p1", "w1")
	require.ErrorIs(t, err, secret.ErrUnreadable)

	broken := filepath.Join(t.TempDir(), "broken.json")
	require.NoError(t, os.WriteFile(broken, []byte("hunter2"), 0o600))
	for _, flag := range []string{"-rotate-keyset", "-retire-keys"} {
		code, _, errs = call("", flag, broken)
		assert.Equal(t, 1, code)
		assert.Contains(t, errs, "not a Tink keyset")
		assert.NotContains(t, errs, "hunter2")
		code, _, errs = call("", flag, broken+".missing")
		assert.Equal(t, 1, code)
		assert.Contains(t, errs, "broken.json.missing")
	}
	left, err := os.ReadDir(filepath.Dir(broken))
	require.NoError(t, err)
	assert.Len(t, left, 1, "nothing is left beside it")
	content, err := os.ReadFile(broken)
	require.NoError(t, err)
	assert.Equal(t, "hunter2", string(content))
}

func TestReencryptSaysWhatItDid(t *testing.T) {
	setenv(t)
	mongo := mongotest.StartEmbedded(t)
	path := filepath.Join(t.TempDir(), "keyset.json")
	_, keyset, _ := call("", "-new-keyset")
	require.NoError(t, os.WriteFile(path, []byte(keyset), 0o600))
	t.Setenv("SECRETS_KEYSET_FILE", path)
	t.Setenv("MONGODB_URI", mongo.URI())
	code, out, errs := call("", "-reencrypt")
	assert.Zero(t, code, errs)
	assert.Equal(t, "webhooks with a secret: 0 encrypted anew, 0 had the primary key already, 0 cannot be read\n", out)

	mongo.Stop()
	code, _, errs = call("", "-reencrypt")
	assert.Equal(t, 1, code)
	assert.Contains(t, errs, "re-encrypt")
}

func TestPrintConfigRedacts(t *testing.T) {
	setenv(t)
	code, out, _ := call("", "-print-config")
	assert.Zero(t, code)
	assert.Contains(t, out, "MONGODB_URI=mongodb://[redacted]@one\n")
	assert.Contains(t, out, "NATS_URL=nats://[redacted]@one\n")
	assert.NotContains(t, out, "hunter2")
}

func TestExitCodes(t *testing.T) {
	t.Setenv("MONGODB_URI", "")
	code, _, errs := call("")
	assert.Equal(t, 1, code)
	assert.Contains(t, errs, "MONGODB_URI")
	setenv(t)
	code, _, errs = call("")
	assert.Equal(t, 1, code)
	assert.Contains(t, errs, "SECRETS_KEYSET_FILE")
	code, _, errs = call("", "-healthcheck")
	assert.Equal(t, 1, code)
	assert.Contains(t, errs, "/readyz")
}
