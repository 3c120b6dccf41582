// Package httpapi is the management API: routes, who may call them, what goes in
// and comes out, and one place that words every refusal.
package httpapi

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/apidocs"
	"github.com/dembrane/webhooks/services/api/internal/erase"
	"github.com/dembrane/webhooks/services/api/internal/ledger"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/replay"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// maxBodyBytes is the largest request body.
	maxBodyBytes = 64 << 10
	// maxHeaderBytes leaves room for the cookies of a dashboard's domain.
	maxHeaderBytes = 64 << 10
	// pathHealth answers everybody, always.
	pathHealth = "/api/health"
)

// Authorizer says who may do what. Its errors are those of package access; any
// other error is a fault of our side.
type Authorizer interface {
	// Authorize says whether the token's owner may do something with webhooks of
	// the project. It is called with whatever came in the address, valid or not.
	Authorize(ctx context.Context, token, projectID string, action access.Action) (access.Grant, error)
	// Scope lists the projects whose webhooks the token's owner may read.
	Scope(ctx context.Context, token string) (access.Scope, error)
	// Names returns what projects are called, by id, whoever asks.
	Names(ctx context.Context, ids []string) (map[string]string, error)
}

// Deps is what the API needs.
type Deps struct {
	Store    *store.Store
	Access   Authorizer
	Secrets  *secret.Box
	Rules    registration.URLRules
	Renderer payload.Renderer
	// Project brings a change into the bucket and reports whether it is there: if
	// not, it will be, and its caller says so.
	Project func(ctx context.Context, projectID, webhookID string) (inForce bool)
	// SendTest makes one test delivery. Its errors are those of package testdelivery.
	SendTest func(ctx context.Context, request *webhooksv1.TestRequest) (*webhooksv1.Attempt, error)
	// Events reads back what was sent.
	Events events
	// Replays sends again what is asked for again.
	Replays *replay.Service
	// Follower hands out events to those who listen.
	Follower follower
	// Ledger accounts for what a webhook was owed.
	Ledger *ledger.Ledger
	// Erasures erases events.
	Erasures *erase.Service
	// EraseWait is the longest that a request waits for its erasure, which goes on by
	// itself after that.
	EraseWait time.Duration
	Log       *zap.Logger
	Metrics   *Metrics

	// SessionCookie names the cookie that wins over the Authorization header.
	SessionCookie string
	// CORSOrigins may call with the user's cookie.
	CORSOrigins []string
	// Limit is how many webhooks a project can have.
	Limit int
	// Rate limits the requests of one caller.
	Rate Rate
	// TrustedProxies may say where a request comes from.
	TrustedProxies []netip.Prefix
	// TestTimeout is the longest that SendTest takes.
	TestTimeout time.Duration
	// Listening changes what listeners usually get.
	Listening Listening
	// Pages are served beside the API; nil for none.
	Pages Pages
}

type server struct {
	Deps

	origins *http.CrossOriginProtection
	routes  map[string]bool
	callers *buckets
	// handler serves the API and the pages.
	handler http.Handler
	// bodies is the memory for bodies that are shown.
	bodies    *semaphore.Weighted
	listeners *listeners
}

// New makes the HTTP server of the API. It has no address: serve a listener with
// it. Its time limits keep slow clients from holding on to it.
func New(deps Deps) (*http.Server, error) {
	s := &server{
		Deps: deps, origins: http.NewCrossOriginProtection(), routes: map[string]bool{}, callers: newBuckets(deps.Rate),
		bodies: semaphore.NewWeighted(bodyMemory), listeners: newListeners(),
	}
	s.Listening = s.Listening.orUsual()
	for _, origin := range deps.CORSOrigins {
		if err := s.origins.AddTrustedOrigin(origin); err != nil {
			return nil, err //nolint:wrapcheck // it names the origin
		}
	}
	e := echo.New()
	e.HTTPErrorHandler = s.fail
	e.IPExtractor = addressOf(deps.TrustedProxies)
	// The order matters: the line in the log tells about everything inside it.
	e.Pre(s.identify, s.observe, s.recover, secured)
	if len(deps.CORSOrigins) > 0 {
		e.Pre(middleware.CORSWithConfig(middleware.CORSConfig{
			AllowOrigins:     deps.CORSOrigins,
			AllowCredentials: true,
			AllowMethods:     []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete},
			// No AllowHeaders: whichever a page of these origins asks for. Its tracing
			// adds some that nobody here needs to know.
			ExposeHeaders: []string{echo.HeaderXRequestID, echo.HeaderRetryAfter, headerReplayed},
			MaxAge:        600,
		}))
	}
	e.Pre(s.paced)
	s.handler = router{e}
	s.route(e)
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      deps.TestTimeout + 15*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          zap.NewStdLog(deps.Log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
	}
	server.RegisterOnShutdown(sync.OnceFunc(func() { close(s.listeners.drained) }))
	return server, nil
}

// route is the API, from the outside.
func (s *server) route(e *echo.Echo) {
	e.GET(pathHealth, health)
	e.GET(pathOpenAPI, openapi)
	for path, page := range apidocs.Routes() {
		e.GET(path, echo.WrapHandler(page))
	}
	webhooks := e.Group("/api/projects/:pid/webhooks")
	webhooks.GET("", s.guard(access.Read, s.list))
	webhooks.POST("", s.guard(access.Change, s.create))
	webhooks.GET("/copyable", s.guard(access.Read, s.listElsewhere))
	e.GET(routeListen, s.guard(access.Change, s.listen))
	webhooks.GET("/project", s.guard(access.Read, s.project))
	webhooks.GET("/statistics", s.guard(access.Read, s.lately))
	webhooks.GET("/:id", s.guard(access.Read, s.get))
	webhooks.PATCH("/:id", s.change)
	webhooks.DELETE("/:id", s.guard(access.Withdraw, s.remove))
	webhooks.POST("/:id/test", s.guard(access.Change, s.test))
	webhooks.POST("/:id/secret/rotate", s.guard(access.Change, s.rotate))
	webhooks.DELETE("/:id/secret/previous", s.guard(access.Withdraw, s.endOverlap))
	webhooks.GET("/:id/copyable", s.guard(access.Read, s.copyable))
	webhooks.GET("/:id/deliveries", s.guard(access.Read, s.deliveries))
	webhooks.GET("/:id/deliveries/:attempt", s.guard(access.Read, s.delivery))
	webhooks.GET("/:id/statistics", s.guard(access.Read, s.statistics))
	webhooks.POST("/:id/deliveries/:attempt/resend", s.guard(access.Change, s.resend))
	webhooks.GET("/:id/ledger", s.guard(access.Read, s.account))
	webhooks.POST("/:id/replay", s.guard(access.Change, s.startReplay))
	webhooks.GET("/:id/replays", s.guard(access.Read, s.listReplays))
	webhooks.GET("/:id/replays/:replay", s.guard(access.Read, s.getReplay))
	webhooks.DELETE("/:id/replays/:replay", s.guard(access.Withdraw, s.cancelReplay))
	if s.Pages != nil {
		s.Pages.Route(e, s.call)
	}
	e.DELETE("/api/projects/:pid/events", s.guard(access.Withdraw, s.eraseAll))
	e.DELETE("/api/projects/:pid/events/:event", s.guard(access.Withdraw, s.eraseOne))
	for _, route := range e.Routes() {
		s.routes[route.Path] = true
	}
}

func health(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}
