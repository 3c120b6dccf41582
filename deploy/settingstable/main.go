// Settingstable writes docs/settings.md to standard output. It asks each program
// in bin/ with -settings, so the page says what the programs say. `make generate`
// runs it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"

	"github.com/dembrane/webhooks/pkg/settings"
)

const head = `# Settings

Everything is read from the environment, once, at the start. A mistake stops the start, and every mistake is named at
once. Durations are written as ` + "`90s`, `15m` or `720h`" + `. This page is generated (` + "`make generate`" + `).
`

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	cancel()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err) // nobody is left to tell
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	of := map[string][]settings.Setting{}
	for _, program := range []string{"api", "dispatcher", "standalone"} {
		list, err := ask(ctx, program)
		if err != nil {
			return err
		}
		of[program] = list
	}
	own, taken := split(of["standalone"], slices.Concat(of["api"], of["dispatcher"]))
	page := head +
		"\n## api\n\n" + table(of["api"]) +
		"\n## dispatcher\n\n" + table(of["dispatcher"]) +
		"\n## standalone\n\nEach of these is a flag, too: `API_ADDR` is `--api-addr`.\n\n" + table(own) +
		"\nThese of the two services mean the same here: " + strings.Join(taken, ", ") + ".\n"
	if _, err := io.WriteString(out, page); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

func ask(ctx context.Context, program string) ([]settings.Setting, error) {
	//nolint:gosec // the programs are named above
	command := exec.CommandContext(ctx, "bin/"+program, "-settings")
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", program, err)
	}
	var list []settings.Setting
	if err := json.Unmarshal(output, &list); err != nil {
		return nil, fmt.Errorf("read settings of %s: %w", program, err)
	}
	return list, nil
}

// split tells the settings that only standalone has, or that mean something
// else there, from those whose description is one of the services'.
func split(standalone, services []settings.Setting) (own []settings.Setting, taken []string) {
	for _, s := range standalone {
		if slices.Contains(services, s) {
			taken = append(taken, "`"+s.Name+"`")
			continue
		}
		own = append(own, s)
	}
	return own, taken
}

func table(list []settings.Setting) string {
	var out strings.Builder
	out.WriteString("| setting | default | |\n| --- | --- | --- |\n")
	for _, s := range list {
		value := "–"
		switch {
		case s.Required:
			value = "**required**"
		case s.Default != "":
			value = "`" + s.Default + "`"
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", s.Name, value, strings.ReplaceAll(s.Description, "|", `\|`))
	}
	return out.String()
}
