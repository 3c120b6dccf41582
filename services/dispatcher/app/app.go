// Package app wires the dispatcher together: the life of a delivery, in the
// order of the calls.
package app

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/dispatcher/internal/config"
	"github.com/dembrane/webhooks/services/dispatcher/internal/deliver"
	"github.com/dembrane/webhooks/services/dispatcher/internal/due"
	"github.com/dembrane/webhooks/services/dispatcher/internal/intake"
	"github.com/dembrane/webhooks/services/dispatcher/internal/lane"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
	"github.com/dembrane/webhooks/services/dispatcher/internal/trial"
)

const (
	// askTimeout bounds each request to JetStream during set-up.
	askTimeout = 5 * time.Second
	// flushTimeout is how long a stop waits, after the grace, for records to be
	// stored.
	flushTimeout = 5 * time.Second
	// prefetchBytes bounds the events that JetStream sends ahead, for each part of
	// the projects. It holds one of the largest, and what JetStream writes around it;
	// all parts together stay below the 64 MiB that a nats-server buffers.
	prefetchBytes = topology.MaxEventBytes + 2*topology.HeaderAllowance
	// prefetchDue bounds the due deliveries that JetStream sends ahead; each is a
	// few hundred bytes.
	prefetchDue = 2000
	// unstoredMax bounds the publishes that JetStream has not answered.
	unstoredMax = 8192
)

// Config is the dispatcher's settings.
type Config = config.Config

// LoadConfig reads them from the environment.
func LoadConfig() (Config, error) { return config.Load() }

// LoadConfigFrom reads them from these variables instead.
func LoadConfigFrom(environment map[string]string) (Config, error) {
	return config.LoadFrom(environment)
}

// App is one dispatcher.
type App struct {
	config  Config
	log     *zap.Logger
	box     *secret.Box
	health  *observe.Health
	metrics *prometheus.Registry
	ops     *observe.Ops
	ready   chan struct{}
	version string
}

// New reads the keyset and binds the operators' listener. Nothing is connected
// until [App.Run].
func New(c Config, version string, log *zap.Logger) (*App, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	box, err := secret.OpenKeysetFile(c.SecretsKeysetFile)
	if err != nil {
		return nil, fmt.Errorf("open SECRETS_KEYSET_FILE: %w", err)
	}
	health, metrics, ready := observe.NewHealth(), observe.NewRegistry(), make(chan struct{})
	health.Add("registrations", func(context.Context) error {
		select {
		case <-ready:
			return nil
		default:
			return errors.New("not loaded yet; the api writes them to the bucket WEBHOOKS when it starts")
		}
	})
	ops, err := observe.ListenOps(c.OpsAddr, health, metrics)
	if err != nil {
		return nil, err
	}
	return &App{
		config: c, log: log, box: box, health: health, metrics: metrics, ops: ops,
		ready: ready, version: version,
	}, nil
}

// Ready is closed when the first event can be taken in.
func (a *App) Ready() <-chan struct{} { return a.ready }

// OpsAddr is where /livez, /readyz and /metrics are; empty when nowhere.
func (a *App) OpsAddr() string { return a.ops.Addr() }

// Run dispatches until ctx is done, then drains: not ready, nothing new, what is
// under way ends within the grace, the rest is handed back uncounted, records are
// written, NATS is closed, and last the operators' listener. It waits for NATS as
// long as that takes. An error means that a part died.
func (a *App) Run(ctx context.Context) error {
	ctx, die := context.WithCancel(ctx)
	defer die()
	opsCtx, stopOps := context.WithCancel(context.WithoutCancel(ctx))
	defer stopOps()
	ops := make(chan error, 1)
	go func() {
		ops <- a.ops.Run(opsCtx)
		die()
	}()
	err := a.run(ctx)
	stopOps()
	return errors.Join(err, <-ops)
}

func (a *App) run(ctx context.Context) error {
	nc, err := topology.Connect(topology.Connection{
		URL: a.config.NATSURL, CredentialsFile: a.config.NATSCredentialsFile, Name: "webhooks-dispatcher",
	}, a.log)
	if err != nil {
		return err
	}
	defer nc.Close()
	a.health.Add("nats", func(context.Context) error {
		if !nc.IsConnected() {
			return errors.New("not connected")
		}
		return nil
	})
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(unstoredMax), jetstream.WithPublishAsyncTimeout(10*time.Second))
	if err != nil {
		return fmt.Errorf("open jetstream: %w", err)
	}
	events, err := a.ensure(ctx, js)
	if err != nil || ctx.Err() != nil {
		return err
	}
	return a.dispatch(ctx, nc, js, events)
}

// ensure sets up the streams, however long NATS takes to come up.
func (a *App) ensure(ctx context.Context, js jetstream.JetStream) (events jetstream.Stream, _ error) {
	attempt := func() error {
		setup, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		if err := topology.Ensure(setup, js, a.config.Streams()); err != nil {
			return err
		}
		var err error
		events, err = js.Stream(setup, topology.StreamEvents)
		return err
	}
	policy := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))
	err := backoff.RetryNotify(attempt, backoff.WithContext(policy, ctx), func(err error, _ time.Duration) {
		a.log.Warn("streams not set up, trying again", zap.Error(err))
	})
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("set up streams: %w", err)
	}
	return events, nil
}

// keepBusy is how many attempts at once there may be for each processor, however
// many goroutines wait for it: more made no delivery quicker, and fewer made some
// slower.
const keepBusy = 128

// dispatch is the dispatcher.
func (a *App) dispatch(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, events jetstream.Stream) error {
	renderer := payload.Renderer{AdminBaseURL: a.config.AdminBaseURL}
	client := egress.New(egress.Options{
		Policy:         egress.NewPolicy(a.config.AllowCIDRs),
		AttemptTimeout: a.config.AttemptTimeout,
		ConnectTimeout: a.config.ConnectTimeout,
		TLSTimeout:     a.config.TLSTimeout,
	})
	defer client.Close()
	webhooks := registry.Open(a.box, a.log)
	deliverer := deliver.New(deliver.Parts{
		Registry: webhooks, Client: client, JetStream: js, Log: a.log, Metrics: a.metrics,
		Retries: deliver.Retries{Attempts: a.config.RetryAttempts, First: a.config.RetryFirst, Multiplier: a.config.RetryMultiplier},
		Lanes: lane.Limits{
			Concurrency: a.config.LaneConcurrency, MaxWait: a.config.LaneMaxWait,
			MaxInFlight: a.config.MaxInFlight, MaxBytes: a.config.MaxInFlightBytes,
			MinInFlight: keepBusy * runtime.GOMAXPROCS(0),
			// Several for each event: it may be wanted by many webhooks, and a burst at
			// one endpoint leaves places to others.
			MaxWaiting: 16 * a.config.MaxUnsettled,
			// So that three dispatchers' lines to one endpoint leave a quarter of what its
			// part of the projects may have unsettled.
			MaxLine: max(1, a.config.MaxUnsettled/topology.Partitions/4),
		},
	})
	taking := intake.New(intake.Parts{
		Registry: webhooks, Deliver: deliverer.Deliver, JetStream: js, Renderer: renderer,
		MaxBytes: a.config.MaxInFlightBytes, Log: a.log, Metrics: a.metrics,
	})
	falling, err := due.New(due.Parts{
		Deliver: deliverer.Deliver, Events: events, Renderer: renderer, MaxBytes: a.config.MaxInFlightBytes, Log: a.log,
	})
	if err != nil {
		return err
	}
	tests := trial.New(deliverer.Try, a.box, renderer, a.log)

	sources, stop := errgroup.WithContext(ctx)
	sources.Go(func() error { return webhooks.Run(stop, js) })
	sources.Go(func() error { return deliverer.Run(stop) })
	sources.Go(func() error { return tests.Run(stop, nc, a.version) })
	sources.Go(func() error { return taking.Run(stop) })
	sources.Go(func() error { return a.takeMessages(stop, js, webhooks, taking, falling) })
	<-stop.Done()
	a.health.Drain()
	a.log.Info("stopping")

	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.config.ShutdownGrace+flushTimeout)
	defer cancel()
	deliverer.Drain(drain, a.config.ShutdownGrace)
	tests.Wait()
	var died error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		died = sources.Wait()
	}()
	select {
	case <-ended:
	case <-drain.Done(): // without NATS, its client takes its time to end a consumer
	}
	if err := nc.FlushWithContext(drain); err != nil {
		a.log.Warn("acknowledgements not flushed, some deliveries come again", zap.Error(err))
	}
	nc.Close()
	<-ended
	a.log.Info("stopped")
	return died
}

// takeMessages consumes once the registrations are known: before that, an event
// that matches nothing would prove nothing.
func (a *App) takeMessages(ctx context.Context, js jetstream.JetStream, webhooks *registry.Registry, taking *intake.Intake, falling *due.Due) error {
	defer taking.Close()
	select {
	case <-webhooks.Ready():
	case <-ctx.Done():
		return nil
	}
	close(a.ready)
	a.log.Info("ready")
	consumers, ctx := errgroup.WithContext(ctx)
	for _, part := range topology.Intake(a.config.Consumption()) {
		consumers.Go(func() error {
			return consume(ctx, js, consumption{
				stream: topology.StreamEvents, consumer: part,
				prefetch: jetstream.PullMaxBytes(prefetchBytes), handle: taking.Handle,
			}, a.log)
		})
	}
	consumers.Go(func() error {
		return consume(ctx, js, consumption{
			stream: topology.StreamDeliveries, consumer: topology.Due(a.config.Consumption()),
			prefetch: jetstream.PullMaxMessages(prefetchDue), handle: falling.Handle,
		}, a.log)
	})
	return consumers.Wait()
}
