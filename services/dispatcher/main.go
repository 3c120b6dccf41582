// The dispatcher delivers events to webhooks. It needs NATS and nothing else; see
// docs/settings.md for what it reads from its environment.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/settings"
	"github.com/dembrane/webhooks/services/dispatcher/app"
)

// version is set when an image is built.
var version = "0.0.0-dev"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("dispatcher", flag.ContinueOnError)
	flags.SetOutput(stderr)
	printVersion := flags.Bool("version", false, "print the version and exit")
	printSettings := flags.Bool("settings", false, "print every setting as JSON and exit")
	printConfig := flags.Bool("print-config", false, "print the effective settings, secrets redacted, and exit")
	healthCheck := flags.Bool("healthcheck", false, "ask the process on OPS_ADDR whether it is ready; exit 0 when it is")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	switch {
	case *printVersion:
		return report(stderr, second(fmt.Fprintln(stdout, version)))
	case *printSettings:
		return report(stderr, settings.WriteJSON(stdout, app.Config{}))
	}
	config, err := app.LoadConfig()
	switch {
	case err != nil:
		return report(stderr, err)
	case *printConfig:
		return report(stderr, settings.Print(stdout, config))
	case *healthCheck:
		return report(stderr, observe.CheckReady(config.OpsAddr))
	}
	return report(stderr, serve(config, stderr))
}

func serve(config app.Config, logs io.Writer) error {
	log, err := observe.NewLogger(config.LogLevel, logs)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // nobody is left to tell
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	dispatcher, err := app.New(config, version, log)
	if err != nil {
		return err
	}
	if err := dispatcher.Run(ctx); err != nil {
		log.Error("dispatcher died", zap.Error(err))
		return err
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
