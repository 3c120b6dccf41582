package httpapi

import (
	"fmt"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// sealHeaders does what a request says to the headers of a webhook.
func (s *server) sealHeaders(w *store.Webhook, projectID, id string, edits []registration.HeaderEdit) error {
	for _, edit := range edits {
		if edit.Value == "" {
			w.SetHeader(edit.Name, nil)
			continue
		}
		ciphertext, err := s.Secrets.Seal(secret.New(edit.Value), projectID, secret.ForHeader(id, edit.Name))
		if err != nil {
			return fmt.Errorf("seal header: %w", err)
		}
		w.SetHeader(edit.Name, ciphertext)
	}
	return registration.HeaderCount(len(w.Headers)) //nolint:wrapcheck // a fault, worded for hosts
}
