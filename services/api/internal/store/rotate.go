package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dembrane/webhooks/pkg/secret"
)

// SetSecret makes a sealed secret the only one, at once; nil takes signing away.
func (w *Webhook) SetSecret(sealed []byte) {
	w.Secrets = nil
	if sealed != nil {
		w.Secrets = []Secret{{Ciphertext: sealed}}
	}
}

// RotateSecret makes a sealed secret the current one. The one so far goes on
// signing beside it until the returned time; what was left from an earlier
// rotation is dropped, so that there are never more than two. It returns nil
// when no previous secret remains: there was none, or the overlap is 0.
func (w *Webhook) RotateSecret(sealed []byte, at time.Time, overlap time.Duration) (previousValidUntil *time.Time) {
	previous := w.Secrets
	w.SetSecret(sealed)
	if len(previous) == 0 || overlap <= 0 {
		return nil
	}
	until := at.Add(overlap).UTC().Truncate(time.Millisecond)
	w.Secrets = append(w.Secrets, Secret{Ciphertext: previous[0].Ciphertext, ValidUntil: &until})
	return &until
}

// Overlap sets anew until when the secret before the current one goes on signing. It
// returns nil when there is none, or with an overlap of 0, none any more.
func (w *Webhook) Overlap(at time.Time, overlap time.Duration) (previousValidUntil *time.Time) {
	if len(w.Secrets) < 2 {
		return nil
	}
	current, previous := w.Secrets[0], w.Secrets[1]
	w.Secrets = []Secret{current}
	if overlap <= 0 {
		return nil
	}
	until := at.Add(overlap).UTC().Truncate(time.Millisecond)
	previous.ValidUntil = &until
	w.Secrets = append(w.Secrets, previous)
	return &until
}

// dropExpired forgets the secrets that sign no more.
func (w *Webhook) dropExpired(at time.Time) {
	w.Secrets = slices.DeleteFunc(w.Secrets, func(s Secret) bool {
		return s.ValidUntil != nil && !at.Before(*s.ValidUntil)
	})
}

// errUnchanged ends a revision that has nothing to store.
var errUnchanged = errors.New("nothing to change")

// Resealer makes a new ciphertext of one that is sealed for sealedFor, which is the
// webhook or one of its headers; nil when it can stay as it is.
type Resealer func(ciphertext []byte, sealedFor string) ([]byte, error)

// Reseal replaces the ciphertexts of one webhook by what reseal makes of them. It
// reports whether anything was stored; then the webhook has a new revision,
// pending, so that the bucket follows, though for its host nothing has changed.
// reseal may be called more than once for the same ciphertext. Its error is
// returned, and nothing is stored. A webhook that was deleted meanwhile has
// nothing to reseal.
func (s *Store) Reseal(ctx context.Context, projectID, id string, reseal Resealer) (bool, error) {
	_, err := s.revise(ctx, projectID, id, func(w *Webhook) error {
		changed := false
		anew := func(ciphertext *[]byte, sealedFor string) error {
			fresh, err := reseal(*ciphertext, sealedFor)
			if err == nil && fresh != nil {
				*ciphertext, changed = fresh, true
			}
			return err
		}
		for i := range w.Secrets {
			if err := anew(&w.Secrets[i].Ciphertext, w.ID); err != nil {
				return fmt.Errorf("reseal secret: %w", err)
			}
		}
		for i := range w.Headers {
			header := &w.Headers[i]
			if err := anew(&header.Ciphertext, secret.ForHeader(w.ID, header.Name)); err != nil {
				return fmt.Errorf("reseal header: %w", err)
			}
		}
		if !changed {
			return errUnchanged
		}
		return nil
	})
	if errors.Is(err, errUnchanged) || errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
