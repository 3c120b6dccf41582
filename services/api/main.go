// The api serves the management of webhooks, projects registrations to the
// dispatchers and records their attempts. It needs NATS and MongoDB; see
// docs/settings.md for what it reads from its environment.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/settings"
	"github.com/dembrane/webhooks/services/api/app"
)

// version is set when an image is built.
var version = "0.0.0-dev"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("api", flag.ContinueOnError)
	flags.SetOutput(stderr)
	printVersion := flags.Bool("version", false, "print the version and exit")
	printSettings := flags.Bool("settings", false, "print every setting as JSON and exit")
	printConfig := flags.Bool("print-config", false, "print the effective settings, secrets redacted, and exit")
	newKeyset := flags.Bool("new-keyset", false, "print a new keyset for SECRETS_KEYSET_FILE and exit")
	rotateKeyset := flags.String("rotate-keyset", "", "add a new primary key to this keyset `file` and exit; see docs/secrets.md")
	retireKeys := flags.String("retire-keys", "", "remove every key but the primary one from this keyset `file` and exit; see docs/secrets.md")
	reencrypt := flags.Bool("reencrypt", false, "encrypt every stored secret with the keyset's primary key and exit; may be repeated")
	hashToken := flags.Bool("hash-token", false, "read a token from standard input, print its hash for STATIC_TOKENS_FILE and exit")
	healthCheck := flags.Bool("healthcheck", false, "ask the process on OPS_ADDR whether it is ready; exit 0 when it is")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	switch {
	case *printVersion:
		return report(stderr, second(fmt.Fprintln(stdout, version)))
	case *printSettings:
		return report(stderr, settings.WriteJSON(stdout, app.Config{}))
	case *newKeyset:
		return report(stderr, writeKeyset(stdout))
	case *rotateKeyset != "":
		return report(stderr, rotateFile(*rotateKeyset, stdout))
	case *retireKeys != "":
		return report(stderr, retireFile(*retireKeys, stdout))
	case *hashToken:
		return report(stderr, writeHash(stdin, stdout))
	}
	config, err := app.LoadConfig()
	switch {
	case err != nil:
		return report(stderr, err)
	case *printConfig:
		return report(stderr, settings.Print(stdout, config))
	case *reencrypt:
		return report(stderr, reencryptAll(config, stdout, stderr))
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
	api, err := app.New(config, log)
	if err != nil {
		return err
	}
	if err := api.Run(ctx); err != nil {
		log.Error("api died", zap.Error(err))
		return err
	}
	return nil
}

// writeHash takes one line. A token that came as an argument would be in the
// shell's history and in the list of processes.
func writeHash(stdin io.Reader, stdout io.Writer) error {
	line, err := bufio.NewReader(stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(line)
	if token == "" {
		return errors.New("read token: standard input is empty")
	}
	return second(fmt.Fprintln(stdout, app.HashToken(token)))
}

func report(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, err) // nobody is left to tell
	return 1
}

func second(_ int, err error) error { return err }
