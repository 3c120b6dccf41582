// Dembrane-webhooks is for those who write receivers, publish events, or run the
// system: `dembrane-webhooks --help` says what it does, docs/cli.md as well.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/dembrane/webhooks/cli/internal/command"
	"github.com/dembrane/webhooks/cli/internal/config"
)

// version is set when a release is built.
var version = "0.0.0-dev"

func main() { os.Exit(run()) }

func run() int {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	context.AfterFunc(ctx, cancel) // a second signal ends the process at once
	return command.Run(ctx, os.Args[1:], command.Surroundings{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environment: config.Environment(), Version: version,
	})
}
