package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/services/api/internal/access"
)

// Pages are served beside the API by the same server, with the same lines in the
// log, metrics and limits. What they show and do, they get from the API by call.
type Pages interface {
	// Route adds the pages to the server.
	Route(e *echo.Echo, call Call)
	// Refuse shows to people what the server refused at the address of a page, or what
	// went wrong there. It returns false for all other addresses.
	Refuse(c echo.Context, status int, detail string) bool
	// IsFree reports whether a request for this path counts against nobody's limit:
	// what pages are drawn with, also the one that says that somebody asks too often.
	IsFree(path string) bool
}

// Call makes a request of the API for a request c of a page, without a socket.
// Who may do what, what is valid and how it is said are the API's. It counts as a
// part of c: not against the caller's limit once more, and with no line of its own
// in the log unless it fails on our side. It is for one goroutine at a time, as c is.
type Call func(c echo.Context, r *http.Request) Answer

// Answer is what the API answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// inner marks the context of a request that was made by [server.call], and takes
// back what is learned about its caller.
type inner struct {
	requestID string

	mu            sync.Mutex
	caller, token string
}

type innerKey struct{}

// innerOf is nil for requests that came over a socket.
func innerOf(r *http.Request) *inner {
	found, _ := r.Context().Value(innerKey{}).(*inner)
	return found
}

func (i *inner) learn(caller, token string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.caller, i.token = caller, token
}

// call is the API's [Call].
func (s *server) call(c echo.Context, r *http.Request) Answer {
	i := &inner{requestID: c.Response().Header().Get(echo.HeaderXRequestID)}
	w := &memoryWriter{header: http.Header{}}
	s.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), innerKey{}, i)))
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.token != "" {
		c.Set(keyCaller, i.caller)
		c.Set(keyToken, i.token)
	}
	return Answer{Status: w.status, Header: w.header, Body: w.body.Bytes()}
}

// memoryWriter keeps an answer.
type memoryWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements [http.ResponseWriter].
func (w *memoryWriter) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter].
func (w *memoryWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements [http.ResponseWriter].
func (w *memoryWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p) //nolint:wrapcheck // a buffer takes everything
}

// projectInfo is what a page has to know before it offers anything.
type projectInfo struct {
	ID       string  `json:"id"`
	Name     *string `json:"name"`
	Language *string `json:"language"`
	// CanChange is false where the caller may see, switch off and delete webhooks
	// and no more; WhyNot says why.
	CanChange   bool    `json:"can_change"`
	WhyNot      *string `json:"why_not"`
	MaxWebhooks int     `json:"max_webhooks"`
}

// project says what the caller may do in it.
func (s *server) project(c echo.Context, grant access.Grant) error {
	info := projectInfo{
		ID: grant.Project.ID, Name: orNull(grant.Project.Name), Language: orNull(grant.Project.Language),
		CanChange: true, MaxWebhooks: s.Limit,
	}
	if _, err := s.authorize(c, access.Change); err != nil {
		refusal := s.problemFrom(err)
		if refusal.Status != http.StatusForbidden {
			return err
		}
		info.CanChange, info.WhyNot = false, &refusal.Detail
	}
	return c.JSON(http.StatusOK, info)
}
