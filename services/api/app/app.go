// Package app wires the api together: the management API, the projection of
// registrations into the bucket, and the recording of attempts.
package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/api/internal/access/directus"
	"github.com/dembrane/webhooks/services/api/internal/access/static"
	"github.com/dembrane/webhooks/services/api/internal/config"
	"github.com/dembrane/webhooks/services/api/internal/deliverylog"
	"github.com/dembrane/webhooks/services/api/internal/erase"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/health"
	"github.com/dembrane/webhooks/services/api/internal/httpapi"
	"github.com/dembrane/webhooks/services/api/internal/ledger"
	"github.com/dembrane/webhooks/services/api/internal/portal"
	"github.com/dembrane/webhooks/services/api/internal/projection"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/replay"
	"github.com/dembrane/webhooks/services/api/internal/store"
	"github.com/dembrane/webhooks/services/api/internal/testdelivery"
)

const (
	// setUpTimeout bounds one try to set up the streams.
	setUpTimeout = 10 * time.Second
	// closeTimeout bounds the end of a connection, after the grace.
	closeTimeout = 5 * time.Second
	// tokensInterval is how late a change of the tokens file can be noticed.
	tokensInterval = 2 * time.Second
	// reconcileInterval and rebuildInterval pace the projection.
	reconcileInterval = 2 * time.Second
	rebuildInterval   = 10 * time.Minute
)

// Config is the api's settings.
type Config = config.Config

// LoadConfig reads them from the environment.
func LoadConfig() (Config, error) { return config.Load() }

// LoadConfigFrom reads them from these variables instead.
func LoadConfigFrom(environment map[string]string) (Config, error) {
	return config.LoadFrom(environment)
}

// HashToken is a token as the tokens file holds it.
func HashToken(token string) string { return static.Hash(token) }

// identity is a driver that says who may do what, and what it does meanwhile.
type identity interface {
	httpapi.Authorizer
	Run(ctx context.Context) error
}

// openIdentity makes the driver that the settings name.
func openIdentity(c Config, log *zap.Logger) (identity, error) {
	if c.IdentityDriver == config.IdentityDirectus {
		driver, err := directus.New(c.Directus(log))
		if err != nil {
			return nil, fmt.Errorf("open identity: %w", err)
		}
		return driver, nil
	}
	driver, err := static.Open(c.StaticTokensFile, tokensInterval, log)
	if err != nil {
		return nil, fmt.Errorf("open STATIC_TOKENS_FILE: %w", err)
	}
	return driver, nil
}

// Throttle holds back what can wait: recording attempts. It is called after each
// piece of that work, with how long it took, and returns when the next may begin
// or ctx is done. It is called from several goroutines.
type Throttle func(ctx context.Context, worked time.Duration)

// Option is what a process that embeds the api adds to its settings.
type Option func(*App)

// WithThrottle has a throttle used. The api itself needs none: its database has
// CPUs of its own.
func WithThrottle(throttle Throttle) Option { return func(a *App) { a.throttle = throttle } }

// WithOwnDatabase says that no other process ever writes to the database. The
// embedded one is quick only with changes that need not watch out for others.
func WithOwnDatabase() Option { return func(a *App) { a.ownDatabase = true } }

// App is one api.
type App struct {
	config   Config
	log      *zap.Logger
	box      *secret.Box
	identity identity
	pages    *portal.Portal
	health   *observe.Health
	metrics  *prometheus.Registry
	ops      *observe.Ops
	listener net.Listener
	ready    chan struct{}
	throttle Throttle
	// ownDatabase says that nobody else writes to it.
	ownDatabase bool
	scrub       func(context.Context) error

	// prepared says that webhooks can be made, projectable that the streams are set
	// up.
	prepared, projectable atomic.Bool
}

// New reads the keyset and the tokens and binds the listeners. Nothing is
// connected until [App.Run]; an app that is not run must be closed.
func New(c Config, log *zap.Logger, options ...Option) (*App, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("check settings: %w", err)
	}
	box, err := secret.OpenKeysetFile(c.SecretsKeysetFile)
	if err != nil {
		return nil, fmt.Errorf("open SECRETS_KEYSET_FILE: %w", err)
	}
	who, err := openIdentity(c, log)
	if err != nil {
		return nil, err
	}
	pages, err := portal.New(portal.Deps{
		SessionCookie: c.SessionCookie, SignIn: c.IdentityDriver == config.IdentityStatic, DashboardURL: c.AdminBaseURL,
		AttemptsKept: c.AttemptsMaxAge, EventsKept: c.EventsMaxAge, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("make pages: %w", err)
	}
	checks, metrics := observe.NewHealth(), observe.NewRegistry()
	ops, err := observe.ListenOps(c.OpsAddr, checks, metrics)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", c.HTTPAddr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on HTTP_ADDR: %w", err), ops.Close())
	}
	a := &App{
		config: c, log: log, box: box, identity: who, pages: pages, health: checks, metrics: metrics,
		ops: ops, listener: listener, ready: make(chan struct{}),
	}
	for _, option := range options {
		option(a)
	}
	return a, nil
}

// Close releases the listeners of an app that is not run.
func (a *App) Close() error { return errors.Join(a.listener.Close(), a.ops.Close()) }

// Ready is closed when the store and the streams are set up for the first time.
// The API answers before that: what it can, and 503.
func (a *App) Ready() <-chan struct{} { return a.ready }

// URL is where the management API is, from this machine.
func (a *App) URL() string {
	host, port, err := net.SplitHostPort(a.listener.Addr().String())
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// SignInURL is where a browser is signed in with the token, once and soon, and shown
// the project's webhooks. The token itself is not in it.
func (a *App) SignInURL(token, projectID string) string {
	return a.URL() + a.pages.SignInPath(token, projectID)
}

// OpsAddr is where /livez, /readyz and /metrics are; empty when nowhere.
func (a *App) OpsAddr() string { return a.ops.Addr() }

// Run serves until ctx is done, then drains: not ready, no more records, requests
// under way end within the grace, NATS, MongoDB, and last the operators'
// listener. It waits for NATS and MongoDB as long as that takes. An error means
// that a part died.
func (a *App) Run(ctx context.Context) error {
	opsCtx, stopOps := context.WithCancel(context.WithoutCancel(ctx))
	ops := make(chan error, 1)
	go func() { ops <- a.ops.Run(opsCtx) }()
	err := a.run(ctx)
	stopOps()
	return errors.Join(err, <-ops)
}

func (a *App) run(ctx context.Context) (err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer func() {
		if cause := context.Cause(ctx); errors.Is(cause, topology.ErrConnectionLost) {
			err = errors.Join(err, cause)
		}
		end(nil)
	}()
	webhooks, err := store.Open(ctx, a.config.MongoDBURI, a.config.MongoDBDatabase, a.log)
	if err != nil {
		return errors.Join(err, a.listener.Close())
	}
	defer a.closing(ctx, "mongodb", webhooks.Close)
	if a.ownDatabase {
		webhooks.Alone()
	}
	nc, err := topology.Connect(topology.Connection{
		URL: a.config.NATSURL, CredentialsFile: a.config.NATSCredentialsFile, Name: "webhooks-api",
		Lost: func(err error) {
			a.health.Dead(err.Error())
			end(err)
		},
	}, a.log)
	if err != nil {
		return errors.Join(err, a.listener.Close())
	}
	defer a.closing(ctx, "nats", func(ctx context.Context) error { return flushAndClose(ctx, nc) })
	js, err := jetstream.New(nc)
	if err != nil {
		return errors.Join(fmt.Errorf("open jetstream: %w", err), a.listener.Close())
	}
	projector := projection.New(projection.Deps{
		Store: webhooks, JS: js, Settings: a.config.Streams(), Log: a.log, Metrics: projection.NewMetrics(a.metrics),
		Options: projection.Options{Reconcile: reconcileInterval, Rebuild: rebuildInterval},
	})
	publish, err := publisher.New(nc)
	if err != nil {
		return errors.Join(err, a.listener.Close())
	}
	recorder := deliverylog.New(deliverylog.Deps{
		Store: webhooks, JS: js, Throttle: a.throttle, Log: a.log, Metrics: deliverylog.NewMetrics(a.metrics),
		Erased: erase.NewKnown(webhooks).Apply,
		Health: replay.Recording{Store: webhooks, Then: health.New(health.Deps{
			Store: webhooks, NATS: nc, Throttle: a.throttle, Log: a.log, Metrics: health.NewMetrics(a.metrics),
			Publish: publish.Publish,
			Project: func(ctx context.Context, projectID, id string) { projector.Project(ctx, projectID, id) },
		})},
	})
	erasures := erase.New(erase.Deps{Store: webhooks, JS: js, Scrub: a.scrub, Log: a.log})
	replays := replay.New(replay.Deps{Store: webhooks, JS: js, Log: a.log})
	server, err := httpapi.New(httpapi.Deps{ //nolint:contextcheck // its handlers use their requests' contexts
		Store:         webhooks,
		Access:        a.identity,
		Secrets:       a.box,
		Rules:         registration.URLRules{RequireHTTPS: a.config.RequireHTTPS, Address: egress.NewPolicy(a.config.AllowCIDRs).Check},
		Renderer:      payload.Renderer{AdminBaseURL: a.config.AdminBaseURL},
		Project:       projector.Project,
		Events:        topology.NewEventReader(js),
		Replays:       replays,
		Follower:      eventlog.New(js),
		Erasures:      erasures,
		EraseWait:     eraseWait,
		Ledger:        ledger.New(ledger.Deps{Store: webhooks, JS: js}),
		SendTest:      testdelivery.New(nc, a.config.TestTimeout).Send,
		Log:           a.log,
		Metrics:       httpapi.NewMetrics(a.metrics),
		SessionCookie: a.config.SessionCookie,
		CORSOrigins:   a.config.CORSOrigins,
		Limit:         a.config.MaxWebhooksPerProject,
		TestTimeout:   a.config.TestTimeout,

		Rate:           httpapi.Rate{PerSecond: a.config.RatePerSecond, Burst: a.config.RateBurst},
		TrustedProxies: a.config.TrustedProxies,
		Pages:          a.pages,
	})
	if err != nil {
		return errors.Join(err, a.listener.Close())
	}
	owner := topology.NewOwner(js, a.config.Streams(), a.log)
	a.addNotices(nc, owner, webhooks)

	group, stop := errgroup.WithContext(ctx)
	group.Go(func() error { return a.identity.Run(stop) })
	group.Go(func() error { return a.setUp(stop, webhooks, owner) })
	group.Go(func() error { return owner.Run(stop) })
	group.Go(func() error { return a.buildIndexes(stop, webhooks) })
	group.Go(func() error {
		select {
		case <-a.ready: // they need the store and the streams
		case <-stop.Done():
			return nil
		}
		group.Go(func() error { return projector.Run(stop) })
		group.Go(func() error { return recorder.Run(stop) })
		group.Go(func() error { return replays.Run(stop) })
		group.Go(func() error { return erasures.Run(stop) })
		group.Go(func() error { return a.expire(stop, a.expiring(webhooks, recorder)) })
		return nil
	})
	served := make(chan error, 1)
	go func() { served <- server.Serve(a.listener) }()
	select {
	case err = <-served:
		err = fmt.Errorf("serve api: %w", err)
		group.Go(func() error { return err })
	case <-stop.Done():
	}
	a.health.Drain()
	a.log.Info("stopping")
	err = group.Wait()
	return errors.Join(err, a.shutdown(ctx, server))
}

// insist tries until it succeeds or ctx is done.
func (a *App) insist(ctx context.Context, what string, done *atomic.Bool, attempt func(context.Context) error) error {
	pace := retry.Pace{First: 100 * time.Millisecond, Longest: 5 * time.Second}
	err := retry.Until(ctx, pace, func(err error, _ time.Duration) {
		a.log.Warn(what+" not set up, trying again", zap.Error(err))
	}, attempt)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("set up %s: %w", what, err)
	}
	done.Store(err == nil)
	return nil
}

// addNotices tells operators what is away. The api is ready without it: it answers
// what it can, and says 503 with a time to try again to the rest, which nobody
// would do in its place.
func (a *App) addNotices(nc *nats.Conn, owner *topology.Owner, webhooks *store.Store) {
	a.health.Notice("nats", func(context.Context) error { return topology.Connected(nc) })
	a.health.Notice("streams", func(context.Context) error { return owner.Err() })
	a.health.Notice("mongodb", func(ctx context.Context) error {
		if err := webhooks.Ping(ctx); err != nil {
			return fmt.Errorf("does not answer: %w", err)
		}
		return nil
	})
	a.health.Notice("start", func(context.Context) error {
		if !a.prepared.Load() || !a.projectable.Load() {
			return errors.New("store and streams are not set up yet")
		}
		return nil
	})
}

// shutdown lets requests under way end within the grace, and cuts off the rest.
func (a *App) shutdown(ctx context.Context, server *http.Server) error {
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.config.ShutdownGrace)
	defer cancel()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		a.log.Warn("requests were cut off: the grace was over")
		err = server.Close()
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("stop api: %w", err)
	}
	return nil
}

// closing ends a connection and logs what goes wrong: the work is done by then.
func (a *App) closing(ctx context.Context, what string, end func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := end(ctx); err != nil {
		a.log.Warn("connection not closed properly", zap.String("connection", what), zap.Error(err))
	}
}

// flushAndClose sends the acknowledgements that are still on their way out.
func flushAndClose(ctx context.Context, nc *nats.Conn) error {
	defer nc.Close()
	if !nc.IsConnected() {
		return nil
	}
	if err := nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}
