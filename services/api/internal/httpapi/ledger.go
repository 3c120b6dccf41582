package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/ledger"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	ledgerLimit    = 100
	maxLedgerLimit = 250
	// ledgerSpan is what a ledger is of when its beginning is not said.
	ledgerSpan = 24 * time.Hour
	// maxLedgerCursorBytes is the longest cursor that is looked at.
	maxLedgerCursorBytes = 2048
	// cursorPurpose is what a cursor is encrypted for, besides its webhook: so nobody
	// makes one up, and nothing else opens as one.
	cursorPurpose = "ledger-cursor/"
)

// accounted is a page of a ledger.
type accounted struct {
	Data       []ledgerLine   `json:"data"`
	NextCursor *string        `json:"next_cursor"`
	Summary    *ledgerSummary `json:"summary"`
}

type ledgerLine struct {
	EventID          string     `json:"event_id"`
	Event            string     `json:"event"`
	OccurredAt       *timestamp `json:"occurred_at"`
	PublishedAt      timestamp  `json:"published_at"`
	State            string     `json:"state"`
	FirstDeliveredAt *timestamp `json:"first_delivered_at"`
	Attempts         int        `json:"attempts"`
}

// ledgerSummary adds up all pages. It comes with the last one.
type ledgerSummary struct {
	Since           timestamp `json:"since"`
	Until           timestamp `json:"until"`
	Count           int64     `json:"count"`
	Delivered       int64     `json:"delivered"`
	Pending         int64     `json:"pending"`
	Failed          int64     `json:"failed"`
	NotSent         int64     `json:"not_sent"`
	Digest          string    `json:"digest"`
	DigestDelivered string    `json:"digest_delivered"`
}

// account lists what became of every event that the webhook was owed.
func (s *server) account(c echo.Context, grant access.Grant) error {
	w, err := s.find(c, grant)
	if err != nil {
		return err
	}
	limit, err := ledgerLimitOf(c)
	if err != nil {
		return err
	}
	at, err := s.ledgerPosition(c, w)
	if err != nil {
		return err
	}
	lines, next, last, err := s.Ledger.Page(c.Request().Context(), w, at, limit)
	if err != nil {
		return queueProblem("read ledger", err)
	}
	page := accounted{Data: make([]ledgerLine, len(lines))}
	for i, line := range lines {
		page.Data[i] = showLine(line)
	}
	if last {
		sums := next.Sums
		page.Summary = &ledgerSummary{
			Since: timestamp(next.Since), Until: timestamp(next.Until),
			Count:     sums.Delivered + sums.Pending + sums.Failed + sums.NotSent,
			Delivered: sums.Delivered, Pending: sums.Pending, Failed: sums.Failed, NotSent: sums.NotSent,
			Digest: sums.All.String(), DigestDelivered: sums.Arrived.String(),
		}
		return c.JSON(http.StatusOK, page)
	}
	cursor, err := s.sealCursor(w, next)
	if err != nil {
		return err
	}
	page.NextCursor = &cursor
	return c.JSON(http.StatusOK, page)
}

func showLine(line ledger.Line) ledgerLine {
	shown := ledgerLine{
		EventID: line.EventID, Event: line.Event, PublishedAt: timestamp(line.Published),
		State: string(line.Entry.State), Attempts: line.Entry.Attempts,
	}
	if !line.OccurredAt.IsZero() {
		shown.OccurredAt = optional(&line.OccurredAt)
	}
	if !line.Entry.FirstDeliveredAt.IsZero() {
		shown.FirstDeliveredAt = optional(&line.Entry.FirstDeliveredAt)
	}
	return shown
}

func ledgerLimitOf(c echo.Context) (int, error) {
	if !c.QueryParams().Has("limit") {
		return ledgerLimit, nil
	}
	text := c.QueryParam("limit")
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxLedgerLimit {
		return 0, missing("limit", fmt.Sprintf("limit must be a whole number from 1 to %d.", maxLedgerLimit))
	}
	return limit, nil
}

// ledgerPosition is where the cursor is, or the beginning of what is asked for.
func (s *server) ledgerPosition(c echo.Context, w store.Webhook) (ledger.Position, error) {
	if cursor := c.QueryParam("cursor"); cursor != "" {
		return s.openCursor(w, cursor)
	}
	now, err := s.Ledger.Clock(c.Request().Context())
	if err != nil {
		return ledger.Position{}, queueProblem("read ledger", err)
	}
	at := ledger.Position{Until: now.UTC()}
	var faults registration.Faults
	for _, given := range []struct {
		name  string
		value *time.Time
	}{{"since", &at.Since}, {"until", &at.Until}} {
		if !c.QueryParams().Has(given.name) {
			continue
		}
		text := c.QueryParam(given.name)
		parsed, err := parseTime(text)
		if err != nil {
			faults.Add(missing(given.name, given.name+" must be a time with its zone, such as 2026-01-20T12:00:00Z."))
		}
		*given.value = parsed
	}
	if err := faults.Err(); err != nil {
		return ledger.Position{}, err
	}
	if at.Until.After(now) {
		at.Until = now.UTC() // what is still to come would never add up
	}
	if at.Since.IsZero() {
		at.Since = at.Until.Add(-ledgerSpan)
	}
	if !at.Since.Before(at.Until) {
		return ledger.Position{}, missing("since", "since must lie in the past, and before until.")
	}
	return at, nil
}

func (s *server) sealCursor(w store.Webhook, at ledger.Position) (string, error) {
	data, err := json.Marshal(at)
	if err != nil {
		return "", fmt.Errorf("encode cursor: %w", err)
	}
	sealed, err := s.Secrets.Seal(secret.New(string(data)), w.ProjectID, cursorPurpose+w.ID)
	if err != nil {
		return "", fmt.Errorf("seal cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// openCursor reads a cursor that was given out for this webhook. Any other one is
// refused.
func (s *server) openCursor(w store.Webhook, cursor string) (at ledger.Position, _ error) {
	refused := missing("cursor", "The cursor is not one of ours for this webhook. Begin again without it.")
	if len(cursor) > maxLedgerCursorBytes {
		return at, refused
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return at, refused
	}
	opened, err := s.Secrets.Open(sealed, w.ProjectID, cursorPurpose+w.ID)
	if err != nil {
		return at, refused
	}
	if err := json.Unmarshal([]byte(opened.Reveal()), &at); err != nil {
		return at, fmt.Errorf("read cursor: %w", err)
	}
	return at, nil
}
