package secret

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrUnreadable is returned by [Box.Open] for a ciphertext that was made with
// another keyset, or for another webhook, or that was changed.
var ErrUnreadable = errors.New("secret cannot be decrypted with this keyset")

// Box encrypts secrets at rest with a Tink AEAD keyset. It is safe for
// concurrent use.
type Box struct {
	// all opens with every key, and seals with the primary one.
	all tink.AEAD
	// primary knows the primary key alone.
	primary tink.AEAD
}

// Seal encrypts a secret for one webhook. What it returns cannot be opened for
// another one.
func (b *Box) Seal(s Text, projectID, webhookID string) ([]byte, error) {
	ciphertext, err := b.all.Encrypt([]byte(s.Reveal()), associatedData(projectID, webhookID))
	if err != nil {
		return nil, fmt.Errorf("encrypt secret: %w", err)
	}
	return ciphertext, nil
}

// Open decrypts what [Box.Seal] made for the same webhook, or returns
// [ErrUnreadable].
func (b *Box) Open(ciphertext []byte, projectID, webhookID string) (Text, error) {
	plain, err := b.all.Decrypt(ciphertext, associatedData(projectID, webhookID))
	if err != nil {
		return Text{}, ErrUnreadable
	}
	return New(string(plain)), nil
}

// Reseal seals anew, with the primary key, what was sealed for a webhook with an
// older one. It returns nil for what the primary key opens already, so it can be
// repeated, and [ErrUnreadable] for what no key opens.
func (b *Box) Reseal(ciphertext []byte, projectID, webhookID string) ([]byte, error) {
	if _, err := b.primary.Decrypt(ciphertext, associatedData(projectID, webhookID)); err == nil {
		return nil, nil
	}
	plain, err := b.Open(ciphertext, projectID, webhookID)
	if err != nil {
		return nil, err
	}
	return b.Seal(plain, projectID, webhookID)
}

// ForHeader names what the value of a webhook's header is sealed for, in the place
// of the webhook itself. So whoever can write to a store cannot have a signing secret
// sent as a header, or one header as another. Ids have no slash.
func ForHeader(webhookID, name string) string {
	return webhookID + "/header/" + strings.ToLower(name)
}

// associatedData binds a ciphertext to its webhook. Ids have no slash.
func associatedData(projectID, webhookID string) []byte {
	return []byte(projectID + "/" + webhookID)
}
