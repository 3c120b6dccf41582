package static_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/access/static"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func entry(name, token, projects string) string {
	return "  - {name: " + name + ", sha256: " + static.Hash(token) + ", projects: " + projects + "}\n"
}

func example() string {
	return "tokens:\n" + entry("one", "token-one", "[p1, p2]") + entry("all", "token-all", `["*"]`) +
		"projects:\n  - {id: p1, name: Town talks, language: nl, workspace_id: w1}\n"
}

func TestAuthorize(t *testing.T) {
	d, err := static.Open(file(t, example()), time.Second, zap.NewNop())
	require.NoError(t, err)
	for _, row := range []struct {
		token, project string
		want           error
		caller         string
	}{
		{"token-one", "p1", nil, "one"},
		{"token-one", "p2", nil, "one"},
		{"token-one", "p3", access.ErrProject, ""},
		{"token-one", "*", access.ErrProject, ""},
		{"token-all", "p3", nil, "all"},
		{"token-all", "a.b", access.ErrProject, ""},
		{"token-all", "*", access.ErrProject, ""},
		{"token-all", "", access.ErrProject, ""},
		{"token-two", "p1", access.ErrSession, ""},
		{"", "p1", access.ErrSession, ""},
		{static.Hash("token-one"), "p1", access.ErrSession, ""},
	} {
		for _, action := range []access.Action{access.Read, access.Withdraw, access.Change} {
			grant, err := d.Authorize(t.Context(), row.token, row.project, action)
			require.ErrorIs(t, err, row.want)
			assert.Equal(t, row.caller, grant.Caller)
		}
	}
	grant, err := d.Authorize(t.Context(), "token-one", "p1", access.Read)
	require.NoError(t, err)
	assert.Equal(t, access.Project{ID: "p1", Name: "Town talks", Language: "nl", WorkspaceID: "w1"}, grant.Project)
}

func TestScope(t *testing.T) {
	d, err := static.Open(file(t, example()), time.Second, zap.NewNop())
	require.NoError(t, err)
	scope, err := d.Scope(t.Context(), "token-one")
	require.NoError(t, err)
	assert.False(t, scope.All)
	assert.Equal(t, []string{"p1", "p2"}, scope.IDs())
	assert.Equal(t, "Town talks", scope.Names()["p1"])
	assert.Empty(t, scope.Names()["p2"])
	scope, err = d.Scope(t.Context(), "token-all")
	require.NoError(t, err)
	assert.Equal(t, access.Scope{All: true}, scope)
	_, err = d.Scope(t.Context(), "nope")
	require.ErrorIs(t, err, access.ErrSession)
}

func TestNames(t *testing.T) {
	d, err := static.Open(file(t, example()), time.Second, zap.NewNop())
	require.NoError(t, err)
	names, err := d.Names(t.Context(), []string{"p1", "p2", "nobody's"})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"p1": "Town talks"}, names)
}

func TestOpenRefuses(t *testing.T) {
	for name, content := range map[string]string{
		"empty":             "",
		"no tokens":         "tokens: []\n",
		"not yaml":          "tokens: [",
		"a plain token":     "tokens:\n  - {name: x, token: plain, projects: ['*']}\n",
		"a short hash":      "tokens:\n  - {name: x, sha256: abcd, projects: ['*']}\n",
		"a plain hash":      "tokens:\n  - {name: x, sha256: plain-token, projects: ['*']}\n",
		"no name":           "tokens:\n" + entry("''", "t", "['*']"),
		"no projects":       "tokens:\n" + entry("x", "t", "[]"),
		"a bad project":     "tokens:\n" + entry("x", "t", "[a.b]"),
		"a token twice":     "tokens:\n" + entry("x", "t", "[p1]") + entry("y", "t", "[p2]"),
		"a project unnamed": "tokens:\n" + entry("x", "t", "['*']") + "projects:\n  - {name: y}\n",
	} {
		_, err := static.Open(file(t, content), time.Second, zap.NewNop())
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), "plain-token")
	}
	_, err := static.Open(filepath.Join(t.TempDir(), "missing"), time.Second, zap.NewNop())
	require.ErrorIs(t, err, os.ErrNotExist)

	_, err = static.Open(file(t, "tokens:\n  - {name: x, sha256: a, projects: ['*']}\n  - {name: y, sha256: b, projects: ['*']}\n"), time.Second, zap.NewNop())
	require.ErrorContains(t, err, "token 1")
	require.ErrorContains(t, err, "token 2")
}

func TestReload(t *testing.T) {
	path := file(t, example())
	core, logs := observer.New(zap.InfoLevel)
	d, err := static.Open(path, 5*time.Millisecond, zap.New(core))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	works := func(token string) error {
		_, err := d.Authorize(t.Context(), token, "p1", access.Read)
		return err
	}
	write := func(content string) {
		require.NoError(t, os.WriteFile(path+".new", []byte(content), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
	}
	const patience, often = 10 * time.Second, 5 * time.Millisecond

	write("tokens:\n" + entry("new", "token-new", "[p1]"))
	require.Eventually(t, func() bool { return works("token-new") == nil }, patience, often)
	require.ErrorIs(t, works("token-one"), access.ErrSession, "taken away without a restart")

	// Broken, then gone: what was read before stays in force, and both are told.
	write("tokens: [")
	failures := func() int { return logs.FilterLevelExact(zap.ErrorLevel).Len() }
	require.Eventually(t, func() bool { return failures() == 1 }, patience, often)
	require.NoError(t, works("token-new"))
	require.NoError(t, os.Remove(path))
	require.Eventually(t, func() bool { return failures() == 2 }, patience, often)
	require.NoError(t, works("token-new"))

	write(example() + strings.Repeat("#", 100))
	require.Eventually(t, func() bool { return works("token-one") == nil }, patience, often)
	cancel()
	require.NoError(t, <-ended)
	for _, line := range logs.All() {
		for key, value := range line.ContextMap() {
			assert.NotContains(t, fmt.Sprint(value), static.Hash("token-new"), key)
		}
	}
}
