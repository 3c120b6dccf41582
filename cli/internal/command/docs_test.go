package command_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/cli/internal/command"
)

const (
	page = "../../../docs/cli.md"
	// written is from where on the page is made of the command tree.
	written = "<!-- From here on: go test ./cli/internal/command -run TestThePage -update -->\n"
)

var update = flag.Bool("update", false, "write docs/cli.md anew")

// The page has the help of every command, as the program prints it.
func TestThePageIsTheHelp(t *testing.T) {
	old, err := os.ReadFile(page)
	require.NoError(t, err)
	head, help, found := strings.Cut(string(old), written)
	require.True(t, found)
	want := helpOf(command.Root(command.Surroundings{Version: "0.0.0"}))
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(head+written+want), 0o600))
		return
	}
	assert.Equal(t, want, help, "docs/cli.md is out of date: go test ./cli/internal/command -run TestThePage -update")
}

// helpOf is the help of a command and of those below it.
func helpOf(c *cobra.Command) string {
	c.InitDefaultHelpFlag()
	var text strings.Builder
	text.WriteString("\n## " + c.CommandPath() + "\n\n```\n")
	var help strings.Builder
	c.SetOut(&help)
	_ = c.Help()                                               // it is written to memory
	own, _, _ := strings.Cut(help.String(), "\nGlobal Flags:") // the first of them has those
	text.WriteString(strings.TrimRight(own, "\n") + "\n```\n")
	for _, below := range c.Commands() {
		if below.Name() != "help" && below.Name() != "completion" {
			text.WriteString(helpOf(below))
		}
	}
	return text.String()
}

// Everybody can try a command from its help alone.
func TestEveryCommandHasAnExampleAndASentence(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		assert.NotEmpty(t, c.Short, c.CommandPath())
		if !c.HasSubCommands() {
			assert.Contains(t, c.Example, c.CommandPath(), c.CommandPath())
		}
		for _, below := range c.Commands() {
			walk(below)
		}
	}
	walk(command.Root(command.Surroundings{}))
}

func TestCompletionAndVersion(t *testing.T) {
	s := newShell(t, "completion")
	for _, name := range []string{"bash", "zsh", "fish", "powershell"} {
		assert.Contains(t, s.must("completion", name), "dembrane-webhooks", name)
	}
	assert.Contains(t, s.must("__complete", "send", ""), "conversation.summarized")
	assert.Contains(t, s.must("--version"), "0.0.0-test")
}
