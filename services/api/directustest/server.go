package directustest

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Test is what a server needs of the test, or of the program, that it is part of.
type Test interface {
	Helper()
	Errorf(format string, args ...any)
	FailNow()
	Cleanup(do func())
}

// Server is a Directus that holds a world.
type Server struct {
	tb   Test
	http *httptest.Server

	mu       sync.Mutex
	world    World
	tables   tables // of the world, encoded when they are first asked for
	now      func() time.Time
	fault    func(*http.Request) (Answer, bool)
	requests []string
}

// Start starts a server that ends with the test.
func Start(tb Test, world World) *Server {
	tb.Helper()
	s := &Server{tb: tb, world: world, now: time.Now}
	s.http = httptest.NewServer(s)
	tb.Cleanup(s.http.Close)
	return s
}

// StartTLS is [Start] with a certificate that only [Server.Roots] knows.
func StartTLS(tb Test, world World) *Server {
	tb.Helper()
	s := &Server{tb: tb, world: world, now: time.Now}
	s.http = httptest.NewUnstartedServer(s)
	s.http.Config.ErrorLog = zap.NewStdLog(zap.NewNop()) // handshakes that are to fail
	s.http.StartTLS()
	tb.Cleanup(s.http.Close)
	return s
}

// URL is where the server is.
func (s *Server) URL() *url.URL {
	s.tb.Helper()
	address, err := url.Parse(s.http.URL)
	if err != nil {
		s.tb.Errorf("directustest: %v", err)
		s.tb.FailNow()
	}
	return address
}

// Roots has the authority of the certificate.
func (s *Server) Roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(s.http.Certificate())
	return roots
}

// Stop ends the server before the test does.
func (s *Server) Stop() { s.http.Close() }

// Change changes the world under the server.
func (s *Server) Change(change func(*World)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.world)
	s.tables = nil
}

// SetClock replaces the clock that JWTs are judged by.
func (s *Server) SetClock(now func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

// Fail lets fault answer the requests that it wants to; nil ends that. It may
// block until the request's context is done.
func (s *Server) Fail(fault func(*http.Request) (Answer, bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// FailWith answers everything with the same.
func (s *Server) FailWith(answer Answer) {
	s.Fail(func(*http.Request) (Answer, bool) { return answer, true })
}

// Requests lists the paths that were asked for since the last call, without
// their queries.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := s.requests
	s.requests = nil
	return since
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.URL.Path)
	fault := s.fault
	s.mu.Unlock()
	if fault != nil {
		if answer, wants := fault(r); wants {
			write(w, answer)
			return
		}
	}
	s.mu.Lock()
	if s.tables == nil {
		s.tables = s.world.tables()
	}
	answer := s.world.answer(r, s.now(), s.tables)
	s.mu.Unlock()
	write(w, answer)
}

func write(w http.ResponseWriter, answer Answer) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	for name, value := range answer.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(answer.Status)
	_, _ = w.Write([]byte(answer.Body)) // a caller that went away
}

func (w World) answer(r *http.Request, now time.Time, from tables) Answer {
	who, refusal := w.authenticate(r, now)
	if refusal != nil {
		return *refusal
	}
	path := r.URL.EscapedPath()
	switch {
	case path == "/users/me":
		return w.me(who, fieldsAsked(r.URL.Query()))
	case path == "/policies/me/globals":
		return globals(who)
	case strings.HasPrefix(path, "/items/"):
		collection, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/items/"), "/")
		return w.items(who, from, question{collection: collection, id: id, query: r.URL.Query()})
	default:
		return noRoute(path)
	}
}

func (w World) me(who identity, fields []string) Answer {
	switch {
	case who.share != "":
		return data(map[string]any{"share": who.share})
	case who.user == nil:
		return BadCredentials()
	}
	whole := map[string]any{"id": who.user.ID, "email": who.user.Email, "role": who.user.Role, "status": "active"}
	if !who.user.App { // they get no more, whatever they ask for
		return data(map[string]any{"id": who.user.ID})
	}
	for name := range whole {
		if len(fields) > 0 && !slices.Contains(fields, name) {
			delete(whole, name)
		}
	}
	return data(whole)
}

func globals(who identity) Answer {
	switch {
	case who.share != "":
		return data(map[string]any{"app_access": false})
	case who.user == nil:
		return data(map[string]any{"app_access": false, "admin_access": false})
	default:
		return data(map[string]any{"app_access": who.user.App, "admin_access": who.user.Admin, "enforce_tfa": false})
	}
}

func fieldsAsked(query url.Values) []string {
	if query.Get("fields") == "" {
		return nil
	}
	return strings.Split(query.Get("fields"), ",")
}
