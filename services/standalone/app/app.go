// Package app runs everything in one process: a NATS server, a database, the api
// and the dispatcher, the latter two exactly as they run on their own. What they
// keep is in one folder, and a restart finds all of it again.
package app

import (
	"context"
	"errors"
	"fmt"
	"os"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	api "github.com/dembrane/webhooks/services/api/app"
	dispatcher "github.com/dembrane/webhooks/services/dispatcher/app"
	"github.com/dembrane/webhooks/services/standalone/embedded"
	"github.com/dembrane/webhooks/services/standalone/internal/config"
	"github.com/dembrane/webhooks/services/standalone/internal/throttle"
)

// Config is standalone's settings.
type Config = config.Config

// LoadConfig takes settings from the environment; what given holds under the same
// names wins over it.
func LoadConfig(given map[string]string) (Config, error) {
	c, err := config.Load(given)
	if err != nil {
		return c, fmt.Errorf("configure the standalone: %w", err)
	}
	return c, nil
}

// Running is where the parts of a running standalone are.
type Running struct {
	API     string
	NATS    string
	MongoDB string
	// Ops has the dispatcher's metrics; empty without OPS_ADDR.
	Ops string
	// Token manages every project; empty when the tokens file was given.
	Token string
	// SignInURL is where a browser is signed in with the token, once and within
	// minutes, and shown the project's webhooks.
	SignInURL func(projectID string) string
}

// App is one standalone.
type App struct {
	config  Config
	version string
	log     *zap.Logger
	release func()
	token   string
	ready   chan Running
}

// New takes the folder of data for this process and makes what is missing in it.
// Whoever makes an App runs it.
func New(c Config, version string, log *zap.Logger) (*App, error) {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make DATA_DIR: %w", err)
	}
	release, err := lock(c.LockFile())
	if err != nil {
		return nil, fmt.Errorf("take DATA_DIR %s: %w", c.DataDir, err)
	}
	token, err := initFolder(c)
	if err != nil {
		release()
		return nil, err
	}
	return &App{config: c, version: version, log: log, release: release, token: token, ready: make(chan Running, 1)}, nil
}

// Ready receives once, when everything can be used.
func (a *App) Ready() <-chan Running { return a.ready }

// Run serves until ctx is done. Then the api and the dispatcher drain while both
// servers are still there, and the servers follow: the broker, then the database.
// A part that dies ends all others; the error says which one it was.
func (a *App) Run(ctx context.Context) error {
	defer a.release()
	if a.config.LoopbackAssumed {
		a.log.Info("ALLOW_CIDRS is not set: webhooks may point to this machine", zap.String("allowed", config.Loopback))
	}
	mongo, err := embedded.StartMongo(ctx, a.config.MongoDir(), a.log)
	if err != nil {
		return err
	}
	defer mongo.Stop()
	nats, err := embedded.StartNATS(ctx, a.config.NATSAddr, a.config.NATSStore(), a.log)
	if err != nil {
		return err
	}
	defer nats.Stop()
	dispatching, err := a.dispatcher(nats) //nolint:contextcheck // it only binds and reads files
	if err != nil {
		return err
	}
	settings, err := a.config.API(nats.URL(), mongo.URI())
	if err != nil {
		return err
	}
	managing, err := a.api(settings, mongo) //nolint:contextcheck // it only binds and reads files
	if err != nil {
		return err
	}

	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return alive(ctx, "dispatcher", dispatching.Run(ctx)) })
	parts.Go(func() error { return alive(ctx, "api", managing.Run(ctx)) })
	parts.Go(func() error { return nats.Watch(ctx) })
	parts.Go(func() error { return mongo.Watch(ctx) })
	parts.Go(func() error {
		for _, ready := range []<-chan struct{}{managing.Ready(), dispatching.Ready()} {
			select {
			case <-ready:
			case <-ctx.Done():
				return nil
			}
		}
		// What it makes quicker works without it as well.
		if err := mongo.IndexIDs(ctx, settings.MongoDBDatabase); err != nil {
			a.log.Warn("look-ups in the database stay slow", zap.Error(err))
		}
		running := Running{API: managing.URL(), NATS: nats.URL(), MongoDB: mongo.URI(), Token: a.token}
		running.SignInURL = func(projectID string) string { return managing.SignInURL(a.token, projectID) }
		if addr := dispatching.OpsAddr(); addr != "" {
			running.Ops = "http://" + addr
		}
		a.ready <- running
		return nil
	})
	return parts.Wait()
}

func (a *App) dispatcher(nats *embedded.NATS) (*dispatcher.App, error) {
	c, err := a.config.Dispatcher(nats.URL())
	if err != nil {
		return nil, err
	}
	part, err := dispatcher.New(c, a.version, a.log.Named("dispatcher"))
	if err != nil {
		return nil, fmt.Errorf("set up the dispatcher: %w", err)
	}
	return part, nil
}

func (a *App) api(c api.Config, mongo *embedded.Mongo) (*api.App, error) {
	part, err := api.New(c, a.log.Named("api"), api.WithThrottle(throttle.CPU{}.Wait), api.WithOwnDatabase(),
		api.WithScrub(func(ctx context.Context) error { return mongo.Scrub(ctx, c.MongoDBDatabase) }))
	if err != nil {
		return nil, fmt.Errorf("set up the api: %w", err)
	}
	return part, nil
}

// alive makes an error of a part that ended although nobody asked it to.
func alive(ctx context.Context, part string, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("run the %s: %w", part, err)
	case ctx.Err() == nil:
		return fmt.Errorf("run the %s: %w", part, errors.New("it ended by itself"))
	default:
		return nil
	}
}
