package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/dembrane/webhooks/pkg/secret"
)

// RotateKeyset adds a new primary key to the keyset in a file, and returns how
// many keys there are now. Services read the file when they start.
func RotateKeyset(path string) (keys int, _ error) {
	err := changeFile(path, func(json []byte) (next []byte, err error) {
		next, keys, err = secret.RotateKeyset(json)
		return next, err
	})
	if err != nil {
		return 0, fmt.Errorf("rotate keyset: %w", err)
	}
	return keys, nil
}

// RetireKeys removes every key but the primary one from the keyset in a file,
// and returns how many that were. What is still encrypted with those is lost.
func RetireKeys(path string) (retired int, _ error) {
	err := changeFile(path, func(json []byte) (next []byte, err error) {
		next, retired, err = secret.RetireKeys(json)
		return next, err
	})
	if err != nil {
		return 0, fmt.Errorf("retire keys: %w", err)
	}
	return retired, nil
}

// changeFile replaces a keyset in one step, with the owner and the mode that it
// had. Nothing is ever half written, also after a power failure. It changes the
// file itself: with a keyset on standard output, a shell would empty the file
// before it is read.
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
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes a rename last.
func syncFolder(path string) error {
	folder, err := os.Open(path) //nolint:gosec // the operator names the file in it
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
		return fmt.Errorf("write folder: %w", err)
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
