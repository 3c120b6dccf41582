package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/oklog/ulid/v2"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/pkg/words"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/replay"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// upcoming is an attempt that is to be made: what is not known yet is null.
type upcoming struct {
	ID            *string    `json:"id"`
	DeliveryID    string     `json:"delivery_id"`
	EventID       string     `json:"event_id"`
	Event         string     `json:"event"`
	OccurredAt    *timestamp `json:"occurred_at"`
	Number        int        `json:"number"`
	Trigger       string     `json:"trigger"`
	StartedAt     *timestamp `json:"started_at"`
	DurationMS    *int64     `json:"duration_ms"`
	Outcome       *string    `json:"outcome"`
	Reason        *string    `json:"reason"`
	StatusCode    *int       `json:"status_code"`
	Message       string     `json:"message"`
	Advice        *string    `json:"advice"`
	NextAttemptAt *timestamp `json:"next_attempt_at"`
}

// resend sends the event of an attempt to its webhook again, at once.
func (s *server) resend(c echo.Context, grant access.Grant) error {
	w, err := s.find(c, grant)
	if err != nil {
		return err
	}
	origin, err := s.origin(c, w)
	if err != nil {
		return err
	}
	request, err := s.begin(c, grant, registration.NewID(), nil)
	if err != nil {
		return err
	}
	if request.answer != nil {
		return s.replayAs(c, request, http.StatusAccepted)
	}
	if err := s.Replays.Resend(c.Request().Context(), w, origin, request.makes); err != nil {
		s.undo(c, request, err)
		return resendProblem(w, err)
	}
	now := timestamp(time.Now())
	next := upcoming{
		DeliveryID: origin.GetDeliveryId(), EventID: origin.GetEventId(), Event: origin.GetEventType(),
		Number: 1, Trigger: "resend", Message: "It is on its way.", NextAttemptAt: &now,
	}
	if at := origin.GetOccurredAt(); at != nil {
		happened := timestamp(at.AsTime())
		next.OccurredAt = &happened
	}
	return s.endAs(c, request, http.StatusAccepted, next)
}

// origin is the attempt in the address, if it is at this webhook.
func (s *server) origin(c echo.Context, w store.Webhook) (*webhooksv1.Attempt, error) {
	id := c.Param("attempt")
	if _, err := ulid.ParseStrict(id); err != nil {
		return nil, noAttempt()
	}
	origin, err := s.Store.Attempt(c.Request().Context(), w.ProjectID, w.ID, id)
	if errors.Is(err, store.ErrNoAttempt) {
		return nil, noAttempt()
	}
	if err != nil {
		return nil, fmt.Errorf("find attempt: %w", err)
	}
	return origin, nil
}

func noAttempt() error { return answer(http.StatusNotFound, "Attempt not found") }

func resendProblem(w store.Webhook, err error) error {
	switch {
	case errors.Is(err, replay.ErrTest):
		return answer(http.StatusConflict, "A test cannot be sent again. Send another test instead.")
	case errors.Is(err, replay.ErrDisabled):
		return disabledProblem(w)
	case errors.Is(err, topology.ErrEventGone):
		return answer(http.StatusGone, "The event is no longer kept, so it cannot be sent again: it is too old, or it was erased.")
	default:
		return queueProblem("resend", err)
	}
}

func disabledProblem(w store.Webhook) error {
	off := words.Off(string(w.DisabledReason), words.English)
	return answer(http.StatusConflict, off.Message+" "+off.Advice+" Then try again.")
}

// queueProblem is for an error of whoever holds events and deliveries.
func queueProblem(doing string, err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, away("Events and deliveries cannot be reached at the moment. Try again in a few seconds."), err)
}
