package receivers_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/test/internal/process"
)

// language is a receiver of docs/receivers and what runs it. Its programs get
// WEBHOOK_SECRET, PORT and INBOX, and print a line with the id of each event that
// they work on.
type language struct {
	name     string
	commands func(t *testing.T) [][]string
}

// languages are all of docs/receivers. CI has what the first five need.
func languages() []language {
	return []language{
		{"python", func(t *testing.T) [][]string {
			t.Helper()
			return [][]string{append(required(t, "python3"), shown(t, "receiver.py"))}
		}},
		{"node", func(t *testing.T) [][]string {
			t.Helper()
			return [][]string{append(required(t, "node"), shown(t, "receiver.mjs"))}
		}},
		{"go", goReceiver},
		{"java", func(t *testing.T) [][]string {
			t.Helper()
			return [][]string{append(required(t, "java"), shown(t, "Receiver.java"))}
		}},
		{"rust", func(t *testing.T) [][]string {
			t.Helper()
			return [][]string{{filepath.Join(rust(t), "receiver")}}
		}},
		{"php", func(t *testing.T) [][]string {
			t.Helper()
			php, receiver := optional(t, "php")[0], shown(t, "receiver.php")
			return [][]string{{php, "-d", "post_max_size=32M", "-S", "127.0.0.1:PORT", receiver}, {php, receiver, "work"}}
		}},
		{"ruby", func(t *testing.T) [][]string {
			t.Helper()
			ruby := optional(t, "ruby")[0]
			if exec.CommandContext(t.Context(), ruby, "-e", `require "webrick"`).Run() != nil {
				t.Skip("the gem webrick is not installed: nothing is tested with ruby")
			}
			return [][]string{{ruby, shown(t, "receiver.rb")}}
		}},
		{"csharp", csharpReceiver},
	}
}

func goReceiver(t *testing.T) [][]string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "receiver")
	require.NoError(t, process.Build(t.Context(), map[string]string{program: shown(t, "receiver.go")}))
	runs(t, ".", required(t, "go")[0], "vet", shown(t, "receiver.go"))
	return [][]string{{program}}
}

// rust is the folder with the programs that Cargo makes, with the crates that
// Cargo.lock names.
func rust(t *testing.T) string {
	t.Helper()
	target := absolute(t, "../../bin/receivers/rust")
	runs(t, absolute(t, "testdata/rust"), required(t, "cargo")[0], "build", "--quiet", "--locked", "--jobs", "1", "--target-dir", target)
	return filepath.Join(target, "debug")
}

// csharpReceiver is what needs nothing of ASP.NET, behind the HTTP listener that
// Mono has: .NET is not among what is packaged for the machines that test this.
func csharpReceiver(t *testing.T) [][]string {
	t.Helper()
	tools := optional(t, "mcs", "mono")
	source, err := os.ReadFile(shown(t, "Receiver.cs"))
	require.NoError(t, err)
	_, classes, found := strings.Cut(string(source), "\n// From here on nothing is of ASP.NET.\n")
	require.True(t, found)
	host, err := os.ReadFile("testdata/csharp/Host.cs")
	require.NoError(t, err)
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "Program.cs"), []byte(string(host)+classes), 0o600))
	runs(t, folder, tools[0], "-langversion:7.2", "-out:receiver.exe", "Program.cs")
	return [][]string{{tools[1], filepath.Join(folder, "receiver.exe")}}
}
