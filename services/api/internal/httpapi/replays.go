package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/replay"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// replayed is a replay as hosts see it.
type replayed struct {
	ID           string     `json:"id"`
	WebhookID    string     `json:"webhook_id"`
	State        string     `json:"state"`
	Message      *string    `json:"message"`
	Since        timestamp  `json:"since"`
	Until        timestamp  `json:"until"`
	Only         string     `json:"only"`
	Events       []string   `json:"events"`
	MaxPerSecond *float64   `json:"max_per_second"`
	Total        *int64     `json:"total"`
	Queued       int64      `json:"queued"`
	Delivered    int64      `json:"delivered"`
	Failed       int64      `json:"failed"`
	CreatedBy    string     `json:"created_by"`
	DateCreated  timestamp  `json:"date_created"`
	DateUpdated  timestamp  `json:"date_updated"`
	DateEnded    *timestamp `json:"date_ended"`
}

// estimated is what a replay would send.
type estimated struct {
	Count            int64      `json:"count"`
	Oldest           *timestamp `json:"oldest"`
	Newest           *timestamp `json:"newest"`
	EstimatedSeconds int64      `json:"estimated_seconds"`
	Pending          int64      `json:"pending"`
	Complete         bool       `json:"complete"`
}

func showReplay(r store.Replay) replayed {
	shown := replayed{
		ID: r.ID, WebhookID: r.WebhookID, State: string(r.State), Only: r.Only, Events: r.Events,
		Since: timestamp(r.Since), Until: timestamp(r.Until), Total: r.Total,
		Queued: max(0, r.Sent-r.Delivered-r.Failed), Delivered: r.Delivered, Failed: r.Failed,
		CreatedBy: r.CreatedBy, DateCreated: timestamp(r.CreatedAt), DateUpdated: timestamp(r.UpdatedAt), DateEnded: optional(r.EndedAt),
	}
	if r.Message != "" {
		shown.Message = &r.Message
	}
	if r.MaxPerSecond > 0 {
		shown.MaxPerSecond = &r.MaxPerSecond
	}
	return shown
}

// replayInput is what a request says about a replay.
type replayInput struct {
	request replay.Request
	dryRun  bool
}

func readReplay(c echo.Context, w store.Webhook) (replayInput, []byte, error) {
	raw, err := readBody(c)
	if err != nil {
		return replayInput{}, nil, err
	}
	fields, err := parseObject(raw)
	if err != nil {
		return replayInput{}, nil, err
	}
	input, err := parseReplay(fields, w, time.Now())
	return input, raw, err
}

func parseReplay(fields map[string]json.RawMessage, w store.Webhook, now time.Time) (replayInput, error) {
	var faults registration.Faults
	var since, until, only *string
	var events *[]string
	var dryRun *bool
	var rate *float64
	faults.Add(field(fields, "since", "a time", &since))
	faults.Add(field(fields, "until", "a time", &until))
	faults.Add(field(fields, "only", "text", &only))
	faults.Add(field(fields, "events", "a list of texts", &events))
	faults.Add(field(fields, "dry_run", "true or false", &dryRun))
	faults.Add(field(fields, "max_per_second", "a number", &rate))
	input := replayInput{request: replay.Request{Only: replay.Missed}, dryRun: dryRun != nil && *dryRun}
	r := &input.request
	if since == nil {
		faults.Add(missing("since", "The time since when events are to be sent again is missing."))
	}
	for _, given := range []struct {
		name  string
		text  *string
		value *time.Time
	}{{"since", since, &r.Since}, {"until", until, &r.Until}} {
		if given.text == nil {
			continue
		}
		at, err := parseTime(*given.text)
		if err != nil {
			faults.Add(missing(given.name, given.name+" must be a time with its zone, such as 2026-01-20T12:00:00Z."))
		}
		*given.value = at
	}
	switch {
	case since != nil && r.Since.After(now):
		faults.Add(missing("since", "since lies in the future."))
	case until != nil && !r.Until.After(r.Since):
		faults.Add(missing("until", "until must be after since."))
	}
	if r.Until.After(now) {
		r.Until = time.Time{} // what is published from now on is delivered anyway
	}
	if only != nil {
		if r.Only = *only; !slices.Contains([]string{replay.Failed, replay.Missed, replay.All}, r.Only) {
			faults.Add(missing("only", "only must be failed, missed or all."))
		}
	}
	if rate != nil {
		r.MaxPerSecond = *rate
		faults.Add(registration.PerSecond(*rate))
	}
	if events != nil {
		r.Events = *events
		faults.Add(subscribedOnly(*events, w))
	}
	return input, faults.Err()
}

// subscribedOnly refuses events that the webhook does not get.
func subscribedOnly(events []string, w store.Webhook) error {
	if _, err := registration.Events(events); err != nil {
		return err //nolint:wrapcheck // a fault, worded for hosts
	}
	for _, name := range events {
		if !slices.Contains(w.Events, name) {
			return missing("events", fmt.Sprintf("The webhook is not subscribed to %s. Subscribe it first.", name))
		}
	}
	return nil
}

// parseTime reads a time in RFC 3339.
func parseTime(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("read time: %w", err)
	}
	if at.Year() < 1970 || at.Year() > 9999 {
		return time.Time{}, errors.New("the time is out of range")
	}
	return at.UTC(), nil
}

// startReplay begins a replay, or says what it would send.
func (s *server) startReplay(c echo.Context, grant access.Grant) error {
	w, err := s.find(c, grant)
	if err != nil {
		return err
	}
	given, raw, err := readReplay(c, w)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if given.dryRun {
		if _, err := idempotencyKey(c.Request()); err != nil {
			return err // it has no use here, but what is none is a mistake
		}
		estimate, err := s.Replays.DryRun(ctx, w, given.request)
		if err != nil {
			return queueProblem("count for a replay", err)
		}
		return c.JSON(http.StatusOK, showEstimate(estimate))
	}
	request, err := s.begin(c, grant, registration.NewID(), raw)
	if err != nil {
		return err
	}
	if request.answer != nil {
		return s.replayAs(c, request, http.StatusAccepted)
	}
	started, err := s.Replays.Start(ctx, w, request.makes, grant.Caller, given.request)
	if err != nil {
		s.undo(c, request, err)
		return startProblem(w, started, err)
	}
	return s.endAs(c, request, http.StatusAccepted, showReplay(started))
}

func startProblem(w store.Webhook, running store.Replay, err error) error {
	switch {
	case errors.Is(err, store.ErrReplayRunning):
		return answer(http.StatusConflict, fmt.Sprintf(
			"The replay %s of this webhook is running. Wait until it is done, or cancel it: there is one at a time.", running.ID))
	case errors.Is(err, replay.ErrDisabled):
		return disabledProblem(w)
	default:
		return queueProblem("start replay", err)
	}
}

func showEstimate(e replay.Estimate) estimated {
	shown := estimated{Count: e.Count, EstimatedSeconds: e.Seconds, Pending: e.Pending, Complete: e.Complete}
	if e.Count > 0 {
		shown.Oldest, shown.Newest = optional(&e.Oldest), optional(&e.Newest)
	}
	return shown
}

func (s *server) listReplays(c echo.Context, grant access.Grant) error {
	w, err := s.find(c, grant)
	if err != nil {
		return err
	}
	list, err := s.Replays.List(c.Request().Context(), w.ID)
	if err != nil {
		return fmt.Errorf("list replays: %w", err)
	}
	shown := make([]replayed, len(list))
	for i, r := range list {
		shown[i] = showReplay(r)
	}
	return c.JSON(http.StatusOK, shown)
}

func (s *server) getReplay(c echo.Context, grant access.Grant) error {
	w, id, err := s.replayOf(c, grant)
	if err != nil {
		return err
	}
	r, err := s.Replays.Get(c.Request().Context(), w.ID, id)
	if err != nil {
		return replayProblem(err)
	}
	return c.JSON(http.StatusOK, showReplay(r))
}

// cancelReplay stops what has not been sent.
func (s *server) cancelReplay(c echo.Context, grant access.Grant) error {
	w, id, err := s.replayOf(c, grant)
	if err != nil {
		return err
	}
	if err := s.Replays.Cancel(c.Request().Context(), w.ID, id); err != nil {
		return replayProblem(err)
	}
	return c.NoContent(http.StatusNoContent)
}

// replayOf is the webhook and the id in the address.
func (s *server) replayOf(c echo.Context, grant access.Grant) (store.Webhook, string, error) {
	w, err := s.find(c, grant)
	if err != nil {
		return w, "", err
	}
	id := c.Param("replay")
	if !event.ValidID(id) {
		return w, "", replayProblem(store.ErrReplayNotFound)
	}
	return w, id, nil
}

func replayProblem(err error) error {
	if errors.Is(err, store.ErrReplayNotFound) {
		return answer(http.StatusNotFound, "Replay not found")
	}
	return queueProblem("find replay", err)
}
