package receivers_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// required finds programs that CI has. On a desk what is not there is not tested,
// which is said.
func required(t *testing.T, names ...string) []string {
	t.Helper()
	if os.Getenv("CI") != "" {
		for _, name := range names {
			_, err := exec.LookPath(name)
			require.NoError(t, err)
		}
	}
	return optional(t, names...)
}

// optional finds programs that may be missing in CI, too.
func optional(t *testing.T, names ...string) []string {
	t.Helper()
	var paths []string
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("%s is not installed: nothing is tested with it", name)
		}
		paths = append(paths, path)
	}
	return paths
}

// prepared is a folder in bin with what a command makes of the files of a folder of
// testdata: made once, and again when a file has changed. The command finds copies
// of the files in the folder, in which it runs.
func prepared(t *testing.T, name string, command ...string) string {
	t.Helper()
	source := filepath.Join("testdata", name)
	sum := sha256.New()
	files, err := os.ReadDir(source)
	require.NoError(t, err)
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(source, file.Name()))
		require.NoError(t, err)
		_, _ = sum.Write(append([]byte(file.Name()), content...)) // a hash takes everything
	}
	_, _ = sum.Write([]byte(strings.Join(command, " ")))
	folder := absolute(t, "../../bin/receivers/"+name)
	defer alone(t, folder+".lock")()
	stamp := filepath.Join(folder, "made-of")
	digest := hex.EncodeToString(sum.Sum(nil))
	if made, err := os.ReadFile(stamp); err == nil && string(made) == digest {
		return folder
	}
	require.NoError(t, os.RemoveAll(folder))
	require.NoError(t, os.CopyFS(folder, os.DirFS(source)))
	runs(t, folder, command...)
	require.NoError(t, os.WriteFile(stamp, []byte(digest), 0o600))
	return folder
}

// alone waits until no other test, of this process or another, has the lock, and
// returns what gives it back.
func alone(t *testing.T, path string) (release func()) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(file.Fd()), syscall.LOCK_EX))
	return func() { require.NoError(t, file.Close()) }
}

// runs runs a command to its end and returns what it printed.
func runs(t *testing.T, folder string, command ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir = folder
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", strings.Join(command, " "), output)
	return string(output)
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	require.NoError(t, err)
	return path
}

// shown is the path of a receiver in the documentation.
func shown(t *testing.T, name string) string {
	t.Helper()
	return absolute(t, "../../docs/receivers/"+name)
}
