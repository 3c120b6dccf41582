package app

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/standalone/internal/config"
)

// ErrInUse says that another process uses the folder of data.
var ErrInUse = errors.New("another standalone is using it: stop that one, or choose another DATA_DIR")

// lock takes the folder for this process, until release is called or the process
// ends in whatever way. Two at work on the same files would destroy them.
func lock(path string) (release func(), _ error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, fmt.Errorf("lock it: %w", err)
	}
	return func() { _ = file.Close() }, nil // closing unlocks
}

// initFolder makes the keyset and, unless a tokens file was given, the token. It
// returns the token, which stays the same over restarts.
func initFolder(c config.Config) (token string, _ error) {
	if err := makeOnce(c.KeysetFile(), secret.NewKeyset); err != nil {
		return "", fmt.Errorf("make keyset: %w", err)
	}
	if c.StaticTokensFile != "" {
		return "", nil
	}
	if err := makeOnce(c.TokenFile(), func() ([]byte, error) { return []byte(rand.Text() + "\n"), nil }); err != nil {
		return "", fmt.Errorf("make token: %w", err)
	}
	line, err := os.ReadFile(c.TokenFile())
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token = strings.TrimSpace(string(line))
	hash := sha256.Sum256([]byte(token))
	tokens := "# Made by standalone from the file token.\ntokens:\n  - name: standalone\n    sha256: " +
		hex.EncodeToString(hash[:]) + "\n    projects: [\"*\"]\n"
	if err := replace(c.TokensFile(), []byte(tokens)); err != nil {
		return "", fmt.Errorf("make tokens file: %w", err)
	}
	return token, nil
}

// makeOnce makes a private file that is not there yet.
func makeOnce(path string, content func() ([]byte, error)) error {
	switch _, err := os.Stat(path); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for it: %w", err)
	}
	data, err := content()
	if err != nil {
		return err
	}
	return replace(path, data)
}

// replace writes a private file in such a way that it is never seen half, also
// after a power failure.
func replace(path string, data []byte) error {
	part := path + ".part"
	file, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return fmt.Errorf("open it: %w", err)
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write it: %w", err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("put it in place: %w", err)
	}
	return nil
}
