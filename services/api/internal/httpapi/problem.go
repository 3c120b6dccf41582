package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/pkg/words"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
	"github.com/dembrane/webhooks/services/api/internal/testdelivery"
)

// mimeProblem is the media type of RFC 9457.
const mimeProblem = "application/problem+json"

// retrySoon is the Retry-After of everything that is away, in seconds.
const retrySoon = "5"

// problem is the body of every answer that is no success. The detail is a
// sentence for hosts: no host names, no stack traces, no driver errors.
type problem struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	Errors    []fieldError `json:"errors,omitempty"`
	RequestID string       `json:"request_id,omitempty"`

	retryAfter string
}

type fieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error implements error, so that a handler can return a problem as it is.
func (p *problem) Error() string { return fmt.Sprintf("%d %s", p.Status, p.Detail) }

func answer(status int, detail string) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

func away(detail string) *problem {
	p := answer(http.StatusServiceUnavailable, detail)
	p.retryAfter = retrySoon
	return p
}

// problemFrom decides what the caller is told about an error. It is the only
// place that does.
func (s *server) problemFrom(err error) *problem {
	var ready *problem
	var one *registration.Fault
	var several registration.Faults
	var tier *access.TierError
	var tooLarge *http.MaxBytesError
	var routing *echo.HTTPError
	var paused *testdelivery.PausedError
	switch {
	case errors.As(err, &paused):
		return leftAlone(paused)
	case errors.As(err, &ready):
		return ready
	case errors.As(err, &several):
		return faulty(several)
	case errors.As(err, &one):
		return faulty(registration.Faults{one})
	case errors.As(err, &tier):
		return answer(http.StatusForbidden,
			fmt.Sprintf("This action requires the changemaker tier (currently %s).", tier.Current))
	case errors.As(err, &tooLarge):
		return answer(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("The request body must have at most %d bytes (%d KiB).", maxBodyBytes, maxBodyBytes>>10))
	case errors.As(err, &routing):
		return routingProblem(routing)
	default:
		return s.sentinel(err)
	}
}

// leftAlone says that a receiver that asked for a pause is not even sent a test.
func leftAlone(paused *testdelivery.PausedError) *problem {
	p := answer(http.StatusConflict, "The receiver has asked to be left alone until "+
		paused.Until.UTC().Format(words.TimeLayout)+", so nothing was sent. Try again after that.")
	p.retryAfter = strconv.Itoa(max(1, int(time.Until(paused.Until).Seconds())+1))
	return p
}

// sentinel answers the errors that are values.
func (s *server) sentinel(err error) *problem {
	switch {
	case errors.Is(err, access.ErrSession):
		return answer(http.StatusUnauthorized, "Invalid session")
	case errors.Is(err, access.ErrUser):
		return answer(http.StatusForbidden, "User not onboarded")
	case errors.Is(err, access.ErrProject):
		return answer(http.StatusNotFound, "Project not found")
	case errors.Is(err, access.ErrPermission):
		return answer(http.StatusForbidden, "Not allowed")
	case errors.Is(err, access.ErrUnavailable):
		return away("Permissions cannot be checked at the moment. Try again in a few seconds.")
	case errors.Is(err, store.ErrNotFound):
		return answer(http.StatusNotFound, "Webhook not found")
	case errors.Is(err, store.ErrLimit):
		return answer(http.StatusConflict,
			fmt.Sprintf("This project has %d webhooks, which is the most it can have. Delete one first.", s.Limit))
	case errors.Is(err, store.ErrConflict):
		return answer(http.StatusConflict, "The webhook was changed by somebody else at the same time. Try again.")
	case errors.Is(err, store.ErrUncertain):
		return away("It is not known whether the webhook was made. Look at the list before you send this again, " +
			"or send it again with the Idempotency-Key that it had.")
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return away("Webhooks cannot be read or changed at the moment. Try again in a few seconds.")
	case errors.Is(err, testdelivery.ErrNoDispatcher):
		return away("The test was not sent: the part that makes deliveries is not running. Try again in a few seconds.")
	case errors.Is(err, testdelivery.ErrTimeout):
		return away("The test took too long, and it is not known whether it arrived. Try again in a few seconds.")
	case errors.Is(err, testdelivery.ErrRefused):
		return away("The test was not sent because of a fault on our side. Try again in a few seconds.")
	default:
		return answer(http.StatusInternalServerError, "Something went wrong on our side. Try again, and tell us the request id if it persists.")
	}
}

// faulty answers 400 for what no well-formed value would cure, and 422 for the
// rest: wrong shapes and bounds.
func faulty(faults registration.Faults) *problem {
	status := http.StatusUnprocessableEntity
	list := make([]fieldError, len(faults))
	for i, fault := range faults {
		list[i] = fieldError{Field: fault.Field, Message: fault.Message}
		if fault.Kind == registration.KindURL || fault.Kind == registration.KindEvent {
			status = http.StatusBadRequest
		}
	}
	p := answer(status, faults.Error())
	p.Errors = list
	return p
}

// routingProblem words what the router itself refuses.
func routingProblem(err *echo.HTTPError) *problem {
	switch err.Code {
	case http.StatusNotFound:
		return answer(err.Code, "There is nothing at this address.")
	case http.StatusMethodNotAllowed:
		return answer(err.Code, "This method is not allowed here; see the Allow header.")
	default:
		return answer(err.Code, http.StatusText(err.Code)+".")
	}
}

// fail is the one place that writes problems.
func (s *server) fail(err error, c echo.Context) {
	c.Set(keyError, err)
	if c.Response().Committed {
		return
	}
	p := *s.problemFrom(err)
	p.RequestID = c.Response().Header().Get(echo.HeaderXRequestID)
	header := c.Response().Header()
	if p.Status == http.StatusUnauthorized {
		header.Set(echo.HeaderWWWAuthenticate, `Bearer realm="webhooks"`)
	}
	if allowed := header.Get(echo.HeaderAllow); strings.Contains(allowed, http.MethodGet) {
		header.Set(echo.HeaderAllow, allowed+", "+http.MethodHead)
	}
	if p.retryAfter != "" {
		header.Set(echo.HeaderRetryAfter, p.retryAfter)
	}
	if s.Pages != nil && innerOf(c.Request()) == nil && s.Pages.Refuse(c, p.Status, p.Detail) {
		return
	}
	body, err := json.Marshal(p)
	if err != nil { // it holds nothing but text
		c.Response().WriteHeader(http.StatusInternalServerError)
		return
	}
	_ = c.Blob(p.Status, mimeProblem, body) // the caller is gone
}
