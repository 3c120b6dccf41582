// Standalone is the whole system in one process, with its own broker and
// database: `standalone --demo` shows it at work, `standalone receiver` is a
// receiver that verifies. See docs/settings.md for what it reads from its
// environment; each of its own settings is a flag, too.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/services/standalone/app"
	"github.com/dembrane/webhooks/services/standalone/internal/config"
	"github.com/dembrane/webhooks/services/standalone/internal/demo"
)

// version is set when an image is built.
var version = "0.0.0-dev"

// collectAt trades memory for time, in percent as GOGC is: five parts of the system
// share this process, and what they keep is small against what they pass on. Much
// more than this costs memory and has not been seen to save time: touching new pages
// costs as well.
const collectAt = 200

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "receiver" {
		return runReceiver(args[1:], stdout, stderr)
	}
	flags := flag.NewFlagSet("standalone", flag.ContinueOnError)
	flags.SetOutput(stderr)
	printVersion := flags.Bool("version", false, "print the version and exit")
	printSettings := flags.Bool("settings", false, "print every setting as JSON and exit")
	printConfig := flags.Bool("print-config", false, "print the effective settings and exit")
	demonstrate := flags.Bool("demo", false, "start a receiver that verifies, register it, publish four events and show them arrive")
	keys := upkeepFlags(flags)
	given := map[string]string{}
	for _, s := range config.Own() {
		name := strings.ToLower(strings.ReplaceAll(s.Name, "_", "-"))
		flags.Func(name, s.Description+" (environment: "+s.Name+")", func(value string) error {
			given[s.Name] = value
			return nil
		})
	}
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		_, _ = fmt.Fprintf(stderr, "standalone: unknown command %q; the only one is receiver\n", flags.Arg(0))
		return 2
	}
	switch {
	case *printVersion:
		return report(stderr, second(fmt.Fprintln(stdout, version)))
	case *printSettings:
		return report(stderr, config.WriteJSON(stdout))
	}
	settings, err := config.Load(given)
	switch {
	case err != nil:
		return report(stderr, err)
	case *printConfig:
		return report(stderr, settings.Print(stdout))
	case keys.asked() > 0:
		return report(stderr, keys.run(settings.Quiet(), stdout, stderr))
	case *demonstrate:
		return report(stderr, serve(settings.Quiet(), demo.Run, stdout, stderr))
	}
	return report(stderr, serve(settings, nil, stdout, stderr))
}

// show is what happens beside the system once it is ready, if anything.
type show func(context.Context, demo.Place, io.Writer) error

func serve(settings config.Config, then show, stdout, stderr io.Writer) error {
	log, err := observe.NewLogger(settings.LogLevel, stderr)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // nobody is left to tell
	debug.SetGCPercent(collectAt)
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	context.AfterFunc(ctx, cancel) // a second signal ends the process at once
	system, err := app.New(settings, version, log)
	if err != nil {
		return err
	}
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return system.Run(ctx) })
	parts.Go(func() error {
		select {
		case running := <-system.Ready():
			if err := announce(stdout, running); err != nil || then == nil {
				return err
			}
			return then(ctx, demo.Place{
				API: running.API, NATS: running.NATS, Token: running.Token, LoopbackAssumed: settings.LoopbackAssumed,
				Pages: running.SignInURL, Program: beside("dembrane-webhooks"),
			}, stderr)
		case <-ctx.Done():
			return nil
		}
	})
	if err := parts.Wait(); err != nil {
		log.Error("standalone died", zap.Error(err))
		return err
	}
	return nil
}

// beside is how to call another program that is where this one is; empty when it is
// not there.
func beside(name string) string {
	own, err := os.Executable()
	if err != nil {
		return ""
	}
	program := filepath.Join(filepath.Dir(own), name)
	if info, err := os.Stat(program); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	if folder, err := os.Getwd(); err == nil {
		if near, err := filepath.Rel(folder, program); err == nil && filepath.IsLocal(near) {
			return "." + string(filepath.Separator) + near
		}
	}
	return program
}

// announce prints the one line on standard output.
func announce(stdout io.Writer, running app.Running) error {
	err := json.NewEncoder(stdout).Encode(struct {
		Ready   bool   `json:"ready"`
		API     string `json:"api"`
		NATS    string `json:"nats"`
		MongoDB string `json:"mongodb"`
		Ops     string `json:"ops,omitempty"`
		Token   string `json:"token"`
	}{true, running.API, running.NATS, running.MongoDB, running.Ops, running.Token})
	if err != nil {
		return fmt.Errorf("say that it is ready: %w", err)
	}
	return nil
}

func report(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, err) // nobody is left to tell
	return 1
}

func second(_ int, err error) error { return err }
