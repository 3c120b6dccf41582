package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/settings"
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
