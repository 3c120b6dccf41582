package httpapi

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// erasing says of an erasure that it is not done yet.
type erasing struct {
	State       string    `json:"state"`
	Events      int64     `json:"events"`
	Attempts    int64     `json:"attempts"`
	DateCreated timestamp `json:"date_created"`
}

// eraseAll erases every event of the project.
func (s *server) eraseAll(c echo.Context, grant access.Grant) error { return s.erase(c, grant, "") }

// eraseOne erases one event, or what there may be of it: that nothing is left is as
// true of an event that nobody knows.
func (s *server) eraseOne(c echo.Context, grant access.Grant) error {
	id := c.Param("event")
	if !event.ValidID(id) {
		return answer(http.StatusNotFound, "Event not found")
	}
	return s.erase(c, grant, id)
}

func (s *server) erase(c echo.Context, grant access.Grant, eventID string) error {
	e, err := s.Erasures.Erase(c.Request().Context(), grant.Project.ID, eventID, grant.Caller, s.EraseWait)
	if err != nil {
		return queueProblem("erase", err)
	}
	if e.Done {
		return c.NoContent(http.StatusNoContent)
	}
	c.Response().Header().Set(echo.HeaderRetryAfter, retrySoon)
	if err := c.JSON(http.StatusAccepted, showErasure(e)); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

func showErasure(e store.Erasure) erasing {
	return erasing{State: "erasing", Events: e.Events, Attempts: e.Attempts, DateCreated: timestamp(e.BegunAt)}
}
