package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/services/standalone/app"
	"github.com/dembrane/webhooks/services/standalone/internal/config"
)

// upkeep is what can be done to the folder of data while no standalone uses it.
type upkeep struct{ rotate, reencrypt, retire *bool }

func upkeepFlags(flags *flag.FlagSet) upkeep {
	return upkeep{
		rotate:    flags.Bool("rotate-keyset", false, "add a new primary key to the keyset in DATA_DIR and exit; see docs/secrets.md"),
		reencrypt: flags.Bool("reencrypt", false, "encrypt every secret in DATA_DIR with the keyset's primary key and exit; may be repeated"),
		retire:    flags.Bool("retire-keys", false, "do as -reencrypt does, remove every key but the primary one from the keyset in DATA_DIR and exit"),
	}
}

// asked counts how many of them are to be done; one at a time can be.
func (u upkeep) asked() int {
	count := 0
	for _, one := range []*bool{u.rotate, u.reencrypt, u.retire} {
		if *one {
			count++
		}
	}
	return count
}

func (u upkeep) run(settings config.Config, stdout, stderr io.Writer) error {
	if u.asked() > 1 {
		return errors.New("use -rotate-keyset, -reencrypt and -retire-keys one at a time, in this order")
	}
	log, err := observe.NewLogger(settings.LogLevel, stderr)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // nobody is left to tell
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	switch {
	case *u.rotate:
		return rotate(settings, stdout)
	case *u.reencrypt:
		done, err := app.Reencrypt(ctx, settings, log)
		return told(stdout, done, err)
	default:
		return retire(ctx, settings, stdout, log)
	}
}

func rotate(settings config.Config, stdout io.Writer) error {
	keys, err := app.RotateKeyset(settings)
	if err != nil {
		return err
	}
	return second(fmt.Fprintf(stdout, "%s has a new primary key, and %d keys in all. Now run: standalone -reencrypt\n",
		settings.KeysetFile(), keys))
}

func retire(ctx context.Context, settings config.Config, stdout io.Writer, log *zap.Logger) error {
	done, retired, err := app.RetireKeys(ctx, settings, log)
	if err := told(stdout, done, err); err != nil {
		return err
	}
	return second(fmt.Fprintf(stdout, "%d keys are gone from %s, which has its primary key alone.\n", retired, settings.KeysetFile()))
}

// told prints what was done, unless nothing was tried.
func told(stdout io.Writer, done fmt.Stringer, err error) error {
	if err != nil && !errors.Is(err, app.ErrUnreadable) {
		return err
	}
	return errors.Join(err, second(fmt.Fprintln(stdout, done)))
}
