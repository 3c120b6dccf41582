package secret

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// NewKeyset makes a keyset with one AES-256-GCM key and returns it as JSON. It
// is as secret as everything it will encrypt.
func NewKeyset() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make keyset: %w", err)
	}
	return write(handle)
}

// RotateKeyset returns the keyset with a new primary key. The keys so far stay,
// so what was sealed with them still opens. It also returns how many keys there
// are now.
func RotateKeyset(json []byte) (rotated []byte, keys int, _ error) {
	handle, err := read(json)
	if err != nil {
		return nil, 0, err
	}
	manager := keyset.NewManagerFromHandle(handle)
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, 0, fmt.Errorf("add key: %w", err)
	}
	if err := manager.SetPrimary(id); err != nil {
		return nil, 0, fmt.Errorf("make key primary: %w", err)
	}
	next, err := manager.Handle()
	if err != nil {
		return nil, 0, fmt.Errorf("make keyset: %w", err)
	}
	rotated, err = write(next)
	return rotated, next.Len(), err
}

// RetireKeys returns the keyset with its primary key alone, and how many keys
// were taken out. What was sealed with those is lost, unless it was sealed anew
// before.
func RetireKeys(json []byte) (kept []byte, retired int, _ error) {
	handle, err := read(json)
	if err != nil {
		return nil, 0, err
	}
	alone, err := primaryOf(handle)
	if err != nil {
		return nil, 0, err
	}
	kept, err = write(alone)
	return kept, handle.Len() - alone.Len(), err
}

// OpenKeyset makes a box from a keyset in JSON, as [NewKeyset] and tinkey write
// it. The error never quotes the keyset.
func OpenKeyset(json []byte) (*Box, error) {
	handle, err := read(json)
	if err != nil {
		return nil, err
	}
	alone, err := primaryOf(handle)
	if err != nil {
		return nil, err
	}
	all, err := aead.New(handle)
	if err != nil {
		return nil, errNoKeys
	}
	primary, err := aead.New(alone)
	if err != nil {
		return nil, errNoKeys
	}
	return &Box{all: all, primary: primary}, nil
}

// OpenKeysetFile is [OpenKeyset] for a file.
func OpenKeysetFile(path string) (*Box, error) {
	json, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read keyset: %w", err)
	}
	return OpenKeyset(json)
}

// What is wrong with a keyset. Tink's own errors could quote it.
var (
	errNoKeyset = errors.New("read keyset: not a Tink keyset in JSON; make one with `api -new-keyset`")
	errNoKeys   = errors.New("use keyset: it has no AEAD keys; make one with `api -new-keyset`")
)

// read takes only what can encrypt: a keyset for something else would be found
// out too late.
func read(json []byte) (*keyset.Handle, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(json)))
	if err != nil {
		return nil, errNoKeyset
	}
	if _, err := aead.New(handle); err != nil {
		return nil, errNoKeys
	}
	return handle, nil
}

func write(handle *keyset.Handle) ([]byte, error) {
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&out)); err != nil {
		return nil, fmt.Errorf("write keyset: %w", err)
	}
	return append(out.Bytes(), '\n'), nil
}

// primaryOf is the keyset without all other keys.
func primaryOf(handle *keyset.Handle) (*keyset.Handle, error) {
	manager := keyset.NewManagerFromHandle(handle)
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		if err != nil {
			return nil, fmt.Errorf("read key: %w", err)
		}
		if entry.IsPrimary() {
			continue
		}
		if err := manager.Delete(entry.KeyID()); err != nil {
			return nil, fmt.Errorf("take key out: %w", err)
		}
	}
	alone, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("make keyset: %w", err)
	}
	return alone, nil
}
