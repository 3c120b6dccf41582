package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/app"
)

func writeKeyset(stdout io.Writer) error {
	keyset, err := secret.NewKeyset()
	if err != nil {
		return err
	}
	return second(stdout.Write(keyset))
}

func rotateFile(path string, stdout io.Writer) error {
	keys, err := app.RotateKeyset(path)
	if err != nil {
		return err
	}
	return second(fmt.Fprintf(stdout, "%s has a new primary key, and %d keys in all. "+
		"Give it to every dispatcher first, then to every api, then run: api -reencrypt\n", path, keys))
}

func retireFile(path string, stdout io.Writer) error {
	retired, err := app.RetireKeys(path)
	if err != nil {
		return err
	}
	return second(fmt.Fprintf(stdout, "%d keys are gone from %s, which has its primary key alone.\n", retired, path))
}

func reencryptAll(config app.Config, stdout, logs io.Writer) error {
	log, err := observe.NewLogger(config.LogLevel, logs)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // nobody is left to tell
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	done, err := app.Reencrypt(ctx, config, log)
	_, printErr := fmt.Fprintln(stdout, done)
	if err == nil && done.Unreadable > 0 {
		err = app.ErrUnreadable
	}
	return errors.Join(err, printErr)
}
