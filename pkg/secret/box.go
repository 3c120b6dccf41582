package secret

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrUnreadable is returned by [Box.Open] for a ciphertext that was made with
// another keyset, or for another webhook, or that was changed.
var ErrUnreadable = errors.New("secret cannot be decrypted with this keyset")

// Box encrypts secrets at rest with a Tink AEAD keyset. It is safe for
// concurrent use.
type Box struct{ aead tink.AEAD }

// NewKeyset makes a keyset with one AES-256-GCM key and returns it as JSON. It
// is as secret as everything it will encrypt.
func NewKeyset() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make keyset: %w", err)
	}
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&out)); err != nil {
		return nil, fmt.Errorf("write keyset: %w", err)
	}
	return append(out.Bytes(), '\n'), nil
}

// OpenKeyset makes a box from a keyset in JSON, as [NewKeyset] and tinkey write
// it. The error never quotes the keyset.
func OpenKeyset(json []byte) (*Box, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(json)))
	if err != nil {
		return nil, errors.New("read keyset: not a Tink keyset in JSON; make one with `api -new-keyset`")
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("use keyset: it has no AEAD keys; make one with `api -new-keyset`")
	}
	return &Box{aead: primitive}, nil
}

// OpenKeysetFile is [OpenKeyset] for a file.
func OpenKeysetFile(path string) (*Box, error) {
	json, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read keyset: %w", err)
	}
	return OpenKeyset(json)
}

// Seal encrypts a secret for one webhook. What it returns cannot be opened for
// another one.
func (b *Box) Seal(s Text, projectID, webhookID string) ([]byte, error) {
	ciphertext, err := b.aead.Encrypt([]byte(s.Reveal()), associatedData(projectID, webhookID))
	if err != nil {
		return nil, fmt.Errorf("encrypt secret: %w", err)
	}
	return ciphertext, nil
}

// Open decrypts what [Box.Seal] made for the same webhook, or returns
// [ErrUnreadable].
func (b *Box) Open(ciphertext []byte, projectID, webhookID string) (Text, error) {
	plain, err := b.aead.Decrypt(ciphertext, associatedData(projectID, webhookID))
	if err != nil {
		return Text{}, ErrUnreadable
	}
	return New(string(plain)), nil
}

// associatedData binds a ciphertext to its webhook. Ids have no slash.
func associatedData(projectID, webhookID string) []byte {
	return []byte(projectID + "/" + webhookID)
}
