package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
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

// rotateFile changes the file itself: with a keyset on standard output, a shell
// would empty the file before it is read.
func rotateFile(path string, stdout io.Writer) error {
	keys := 0
	err := changeFile(path, func(json []byte) (next []byte, err error) {
		next, keys, err = secret.RotateKeyset(json)
		return next, err
	})
	if err != nil {
		return fmt.Errorf("rotate keyset: %w", err)
	}
	return second(fmt.Fprintf(stdout, "%s has a new primary key, and %d keys in all. "+
		"Give it to every dispatcher first, then to every api, then run: api -reencrypt\n", path, keys))
}

func retireFile(path string, stdout io.Writer) error {
	retired := 0
	err := changeFile(path, func(json []byte) (next []byte, err error) {
		next, retired, err = secret.RetireKeys(json)
		return next, err
	})
	if err != nil {
		return fmt.Errorf("retire keys: %w", err)
	}
	return second(fmt.Fprintf(stdout, "%d keys are gone from %s, which has its primary key alone.\n", retired, path))
}

// changeFile replaces a keyset in one step, with the owner and the mode that it
// had. Nothing is ever half written, also after a power failure.
func changeFile(path string, change func([]byte) ([]byte, error)) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("find file: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("look at file: %w", err)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read file: %w", err)
	}
	next, err := change(old)
	if err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-*")
	if err != nil {
		return fmt.Errorf("write beside the file: %w", err)
	}
	_, err = part.Write(next)
	err = errors.Join(err, sameOwner(part, info), part.Chmod(info.Mode().Perm()), part.Sync(), part.Close())
	if err == nil {
		err = os.Rename(part.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("replace file: %w", err), os.Remove(part.Name()))
	}
	return nil
}

// sameOwner keeps a keyset readable for the service when root rotates it.
func sameOwner(file *os.File, as os.FileInfo) error {
	owner, known := as.Sys().(*syscall.Stat_t)
	if !known {
		return nil
	}
	return file.Chown(int(owner.Uid), int(owner.Gid)) //nolint:wrapcheck // it names the file
}

func reencryptAll(config app.Config, stdout, logs io.Writer) error {
	log, err := observe.NewLogger(config.LogLevel, logs)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	done, err := app.Reencrypt(ctx, config, log)
	_, printErr := fmt.Fprintf(stdout, "webhooks with a secret: %d encrypted anew, %d had the primary key already, %d cannot be read\n",
		done.Changed, done.Unchanged, done.Unreadable)
	if err == nil && done.Unreadable > 0 {
		err = errors.New("some secrets cannot be read with this keyset: add the key they were encrypted with, or have their hosts set new ones")
	}
	return errors.Join(err, printErr)
}
