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
	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/lane"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

// tendEvery is how often lanes are looked after, and tendSoon how often when a
// rate limit asks for it; strainEvery is how often they are told how busy the
// processors are.
const (
	tendEvery   = 500 * time.Millisecond
	tendSoon    = 10 * time.Millisecond
	strainEvery = 10 * time.Millisecond
)

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
	clock    *clock
	writer   *writer
	journal  *journal
	metrics  *metrics
	log      *zap.Logger

	attempts context.Context //nolint:containedctx // cut short by the end of the grace, not by a caller
	cut      context.CancelCauseFunc
	running  sync.WaitGroup

	poke chan struct{} // the lanes want to be looked after soon

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
		clock:    newClock(lanes.Stood),
		writer:   w,
		journal:  newJournal(w),
		metrics:  newMetrics(p.Metrics, lanes.Load),
		log:      p.Log,
		attempts: attempts,
		cut:      cut,
		poke:     make(chan struct{}, 1),
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
	if w == nil {
		x.Source.Settle(false)
		return
	}
	x.endpoint = w.Endpoint
	ask := lane.Ask{Endpoint: x.endpoint, Bytes: x.Bytes, MaxPerSecond: w.MaxPerSecond}
	switch answer := d.lanes.Offer(ask, x, d.clock.now()); answer.Verdict {
	case lane.Send:
		d.running.Add(1)
		go d.run(x)
	case lane.Park:
		d.park(x, answer.At, answer.Why)
	case lane.Wait:
		if !answer.At.IsZero() {
			d.lookSoon()
		}
	}
}

// lookSoon has the lanes looked after before the next tick.
func (d *Deliverer) lookSoon() {
	select {
	case d.poke <- struct{}{}:
	default:
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
// webhook was deleted or disabled meanwhile. It returns neither when the webhook
// is not known, which proves nothing: the delivery is handed back.
func (d *Deliverer) wanted(x *Delivery) (_ *registry.Webhook, outcome webhooksv1.Outcome, ended bool) {
	w, presence := d.registry.Find(d.attempts, x.ProjectID, x.WebhookID)
	switch {
	case presence == registry.Deleted:
		return nil, webhooksv1.Outcome_OUTCOME_DELETED, true
	case w == nil:
		return nil, webhooksv1.Outcome_OUTCOME_UNSPECIFIED, false
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
		for _, next := range d.lanes.Done(endpoint, result, d.clock.now()) {
			if next.Verdict == lane.Send && x == nil {
				x = next.Delivery
				continue
			}
			d.leave(next)
		}
	}
}

// leave does with a delivery what its lane says.
func (d *Deliverer) leave(next lane.Next[*Delivery]) {
	if next.Verdict == lane.Send {
		d.running.Add(1)
		go d.run(next.Delivery)
		return
	}
	d.park(next.Delivery, next.At, next.Why)
}

// Run does what has to be done now and then, until ctx is done.
func (d *Deliverer) Run(ctx context.Context) error {
	tick := time.NewTimer(tendEvery)
	defer tick.Stop()
	look := time.NewTicker(strainEvery)
	defer look.Stop()
	strain := observe.NewStrain()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			d.follow(strain)
		case <-d.poke:
			tick.Reset(tendSoon)
		case <-tick.C:
			tick.Reset(d.tend(d.clock.now()))
		}
	}
}

// tend takes out of the lines what may go although no attempt has ended, and what
// stands where nothing moves any more. It returns when to look again.
func (d *Deliverer) tend(now time.Time) time.Duration {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.draining {
		return tendEvery // what is in line is being put on the schedule
	}
	leaving, again := d.lanes.Tend(now)
	for _, next := range leaving {
		d.leave(next)
	}
	if again.IsZero() {
		return tendEvery
	}
	return min(max(again.Sub(now), tendSoon), tendEvery)
}

// follow lets no more attempts begin than the processors can follow.
func (d *Deliverer) follow(strain *observe.Strain) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.draining {
		return
	}
	for _, next := range d.lanes.Strained(strain.PerProcessor(), d.clock.now()) {
		d.leave(next)
	}
}

// Drain ends the deliverer. Deliveries that wait in line are put on the schedule
// at once, attempts under way may finish within grace and are put there after it,
// uncounted, and the records of what was done are written before it returns or ctx
// is done. What the sources still bring is handed back, so it need not wait for
// them to stop. The schedule and not a hand-back, because the other deliveries of
// the same event may have been made, and because a broker that stops as well
// forgets what was handed back until its ack wait is over.
func (d *Deliverer) Drain(ctx context.Context, grace time.Duration) {
	defer context.AfterFunc(ctx, d.writer.cancel)() // whatever waits for a slow JetStream ends with ctx
	d.mu.Lock()
	d.draining = true
	d.mu.Unlock()
	for _, x := range d.lanes.Clear() {
		d.giveUp(x)
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
		d.log.Info("grace is over, cutting attempts short", zap.Int("attempts", d.lanes.Load().InFlight))
	case <-ctx.Done():
	}
	d.cut(errDraining)
	<-finished
	d.journal.close()
	d.writer.close(ctx)
}
