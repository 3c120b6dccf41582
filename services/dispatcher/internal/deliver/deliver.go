package deliver

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/lane"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

// tendEvery is how often lanes are looked after.
const tendEvery = 500 * time.Millisecond

var errDraining = errors.New("the process is stopping")

// Parts is what a deliverer is made of.
type Parts struct {
	Registry  *registry.Registry
	Client    *egress.Client
	JetStream jetstream.JetStream
	Log       *zap.Logger
	Metrics   prometheus.Registerer
	Retries   Retries
	Lanes     lane.Limits
}

// Deliverer makes deliveries. It is safe for concurrent use.
type Deliverer struct {
	registry *registry.Registry
	client   *egress.Client
	retries  Retries
	lanes    *lane.Lanes[*Delivery]
	writer   *writer
	journal  *journal
	metrics  *metrics
	log      *zap.Logger

	attempts context.Context //nolint:containedctx // cut short by the end of the grace, not by a caller
	cut      context.CancelCauseFunc
	running  sync.WaitGroup

	mu       sync.RWMutex // held for reading while a delivery enters
	draining bool
}

// New returns a deliverer; [Deliverer.Drain] ends it.
func New(p Parts) *Deliverer {
	attempts, cut := context.WithCancelCause(context.Background())
	w := newWriter(p.JetStream, p.Log)
	lanes := lane.New[*Delivery](p.Lanes)
	return &Deliverer{
		registry: p.Registry,
		client:   p.Client,
		retries:  p.Retries,
		lanes:    lanes,
		writer:   w,
		journal:  newJournal(w),
		metrics:  newMetrics(p.Metrics, lanes.InFlight, lanes.Len),
		log:      p.Log,
		attempts: attempts,
		cut:      cut,
	}
}

// Deliver takes a delivery over. It does not wait for the attempt: its source is
// told when the delivery is settled. It may block while JetStream is slow.
func (d *Deliverer) Deliver(x *Delivery) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.draining {
		x.Source.Settle(false)
		return
	}
	w, outcome, ended := d.wanted(x)
	if ended {
		d.conclude(x, outcome)
		return
	}
	x.endpoint = w.Endpoint
	switch verdict, at := d.lanes.Offer(x.endpoint, x, time.Now()); verdict {
	case lane.Send:
		d.running.Add(1)
		go d.run(x)
	case lane.Park:
		d.park(x, at)
	case lane.Wait:
	}
}

// enter counts an attempt that no lane knows, unless the process is stopping.
func (d *Deliverer) enter() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.draining {
		return false
	}
	d.running.Add(1)
	return true
}

// wanted returns the webhook as it is now, or the outcome of a delivery whose
// webhook was deleted or disabled meanwhile.
func (d *Deliverer) wanted(x *Delivery) (_ *registry.Webhook, outcome webhooksv1.Outcome, ended bool) {
	w := d.registry.Get(x.WebhookID)
	switch {
	case w == nil:
		return nil, webhooksv1.Outcome_OUTCOME_DELETED, true
	case !w.Active():
		return nil, webhooksv1.Outcome_OUTCOME_DISABLED, true
	default:
		return w, webhooksv1.Outcome_OUTCOME_UNSPECIFIED, false
	}
}

// run makes one attempt after the other for as long as its lane has the next one
// waiting.
func (d *Deliverer) run(x *Delivery) {
	defer d.running.Done()
	for x != nil {
		endpoint := x.endpoint
		result := d.attempt(x)
		x = nil
		for _, next := range d.lanes.Done(endpoint, result, time.Now()) {
			if next.Verdict == lane.Send {
				x = next.Delivery
				continue
			}
			d.park(next.Delivery, next.At)
		}
	}
}

// Run does what has to be done now and then, until ctx is done.
func (d *Deliverer) Run(ctx context.Context) error {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			d.tend(now)
		}
	}
}

// tend puts on the schedule what stands in line where nothing moves any more.
func (d *Deliverer) tend(now time.Time) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.draining {
		return // what is in line is being handed back
	}
	for _, next := range d.lanes.Tend(now) {
		d.park(next.Delivery, next.At)
	}
}

// Drain ends the deliverer. Deliveries that wait in line are handed back at once,
// attempts under way may finish within grace and are handed back after it, and
// the records of what was done are written before it returns or ctx is done. What
// the sources still bring is handed back, so it need not wait for them to stop.
func (d *Deliverer) Drain(ctx context.Context, grace time.Duration) {
	defer context.AfterFunc(ctx, d.writer.cancel)() // whatever waits for a slow JetStream ends with ctx
	d.mu.Lock()
	d.draining = true
	d.mu.Unlock()
	for _, x := range d.lanes.Clear() {
		x.Source.Settle(false)
	}
	finished := make(chan struct{})
	go func() {
		d.running.Wait()
		close(finished)
	}()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
		d.log.Info("grace is over, handing back attempts under way", zap.Int("attempts", d.lanes.InFlight()))
	case <-ctx.Done():
	}
	d.cut(errDraining)
	<-finished
	d.journal.close()
	d.writer.close(ctx)
}
