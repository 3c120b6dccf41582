package access_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/api/directustest"
)

func page(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("../../../../docs/access.md")
	require.NoError(t, err)
	return string(content)
}

// Every test that the page names exists.
func TestTheAttackListNamesTests(t *testing.T) {
	var tests strings.Builder
	require.NoError(t, filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		tests.Write(content)
		return err
	}))
	named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Za-z]+)`").FindAllStringSubmatch(page(t), -1)
	require.Greater(t, len(named), 30)
	for _, name := range named {
		assert.Contains(t, tests.String(), "func "+name[1]+"(", "docs/access.md names it")
	}
}

// The policy that the page tells operators to make is the one that the
// stand-in's reader has, with which every rule is tested.
func TestThePolicyOfThePageIsTheOneTested(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ((?:`[a-z_]+` ?)+)\\|$")
	listed := map[string][]string{}
	for _, found := range row.FindAllStringSubmatch(page(t), -1) {
		listed[found[1]] = strings.Fields(strings.ReplaceAll(found[2], "`", ""))
	}
	assert.Equal(t, directustest.Readable(), listed)
}
