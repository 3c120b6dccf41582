package httpapi

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	headerIdempotencyKey = "Idempotency-Key"
	// headerReplayed marks an answer that was given before.
	headerReplayed = "Idempotent-Replayed"
	// maxKeyBytes is the longest key.
	maxKeyBytes = 255
)

// once is a request that must have its effect once only, however often it is sent
// with the same key.
//
// Its key is claimed in the database before anything is done, together with the id
// of what will be made. Whoever sends the request again, also at the same time or
// after a crash, makes the same thing with the same id, which the database lets
// happen once; so nobody has to wait for anybody, and nothing is locked.
type once struct {
	// makes is the id of what the request makes.
	makes string
	// answer is what was answered before; nil when that is not known.
	answer []byte

	claim store.Claim
	ours  bool
}

// begin claims the key that a request was sent with, if there is one, for what is
// about to be made.
func (s *server) begin(c echo.Context, grant access.Grant, makes string, body []byte) (*once, error) {
	projectID := grant.Project.ID
	key, err := idempotencyKey(c.Request())
	if err != nil || key == "" {
		return &once{makes: makes}, err
	}
	name := sha256.New()
	for _, part := range []string{grant.Caller, c.Request().Method, c.Request().URL.Path, key} {
		_, _ = fmt.Fprintf(name, "%d %s", len(part), part) // a hash takes everything
	}
	sum := sha256.Sum256(bytes.TrimPrefix(body, []byte("\ufeff")))
	fingerprint, err := s.Secrets.Seal(secret.New(hex.EncodeToString(sum[:])), projectID, makes)
	if err != nil {
		return nil, fmt.Errorf("seal fingerprint: %w", err)
	}
	claim, ours, err := s.Store.Claim(c.Request().Context(), store.Claim{
		ID: hex.EncodeToString(name.Sum(nil)), Fingerprint: fingerprint, Makes: makes,
		CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	})
	if err != nil {
		return nil, fmt.Errorf("claim idempotency key: %w", err)
	}
	if !ours {
		first, err := s.Secrets.Open(claim.Fingerprint, projectID, claim.Makes)
		if err != nil {
			return nil, fmt.Errorf("open fingerprint: %w", err)
		}
		if !hmac.Equal([]byte(first.Reveal()), []byte(hex.EncodeToString(sum[:]))) {
			return nil, keyFault("This Idempotency-Key was used with another body within the last day. Use another key for another request.")
		}
	}
	return &once{makes: claim.Makes, answer: claim.Answer, claim: claim, ours: ours}, nil
}

func idempotencyKey(r *http.Request) (string, error) {
	given := r.Header.Values(headerIdempotencyKey)
	if len(given) == 0 {
		return "", nil
	}
	key := given[0]
	visible := len(given) == 1 && key != "" && len(key) <= maxKeyBytes
	for i := range len(key) {
		visible = visible && '!' <= key[i] && key[i] <= '~'
	}
	if !visible {
		return "", keyFault(fmt.Sprintf("The Idempotency-Key must be one word of 1 to %d visible ASCII characters.", maxKeyBytes))
	}
	return key, nil
}

func keyFault(message string) error {
	return &registration.Fault{Field: headerIdempotencyKey, Message: message, Kind: registration.KindBounds}
}

// end answers 201, and remembers the answer for whoever sends the request again.
// Should it not be remembered, they get what has been made as it is by then.
func (s *server) end(c echo.Context, o *once, answer any) error {
	return s.endAs(c, o, http.StatusCreated, answer)
}

// endAs is end with another status.
func (s *server) endAs(c echo.Context, o *once, status int, answer any) error {
	encoded, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	if o.claim.ID != "" {
		if err := s.Store.Answer(context.WithoutCancel(c.Request().Context()), o.claim.ID, encoded); err != nil {
			s.Log.Warn("the answer to an idempotency key was not remembered", zap.Error(err))
		}
	}
	return c.JSONBlob(status, encoded)
}

// replay answers as before.
func (s *server) replay(c echo.Context, o *once) error { return s.replayAs(c, o, http.StatusCreated) }

// replayAs is replay with another status.
func (*server) replayAs(c echo.Context, o *once, status int) error {
	c.Response().Header().Set(headerReplayed, "true")
	return c.JSONBlob(status, o.answer)
}

// undo gives the key back when the request has had no effect, so that it can be
// sent again once what was in its way is gone.
func (s *server) undo(c echo.Context, o *once, cause error) {
	if !o.ours || errors.Is(cause, store.ErrUnavailable) || errors.Is(cause, store.ErrUncertain) {
		return
	}
	if err := s.Store.Unclaim(context.WithoutCancel(c.Request().Context()), o.claim); err != nil {
		s.Log.Warn("an idempotency key was not given back", zap.Error(err))
	}
}
