package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/words"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

func (s *server) list(c echo.Context, grant access.Grant) error {
	found, err := s.Store.List(c.Request().Context(), grant.Project.ID)
	if err != nil {
		return fmt.Errorf("list webhooks: %w", err)
	}
	return c.JSON(http.StatusOK, showAll(found, language(c)))
}

func (s *server) get(c echo.Context, grant access.Grant) error {
	w, err := s.find(c, grant)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, show(w, language(c)))
}

// find loads the webhook of the address, if it is one of the project's.
func (s *server) find(c echo.Context, grant access.Grant) (store.Webhook, error) {
	id := c.Param("id")
	if !event.ValidID(id) {
		return store.Webhook{}, store.ErrNotFound
	}
	w, err := s.Store.Get(c.Request().Context(), grant.Project.ID, id)
	if err != nil {
		return store.Webhook{}, fmt.Errorf("get webhook: %w", err)
	}
	return w, nil
}

// create answers when the webhook is in force, or says that it is not: what is in
// the database will be, whatever becomes of the projection.
func (s *server) create(c echo.Context, grant access.Grant) error {
	raw, err := readBody(c)
	if err != nil {
		return err
	}
	given, err := parseWebhook(raw)
	if err != nil {
		return err
	}
	w, err := s.fresh(grant, registration.NewID(), given)
	if err != nil {
		return err
	}
	request, err := s.begin(c, grant, w.ID, raw)
	if err != nil {
		return err
	}
	if request.answer != nil {
		return s.replay(c, request)
	}
	if request.makes != w.ID { // the first request was not answered: make the same
		if w, err = s.fresh(grant, request.makes, given); err != nil {
			return err
		}
	}
	w, err = s.Store.Create(c.Request().Context(), w, s.Limit)
	if err == nil && w.Deleted() {
		err = store.ErrNotFound
	}
	if err != nil {
		s.undo(c, request, err)
		return fmt.Errorf("create webhook: %w", err)
	}
	w.Pending = !s.Project(c.Request().Context(), w.ProjectID, w.ID)
	return s.end(c, request, show(w, words.English)) // a new one has no sentence
}

// fresh makes a webhook of what was given, or reports everything that is wrong.
func (s *server) fresh(grant access.Grant, id string, given webhookInput) (store.Webhook, error) {
	var faults registration.Faults
	if given.URL == nil {
		faults.Add(missing("url", "The URL is missing."))
	}
	if given.Events == nil {
		faults.Add(missing("events", "The events are missing."))
	}
	if given.Name != nil && *given.Name == "" {
		given.Name = nil
	}
	w := store.Webhook{
		ID:        id,
		ProjectID: grant.Project.ID,
		CreatedBy: grant.Caller,
		Status:    registration.Published,
		CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
	edit := s.edits(w.ProjectID, w.ID, given, &faults)
	if err := faults.Err(); err != nil {
		return store.Webhook{}, err
	}
	if err := edit(&w); err != nil {
		return store.Webhook{}, err
	}
	if w.Name == "" {
		w.Name = registration.DefaultName(w.URL)
	}
	return w, nil
}

func missing(field, message string) error {
	return &registration.Fault{Field: field, Message: message, Kind: registration.KindBounds}
}

// change decides who may send a request by what it asks for, so it reads first
// and asks then; what is wrong with the body is told only to who may know.
func (s *server) change(c echo.Context) error {
	given, bodyErr := readWebhook(c)
	action := access.Change
	if bodyErr == nil && given.withdraws() {
		action = access.Withdraw
	}
	grant, err := s.authorize(c, action)
	if err != nil {
		return err
	}
	if bodyErr != nil {
		return bodyErr
	}
	w, err := s.find(c, grant)
	if err != nil {
		return err
	}
	if !given.isEmpty() {
		if w, err = s.apply(c.Request().Context(), w, given); err != nil {
			return err
		}
	}
	return c.JSON(http.StatusOK, show(w, language(c)))
}

func (s *server) apply(ctx context.Context, w store.Webhook, given webhookInput) (store.Webhook, error) {
	var faults registration.Faults
	edit := s.edits(w.ProjectID, w.ID, given, &faults)
	if err := faults.Err(); err != nil {
		return store.Webhook{}, err
	}
	changed, err := s.Store.Change(ctx, w.ProjectID, w.ID, edit)
	if err != nil {
		return store.Webhook{}, fmt.Errorf("change webhook: %w", err)
	}
	changed.Pending = !s.Project(ctx, changed.ProjectID, changed.ID)
	return changed, nil
}

func (s *server) remove(c echo.Context, grant access.Grant) error {
	id := c.Param("id")
	if !event.ValidID(id) {
		return store.ErrNotFound
	}
	if err := s.Store.Delete(c.Request().Context(), grant.Project.ID, id); err != nil {
		return fmt.Errorf("delete webhook: %w", err)
	}
	if !s.Project(c.Request().Context(), grant.Project.ID, id) {
		return c.JSON(http.StatusAccepted, notYet{})
	}
	return c.NoContent(http.StatusNoContent)
}

// notYet says of what was taken away that deliveries are still made as before: that
// stops by itself.
type notYet struct {
	InForce bool `json:"in_force"`
}

// edits checks every field that was given and returns what they do to a webhook.
// The result may be applied more than once.
func (s *server) edits(projectID, id string, given webhookInput, faults *registration.Faults) func(*store.Webhook) error {
	var err error
	var name, description, url, format string
	var events []string
	var headers []registration.HeaderEdit
	if given.Name != nil {
		name, err = registration.Name(*given.Name)
		faults.Add(err)
	}
	if given.Description != nil {
		description, err = registration.Description(*given.Description)
		faults.Add(err)
	}
	if given.URL != nil {
		url, err = s.Rules.Canonical(*given.URL)
		faults.Add(err)
	}
	if given.Events != nil {
		events, err = registration.Events(*given.Events)
		faults.Add(err)
	}
	if given.Secret != nil && *given.Secret != "" {
		faults.Add(registration.Secret(*given.Secret))
	}
	if given.Headers != nil {
		headers, err = registration.Headers(*given.Headers)
		faults.Add(err)
	}
	if given.Format != nil {
		format, err = registration.Format(*given.Format)
		faults.Add(err)
	}
	if given.MaxPerSecond != nil {
		faults.Add(registration.PerSecond(*given.MaxPerSecond))
	}
	_, err = registration.Reconcile(given.Enabled, given.Status, registration.Published)
	faults.Add(err)
	return func(w *store.Webhook) error {
		replace(&w.Name, given.Name, name)
		replace(&w.Description, given.Description, description)
		replace(&w.URL, given.URL, url)
		replace(&w.Format, given.Format, format)
		if given.Events != nil {
			w.Events = events
		}
		if given.MaxPerSecond != nil {
			w.MaxPerSecond = *given.MaxPerSecond
		}
		if w.Status, err = registration.Reconcile(given.Enabled, given.Status, w.Status); err != nil {
			return err //nolint:wrapcheck // a fault, worded for hosts
		}
		if w.Status.Enabled() {
			w.DisabledReason = ""
		}
		if err := s.sealHeaders(w, projectID, id, headers); err != nil {
			return err
		}
		return s.seal(w, projectID, id, given.Secret)
	}
}

func replace(target, given *string, checked string) {
	if given != nil {
		*target = checked
	}
}

// seal replaces the secret at once, or takes it away when it is empty: nothing
// signs with the one so far any more.
func (s *server) seal(w *store.Webhook, projectID, id string, given *string) error {
	switch {
	case given == nil:
		return nil
	case *given == "":
		w.SetSecret(nil)
		return nil
	}
	ciphertext, err := s.Secrets.Seal(secret.New(*given), projectID, id)
	if err != nil {
		return fmt.Errorf("seal secret: %w", err)
	}
	w.SetSecret(ciphertext)
	return nil
}
