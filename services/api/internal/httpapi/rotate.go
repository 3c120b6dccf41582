package httpapi

import (
	"crypto/hmac"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// rotation is what a request says about a new secret. Nothing is needed.
type rotation struct {
	// Secret is the host's own choice; nil has one generated.
	Secret *string
	// OverlapSeconds is how long the previous secret goes on signing; nil is
	// [registration.DefaultOverlap].
	OverlapSeconds *whole
}

// rotated is the answer. It is the only one in which a secret is ever shown.
type rotated struct {
	Secret             string     `json:"secret"`
	PreviousValidUntil *timestamp `json:"previous_valid_until"`
	InForce            bool       `json:"in_force"`
}

func readRotation(c echo.Context) (rotation, error) {
	raw, err := readBody(c)
	if err != nil || saysNothing(raw) {
		return rotation{}, err
	}
	return parseRotation(raw)
}

func parseRotation(raw []byte) (rotation, error) {
	fields, err := parseObject(raw)
	if err != nil {
		return rotation{}, err
	}
	var r rotation
	var faults registration.Faults
	faults.Add(field(fields, "secret", "text", &r.Secret))
	faults.Add(field(fields, "overlap_seconds", "a whole number", &r.OverlapSeconds))
	return r, faults.Err()
}

// check returns the secret and the overlap that the request asks for.
func (r rotation) check() (secret.Text, time.Duration, error) {
	var faults registration.Faults
	fresh, overlap := secret.Generate(), registration.DefaultOverlap
	if r.Secret != nil {
		faults.Add(registration.Secret(*r.Secret))
		fresh = secret.New(*r.Secret)
	}
	if r.OverlapSeconds != nil {
		var err error
		overlap, err = registration.Overlap(int64(*r.OverlapSeconds))
		faults.Add(err)
	}
	return fresh, overlap, faults.Err()
}

// rotate gives a webhook another secret, beside which the one so far goes on
// signing for a while: its receiver can be changed meanwhile without missing
// anything.
func (s *server) rotate(c echo.Context, grant access.Grant) error {
	given, err := readRotation(c)
	if err != nil {
		return err
	}
	w, err := s.find(c, grant)
	if err != nil {
		return err
	}
	fresh, overlap, err := given.check()
	if err != nil {
		return err
	}
	sealed, err := s.Secrets.Seal(fresh, w.ProjectID, w.ID)
	if err != nil {
		return fmt.Errorf("seal secret: %w", err)
	}
	ctx := c.Request().Context()
	var previousUntil *time.Time
	if _, err := s.Store.Change(ctx, w.ProjectID, w.ID, func(w *store.Webhook) error {
		if s.signsWith(w, fresh) { // sent twice: the second must not drop the one before it
			previousUntil = w.Overlap(time.Now(), overlap)
			return nil
		}
		previousUntil = w.RotateSecret(sealed, time.Now(), overlap)
		return nil
	}); err != nil {
		return fmt.Errorf("rotate secret: %w", err)
	}
	inForce := s.Project(ctx, w.ProjectID, w.ID)
	return c.JSON(http.StatusOK, rotated{
		Secret: fresh.Reveal(), PreviousValidUntil: optional(previousUntil), InForce: inForce,
	})
}

// signsWith reports whether a secret is the webhook's current one.
func (s *server) signsWith(w *store.Webhook, text secret.Text) bool {
	if len(w.Secrets) == 0 {
		return false
	}
	current, err := s.Secrets.Open(w.Secrets[0].Ciphertext, w.ProjectID, w.ID)
	return err == nil && hmac.Equal([]byte(current.Reveal()), []byte(text.Reveal()))
}

// endOverlap has the secret from before a rotation sign no more, at once.
func (s *server) endOverlap(c echo.Context, grant access.Grant) error {
	w, err := s.find(c, grant)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, err := s.Store.Change(ctx, w.ProjectID, w.ID, func(w *store.Webhook) error {
		w.Overlap(time.Now(), 0)
		return nil
	}); err != nil {
		return fmt.Errorf("end overlap: %w", err)
	}
	if !s.Project(ctx, w.ProjectID, w.ID) {
		return c.JSON(http.StatusAccepted, notYet{})
	}
	return c.NoContent(http.StatusNoContent)
}
