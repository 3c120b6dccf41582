package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/test/internal/apiclient"
)

func TestWhatIsSecretIsReadableByItsOwnerOnly(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for _, name := range []string{"keyset.json", "token", "tokens.yaml"} {
		info, err := os.Stat(filepath.Join(s.folder, name))
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
	token, err := os.ReadFile(filepath.Join(s.folder, "token"))
	require.NoError(t, err)
	assert.Equal(t, s.at.Token, strings.TrimSpace(string(token)))
	tokens, err := os.ReadFile(filepath.Join(s.folder, "tokens.yaml"))
	require.NoError(t, err)
	assert.NotContains(t, string(tokens), s.at.Token)
}

func TestATokensFileThatWasGivenDecides(t *testing.T) {
	t.Parallel()
	const token = "a token of somebody's"
	hash := sha256.Sum256([]byte(token))
	file := filepath.Join(t.TempDir(), "tokens.yaml")
	require.NoError(t, os.WriteFile(file, []byte("tokens:\n  - name: somebody\n    sha256: "+hex.EncodeToString(hash[:])+
		"\n    projects: [theirs]\n"), 0o600))

	s := start(t, settings{"STATIC_TOKENS_FILE": file})

	assert.Empty(t, s.at.Token, "it cannot be known")
	s.at.Token = token
	s.call(t, http.MethodGet, apiclient.Webhooks("theirs"), nil, http.StatusOK)
	s.call(t, http.MethodGet, apiclient.Webhooks("others"), nil, http.StatusNotFound)
	s.at.Token = "another"
	s.call(t, http.MethodGet, apiclient.Webhooks("theirs"), nil, http.StatusUnauthorized)
}
