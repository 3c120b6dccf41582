// Package command is what the program can do, one file a command.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dembrane/webhooks/cli/internal/api"
	"github.com/dembrane/webhooks/cli/internal/config"
)

// What the program says to shells.
const (
	exitOK = iota
	// exitFailed is that it was tried and did not succeed.
	exitFailed
	// exitUsage is that the command line or a setting is wrong.
	exitUsage
	// exitNegative is that the answer is no: it does not verify, something is missing.
	exitNegative
	// exitForbidden is that the token does not allow it.
	exitForbidden
	// exitUnreachable is that nobody answers: trying again may help.
	exitUnreachable
)

// Surroundings are what the program is run in.
type Surroundings struct {
	In          io.Reader
	Out, Err    io.Writer
	Environment map[string]string
	Version     string
}

// exitError ends the program with a status and, if there is one, a sentence.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// negative ends the program after everything has been said.
func negative() error { return &exitError{status: exitNegative} }

// Run runs the command line and returns the exit status.
func Run(ctx context.Context, args []string, around Surroundings) int {
	root := Root(around) //nolint:contextcheck // each command has the context of its execution
	root.SetArgs(args)
	root.SetIn(around.In)
	root.SetOut(around.Out)
	root.SetErr(around.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	status, advice := judge(err)
	if text := err.Error(); text != "" {
		_, _ = fmt.Fprintln(around.Err, "Error:", text) // nobody is left to tell
	}
	if advice != "" {
		_, _ = fmt.Fprintln(around.Err, advice)
	}
	return status
}

// judge says which status an error ends the program with, and what to do.
func judge(err error) (status int, advice string) {
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit.status, ""
	}
	if p, ok := errors.AsType[*api.Problem](err); ok {
		switch {
		case p.Status == 401:
			return exitForbidden, "Set DEMBRANE_TOKEN, or DEMBRANE_TOKEN_FILE, to a token that is good for this API."
		case p.Status == 403:
			return exitForbidden, ""
		case p.Status == 404 && p.Detail == "Project not found":
			return exitForbidden, "Check --project, and that the token's owner has a part in it."
		case p.Status == 404 && p.Detail == "Webhook not found":
			return exitFailed, "See `dembrane-webhooks webhooks list`: it has the ids of the project's webhooks."
		case p.Status >= 500 || p.Status == 429:
			return exitUnreachable, ""
		default:
			return exitFailed, ""
		}
	}
	switch {
	case errors.Is(err, context.Canceled): // Ctrl-C
		return exitFailed, ""
	case errors.Is(err, api.ErrUnreachable):
		return exitUnreachable, "Check --api (or DEMBRANE_API), and that it is running: `dembrane-webhooks check` looks at everything."
	case errors.Is(err, errBroker):
		return exitUnreachable, "Check --nats (or DEMBRANE_NATS), and that it is running: `dembrane-webhooks check` looks at everything."
	default:
		return exitFailed, ""
	}
}

// program is what all commands share.
type program struct {
	Surroundings

	flags   config.Settings
	path    string
	json    bool
	noColor bool
}

// Root is the command tree.
func Root(around Surroundings) *cobra.Command {
	p := &program{Surroundings: around}
	root := &cobra.Command{
		Use:   "dembrane-webhooks",
		Short: "Receive, publish and look after dembrane webhooks",
		Long: `Receive, publish and look after dembrane webhooks.

For whoever writes a receiver: listen, verify, webhooks, deliveries, replay, ledger.
For whoever publishes events: send. For whoever runs the system: check, streams, rejected.

Settings come from flags, else from the environment, else from a file, which is
--config, DEMBRANE_CONFIG or ~/.config/dembrane-webhooks.yaml:

  --api         DEMBRANE_API         api          where the API is
  --project     DEMBRANE_PROJECT     project      the project's id
                DEMBRANE_TOKEN       token        who asks
  --token-file  DEMBRANE_TOKEN_FILE  token_file   a file that holds the token
  --nats        DEMBRANE_NATS        nats         where NATS is
  --nats-creds  DEMBRANE_NATS_CREDS  nats_creds   its .creds file, if it asks for one

There is no flag for the token itself: other users of a machine can see command lines.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 the answer is no (it does not verify,
something is missing or wrong), 4 not allowed, 5 nobody answers.`,
		Example: `  # Events of a project, at a program on this machine
  export DEMBRANE_TOKEN=... DEMBRANE_PROJECT=demo
  dembrane-webhooks listen http://localhost:3000/hook

  # Why does my receiver refuse this delivery?
  dembrane-webhooks verify --headers headers.txt --body body.json --secret-file secret.txt`,
		Version:       around.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	onlyCommands(root)
	all := root.PersistentFlags()
	all.StringVar(&p.flags.API, "api", "", "where the API is (default "+config.DefaultAPI+")")
	all.StringVarP(&p.flags.Project, "project", "p", "", "the project's id")
	all.StringVar(&p.flags.TokenFile, "token-file", "", "a file that holds the token")
	all.StringVar(&p.flags.NATS, "nats", "", "where NATS is (default "+config.DefaultNATS+")")
	all.StringVar(&p.flags.NATSCreds, "nats-creds", "", "the .creds file for NATS")
	all.StringVar(&p.path, "config", "", "the file of settings")
	all.BoolVar(&p.json, "json", false, "print JSON")
	all.BoolVar(&p.noColor, "no-color", false, "print without colours, as with NO_COLOR")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("%w\nSee `%s --help`.", err, c.CommandPath())
	})
	root.AddCommand(p.listen(), p.verify(), p.send(), p.webhooks(), p.deliveries(), p.replay(), p.ledger(),
		p.rejected(), p.streams(), p.check())
	return root
}

// settings are the settings in force.
func (p *program) settings() (config.Settings, error) {
	s, err := config.Load(p.flags, p.path, p.Environment)
	if err != nil {
		return s, &exitError{exitUsage, err}
	}
	return s, nil
}

// client speaks for the project of the settings.
func (p *program) client() (*api.Client, error) {
	s, err := p.settings()
	if err != nil {
		return nil, err
	}
	if s.Project == "" {
		return nil, usage("which project? Set --project, or DEMBRANE_PROJECT")
	}
	return api.New(s.API, s.Token, s.Project), nil
}

// withClient makes a command of what needs the API.
func (p *program) withClient(run func(c *cobra.Command, client *api.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		defer client.Close()
		return run(c, client, args)
	}
}

// arguments names what a command takes, and says so when it gets something else.
func arguments(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return wantArguments(c, names...)
		}
		return nil
	}
}

// optional is for a command that takes one argument or none.
func optional(name string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > 1 {
			return wantArguments(c, "["+name+"]")
		}
		return nil
	}
}

func wantArguments(c *cobra.Command, names ...string) error {
	return usage("write `%s`\nSee `%s --help`.", strings.Join(append([]string{c.CommandPath()}, names...), " "), c.CommandPath())
}

// group is a command that only has others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short}
	onlyCommands(g)
	g.AddCommand(commands...)
	return g
}

// onlyCommands makes a command show what is below it, and refuse what is not.
func onlyCommands(c *cobra.Command) {
	c.SuggestionsMinimumDistance = 2
	c.Args = unknownCommand
	c.RunE = func(c *cobra.Command, _ []string) error {
		return c.Help() //nolint:wrapcheck // it is printed
	}
}

func unknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	meant := ""
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		meant = "; did you mean " + strings.Join(like, " or ") + "?"
	}
	return usage("there is no command `%s %s`%s\nSee `%s --help`.", c.CommandPath(), args[0], meant, c.CommandPath())
}

// moment reads a time: RFC 3339, or how long ago, as in 90m, 24h or 7d.
func moment(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	ago, err := time.ParseDuration(text)
	if days, found := strings.CutSuffix(text, "d"); found {
		var count int
		count, err = strconv.Atoi(days)
		ago = time.Duration(count) * 24 * time.Hour
	}
	if err != nil || ago < 0 {
		return time.Time{}, usage("%q is no time: write 2026-01-20T12:00:00Z, or how long ago, as in 90m, 24h or 7d", text)
	}
	return now.Add(-ago), nil
}
