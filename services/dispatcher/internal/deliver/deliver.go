package deliver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/limiter"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

// Errors that hand a delivery back, uncounted.
var (
	// ErrStopping is returned for what the process does not begin any more.
	ErrStopping = errors.New("the process is stopping")
	// ErrNotKnown is returned while it is not known whether there is such a webhook.
	// Another dispatcher may know, and so may this one in a moment.
	ErrNotKnown = errors.New("the webhooks of the project are not known at the moment")
)

// errScarce says that there are no file descriptors, ports or memory left for a test.
var errScarce = errors.New("this process has no resources left for an attempt")

// Deps is what a deliverer needs.
type Deps struct {
	Registry  *registry.Registry
	Limiter   *limiter.Limiter
	Client    *egress.Client
	JetStream jetstream.JetStream
	// ServerTime is what the clock shows by which JetStream fires schedules, when ours
	// shows the given time.
	ServerTime func(time.Time) time.Time
	Retries    Retries
	Log        *zap.Logger
	Metrics    prometheus.Registerer
}

// Deliverer makes deliveries. It is safe for concurrent use.
type Deliverer struct {
	registry *registry.Registry
	limiter  *limiter.Limiter
	client   *egress.Client
	retries  Retries
	storage  *storage
	journal  *journal
	ranges   *rangeWriter
	metrics  *metrics
	log      *zap.Logger
}

// New returns a deliverer. [Deliverer.Stop] and [Deliverer.Close] end it.
func New(deps Deps) *Deliverer {
	s := newStorage(deps.JetStream, deps.ServerTime, deps.Log)
	return &Deliverer{
		registry: deps.Registry,
		limiter:  deps.Limiter,
		client:   deps.Client,
		retries:  deps.Retries,
		storage:  s,
		journal:  newJournal(s),
		ranges:   newRangeWriter(s),
		metrics:  newMetrics(deps.Metrics, deps.Limiter.Load, s.Refused),
		log:      deps.Log,
	}
}

// Deliver returns nil when the consequence of the delivery is stored: an attempt
// was made and recorded, with the next one on the schedule if there is to be one,
// or it is written down as due later. An error means neither, and the cause of the
// delivery is to be handed back. When ctx is done, an attempt under way is cut
// short and the delivery written down as due, uncounted.
func (d *Deliverer) Deliver(ctx context.Context, x Delivery) error {
	if err := d.storage.WaitOpen(ctx); err != nil {
		return err
	}
	webhook, ended := d.wanted(ctx, &x)
	if webhook == nil {
		return d.settle(&x, ended)
	}
	turn := d.limiter.Wait(ctx, limiter.Request{
		Endpoint: webhook.Endpoint, MaxPerSecond: webhook.MaxPerSecond, Behind: x.Behind, Bytes: x.Bytes, Background: x.background(),
	})
	if !turn.Go() {
		return d.park(&x, turn.NotBefore, turn.Cause)
	}
	webhook, ended = d.wanted(ctx, &x) // the wait may have been long
	if webhook == nil {
		d.limiter.Done(turn, limiter.Result{Ignore: true})
		return d.settle(&x, ended)
	}
	sent := d.send(ctx, &x, webhook, d.retries)
	d.limiter.Done(turn, sent.learned)
	return d.settle(&x, sent)
}

// wanted returns the webhook as it is now, or how the delivery ends: its webhook was
// deleted or disabled meanwhile, or [ErrNotKnown], which proves neither.
func (d *Deliverer) wanted(ctx context.Context, x *Delivery) (_ *registry.Webhook, ended result) {
	w, deleted := d.registry.Find(ctx, x.ProjectID, x.WebhookID)
	switch {
	case deleted:
		return nil, result{record: concluded(x, webhooksv1.Outcome_OUTCOME_DELETED)}
	case w == nil:
		return nil, result{err: ErrNotKnown}
	case !w.Active():
		return nil, result{record: concluded(x, webhooksv1.Outcome_OUTCOME_DISABLED)}
	default:
		return w, result{}
	}
}

// settle stores what became of a turn, and returns when it is stored.
func (d *Deliverer) settle(x *Delivery, r result) error {
	switch {
	case r.err != nil:
		return r.err
	case r.record == nil:
		return d.park(x, r.notBefore, r.cause)
	case r.record.GetOutcome() == webhooksv1.Outcome_OUTCOME_RETRY:
		// The schedule first: a crash in between repeats the attempt instead of
		// forgetting the delivery, and the record of the attempt is never without it.
		if err := d.schedule(x, r.next); err != nil {
			return err
		}
	}
	d.report(r.record)
	return d.journal.Append(r.record)
}

// schedule puts the next attempt on the schedule. The subject is the delivery's
// own, so writing it again replaces it.
func (d *Deliverer) schedule(x *Delivery, at time.Time) error {
	data, err := proto.Marshal(x.message(x.Attempt + 1))
	if err != nil {
		return fmt.Errorf("encode delivery %s: %w", x.ID, err)
	}
	later := topology.SubjectScheduled(x.WebhookID, x.ID)
	return d.storage.StoreUntil(at, &nats.Msg{Subject: later, Data: data}, topology.SubjectDelivery(x.WebhookID))
}

// park writes the delivery down as due later, as it is: it has not used up an
// attempt. One that has been owed for longer than its retries last ends instead
// when its receiver is failing: so few attempts are made then that it would never
// end.
func (d *Deliverer) park(x *Delivery, notBefore time.Time, cause limiter.Cause) error {
	if cause == limiter.Broken && time.Since(x.OwedSince) > d.retries.patience() {
		return d.settle(x, result{record: concluded(x, webhooksv1.Outcome_OUTCOME_EXHAUSTED)})
	}
	d.metrics.parked.WithLabelValues(cause.String()).Inc()
	return d.ranges.Append(*x, notBefore)
}

// PausedError says that the receiver has asked to be left alone until a time.
type PausedError struct{ Until time.Time }

func (e *PausedError) Error() string {
	return "the receiver asked for a pause until " + e.Until.UTC().Format(time.RFC3339)
}

// Test makes one attempt that is never repeated, records it, and returns the
// record: a host's test. It changes nothing about the webhook. No attempt is made,
// and a [PausedError] returned, while the receiver has asked to be left alone.
// [ErrStopping] says that the process stopped before there was a result.
func (d *Deliverer) Test(ctx context.Context, x Delivery, w *registry.Webhook) (*webhooksv1.Attempt, error) {
	if err := d.storage.WaitOpen(ctx); err != nil {
		return nil, fmt.Errorf("wait until the record can be stored: %w", err)
	}
	if until := d.limiter.Paused(w.Endpoint); !until.IsZero() {
		return nil, &PausedError{until}
	}
	sent := d.send(ctx, &x, w, Retries{Attempts: 1})
	switch {
	case sent.err != nil:
		return nil, sent.err
	case sent.record == nil && sent.cause == limiter.Stopping:
		return nil, ErrStopping
	case sent.record == nil:
		return nil, errScarce
	case sent.record.GetOutcome() == webhooksv1.Outcome_OUTCOME_DELIVERED:
		d.limiter.Recovered(w.Endpoint) // the host has mended it
	}
	d.report(sent.record)
	return sent.record, d.journal.Append(sent.record)
}

// Storing blocks while JetStream refuses what has to be stored, and nothing is to
// be begun of which no record could be kept. It returns an error when ctx is done
// before that ends.
func (d *Deliverer) Storing(ctx context.Context) error { return d.storage.WaitOpen(ctx) }

// Refusals counts the messages that JetStream has refused to store so far, also
// those that it has stored since.
func (d *Deliverer) Refusals() uint64 { return d.storage.everRefused.Load() }

// Stop writes down as due what waits in line, and lets nothing begin any more.
// Attempts under way go on until their context is done.
func (d *Deliverer) Stop() { d.limiter.Close() }

// Close gives up what JetStream has not stored yet: those calls of Deliver return
// an error. It is called when all have returned, or may not take longer.
func (d *Deliverer) Close() { d.storage.Close() }
