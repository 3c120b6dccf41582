// Package app wires the dispatcher together: the life of a delivery, in the
// order of the calls.
package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/dispatcher/internal/config"
	"github.com/dembrane/webhooks/services/dispatcher/internal/deliver"
	"github.com/dembrane/webhooks/services/dispatcher/internal/due"
	"github.com/dembrane/webhooks/services/dispatcher/internal/eventbody"
	"github.com/dembrane/webhooks/services/dispatcher/internal/hints"
	"github.com/dembrane/webhooks/services/dispatcher/internal/intake"
	"github.com/dembrane/webhooks/services/dispatcher/internal/limiter"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
	"github.com/dembrane/webhooks/services/dispatcher/internal/testdelivery"
)

const (
	// askTimeout bounds each request to JetStream during set-up.
	askTimeout = 5 * time.Second
	// flushTimeout is how long a stop waits, after the grace, for records to be
	// stored.
	flushTimeout = 5 * time.Second
	// prefetchBytes bounds the events that JetStream sends ahead, for each part of
	// the projects, and prefetchEvents their number. Larger events are asked for one
	// by one.
	prefetchBytes  = 1 << 20
	prefetchEvents = 2000
	// prefetchOwed bounds in bytes what is due and sent ahead.
	prefetchOwed = 2 << 20
	// prefetchDue bounds the due deliveries that JetStream sends ahead; each is a
	// few hundred bytes.
	prefetchDue = 2000
	// maxRanges bounds the ranges that all dispatchers together work on, and
	// prefetchRanges those that JetStream sends ahead.
	maxRanges      = 256
	prefetchRanges = 16
	// heldInTransit is how many bytes of events may be held besides those of attempts
	// and lines: while they are written down as due later.
	heldInTransit = 64 << 20
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

func (a *App) run(ctx context.Context) (err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer func() {
		if cause := context.Cause(ctx); errors.Is(cause, topology.ErrConnectionLost) {
			err = errors.Join(err, cause)
		}
		end(nil)
	}()
	nc, err := a.connect("webhooks-dispatcher", end)
	if err != nil {
		return err
	}
	defer nc.Close()
	// A nats-server cuts off a client for which it has to buffer more than 64 MiB. So
	// what is read back does not add up with what is sent ahead.
	back, err := a.connect("webhooks-dispatcher-events", end)
	if err != nil {
		return err
	}
	defer back.Close()
	a.health.Add("nats", func(context.Context) error {
		return errors.Join(topology.Connected(nc), topology.Connected(back))
	})
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(unstoredMax), jetstream.WithPublishAsyncTimeout(10*time.Second))
	if err != nil {
		return fmt.Errorf("open jetstream: %w", err)
	}
	reading, err := jetstream.New(back)
	if err != nil {
		return fmt.Errorf("open jetstream: %w", err)
	}
	a.health.Add("streams", func(ctx context.Context) error { return topology.Check(ctx, js) })
	if err := a.awaitStreams(ctx, js); err != nil || ctx.Err() != nil {
		return err
	}
	return a.dispatch(ctx, nc, js, topology.NewEventReader(reading))
}

// connect opens a connection whose loss ends the process.
func (a *App) connect(name string, end func(error)) (*nats.Conn, error) {
	nc, err := topology.Connect(topology.Connection{
		URL: a.config.NATSURL, CredentialsFile: a.config.NATSCredentialsFile, Name: name,
		Lost: func(err error) {
			a.health.Dead(err.Error())
			end(err)
		},
	}, a.log)
	if err != nil {
		return nil, fmt.Errorf("connect as %s: %w", name, err)
	}
	return nc, nil
}

// awaitStreams waits until an api has made the streams, however long that takes.
func (a *App) awaitStreams(ctx context.Context, js jetstream.JetStream) error {
	err := retry.Until(ctx, retry.Pace{First: 100 * time.Millisecond, Longest: 2 * time.Second},
		func(err error, wait time.Duration) {
			say := a.log.Info
			if wait > time.Second { // an api that starts at the same time would have made them by now
				say = a.log.Warn
			}
			say("waiting for the streams", zap.Error(err))
		},
		func(ctx context.Context) error {
			look, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			return topology.Check(look, js)
		})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("wait for the streams: %w", err)
	}
	return nil
}

// dispatch is the dispatcher.
func (a *App) dispatch(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, back *topology.EventReader) error {
	client := egress.New(egress.Options{
		Policy:         egress.NewPolicy(a.config.AllowCIDRs),
		AttemptTimeout: a.config.AttemptTimeout,
		ConnectTimeout: a.config.ConnectTimeout,
		TLSTimeout:     a.config.TLSTimeout,
	})
	defer client.Close()
	webhooks := registry.Open(a.box, a.log)
	a.health.Add("bucket", func(context.Context) error {
		if !webhooks.Current() {
			return errors.New("changes of the last second are not known, so no event is taken in; the leader of the bucket WEBHOOKS does not answer")
		}
		return nil
	})
	others := hints.New(nc, a.log)
	limits := limiter.New(limiter.Limits{
		Concurrency: a.config.LaneConcurrency,
		MaxWait:     a.config.LaneMaxWait,
		MaxInFlight: a.config.MaxInFlight,
		MaxWaiting:  a.config.MaxUnsettled,
		MaxBytes:    a.config.MaxInFlightBytes / 4,
	}, others.Tell)
	defer limits.Close()
	clock := &topology.Clock{}
	deliverer := deliver.New(deliver.Deps{
		ServerTime: clock.Server, Registry: webhooks, Limiter: limits, Client: client, JetStream: js, Log: a.log, Metrics: a.metrics,
		Retries: deliver.Retries{Attempts: a.config.RetryAttempts, First: a.config.RetryFirst, Multiplier: a.config.RetryMultiplier},
	})
	renderer := eventbody.NewRenderer(payload.Renderer{AdminBaseURL: a.config.AdminBaseURL}, a.config.MaxInFlightBytes)
	rejecter := eventbody.NewRejecter(js, a.log, a.metrics)
	events := intake.New(intake.Deps{
		Event: back.Event, Registry: webhooks, Deliver: deliverer.Deliver, Rest: deliverer.Rest, Renderer: renderer, Rejecter: rejecter, Metrics: a.metrics,
	})
	later, err := due.New(due.Deps{
		Deliver: deliverer.Deliver, Rest: deliverer.Rest, Postpone: deliverer.Postpone, Events: back,
		Renderer: renderer, Rejecter: rejecter, Log: a.log,
	})
	if err != nil {
		return err
	}
	tests := testdelivery.New(deliverer.Test, a.box, payload.Renderer{AdminBaseURL: a.config.AdminBaseURL}, a.log)

	working, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	single, many := &room{stream: topology.StreamDeliveries}, &room{stream: topology.StreamRanges}
	a.health.Add("room", func(context.Context) error { return errors.Join(single.Err(), many.Err()) })
	consumers := newConsumers(js, deliverer.Storing, a.config.Consumption().AckWait, a.config.MaxInFlightBytes/2+heldInTransit, a.log)
	parts, taking := errgroup.WithContext(ctx)
	parts.Go(func() error { return webhooks.Run(taking, js) })
	parts.Go(func() error { return others.Run(taking, limits) })
	parts.Go(func() error { return topology.KeepCheckpoints(taking, js, a.log) })
	parts.Go(func() error { return topology.KeepSchedules(taking, js, deliverer.Refusals, a.log) })
	parts.Go(func() error { return clock.Run(taking, js, a.log) })
	parts.Go(func() error { return single.run(taking, js, a.log) })
	parts.Go(func() error { return many.run(taking, js, a.log) })
	parts.Go(func() error { return tests.Run(taking, nc, a.version) })
	parts.Go(func() error {
		select {
		case <-webhooks.Ready(): // before that, an event that matches nothing proves nothing
		case <-taking.Done():
			return nil
		}
		close(a.ready)
		a.log.Info("ready")
		a.health.Add("consumers", func(context.Context) error { return consumers.Err() })
		consumers.run(taking, working, func(ctx context.Context) ([]consumption, error) {
			return a.consumptions(ctx, js, handlers{events: events, later: later, single: single, many: many})
		})
		return nil
	})
	<-taking.Done()
	a.health.Drain()
	a.log.Info("stopping")
	ended := make(chan error, 1)
	go func() {
		err := parts.Wait()
		tests.Wait()
		ended <- err
	}()
	return a.drain(ctx, drain{deliverer: deliverer, cut: cut, ended: ended, nc: nc})
}

// drain is what a stop needs.
type drain struct {
	deliverer *deliver.Deliverer
	cut       context.CancelCauseFunc
	ended     chan error // what has been taken is settled
	nc        *nats.Conn
}

// drain ends what was begun: what waits in line is written down as due, attempts
// under way may end within the grace and are cut short after it, and what became
// of them is stored. Nothing new is taken any more. Written down, and not handed
// back, because the other deliveries of the same event may have been made, and
// because a broker that stops as well forgets what was handed back until its ack
// wait is over.
func (a *App) drain(ctx context.Context, d drain) error {
	d.deliverer.Stop()
	var died error
	settled := await(d.ended, a.config.ShutdownGrace, &died)
	if !settled {
		a.log.Info("grace is over, cutting attempts short")
		d.cut(deliver.ErrStopping)
		settled = await(d.ended, flushTimeout, &died)
	}
	d.deliverer.Close()
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := d.nc.FlushWithContext(flush); err != nil {
		a.log.Warn("acknowledgements not flushed, some deliveries come again", zap.Error(err))
	}
	d.nc.Close() // without NATS, its client takes its time to end a consumer
	if !settled {
		died = <-d.ended
	}
	a.log.Info("stopped")
	return died
}

// await waits for an end for so long and reports whether it came.
func await(ended <-chan error, limit time.Duration, err *error) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case *err = <-ended:
		return true
	case <-timer.C:
		return false
	}
}

// handlers is who handles what is consumed, and where there has to be room for that.
type handlers struct {
	events       *intake.Intake
	later        *due.Due
	single, many *room
}

// consumptions is everything that is consumed. What is due goes on while there is
// little room, so that there is room again: for one delivery, one message at most is
// written, for a range, many single ones.
func (a *App) consumptions(ctx context.Context, js jetstream.JetStream, h handlers) ([]consumption, error) {
	settings := a.config.Consumption()
	parts, err := topology.IntakeConsumers(ctx, js, settings)
	if err != nil {
		return nil, err
	}
	var all []consumption
	for _, part := range parts {
		all = append(all, consumption{
			Consuming: topology.Consuming{
				Stream: topology.StreamEvents, Consumer: part, Messages: prefetchEvents, Bytes: prefetchBytes,
			},
			needs: []*room{h.single, h.many}, skip: h.events.Unwanted, handle: h.events.Handle,
		})
	}
	ranges := settings
	ranges.MaxAckPending = maxRanges
	return append(all,
		consumption{
			Consuming: topology.Consuming{
				Stream: topology.StreamDeliveries, Consumer: topology.Due(settings), Messages: prefetchDue, Bytes: prefetchOwed,
			},
			handle: h.later.Handle,
		},
		consumption{
			Consuming: topology.Consuming{
				Stream: topology.StreamRanges, Consumer: topology.Ranges(ranges), Messages: prefetchRanges, Bytes: prefetchOwed,
			},
			needs: []*room{h.single}, handle: h.later.HandleRange,
		}), nil
}
