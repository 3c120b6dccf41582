package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

const (
	// laterOutage is how long the database is away after the first time.
	laterOutage = 5 * time.Second
	// probeEvery is how often an event asks whether a registration is in force.
	probeEvery = 50 * time.Millisecond
	// probeBook holds the events that ask: nobody is owed them.
	probeBook = "probe"
	// noteBetween says that the api died in the worst moment.
	noteBetween = "between write and projection"
)

// killDatabase takes the api's database away. Deliveries must go on meanwhile,
// and the api must say that it cannot answer.
func killDatabase(ctx context.Context, x *strike) error {
	outage := x.plan.outage
	if x.number > 0 {
		outage = min(outage, laterOutage)
	}
	if err := x.count(ctx); err != nil {
		return err
	}
	if err := x.database.kill(); err != nil {
		return err
	}
	over, cancel := context.WithTimeout(ctx, outage)
	defer cancel()
	if err := wait(over, x.book.since()); err != nil {
		return fmt.Errorf("deliver without the database: %w", err)
	}
	if err := x.call(over, http.MethodGet, webhooksPath(x.projects[0].id), nil, http.StatusServiceUnavailable, nil); err != nil {
		return fmt.Errorf("ask the api without the database: %w", err)
	}
	<-over.Done()
	attempts, err := x.stream(ctx, topology.StreamAttempts)
	if err != nil {
		return err
	}
	x.ended = time.Now()
	x.recovered = func(ctx context.Context) error {
		if _, err := x.list(ctx, x.projects[0].id); err != nil {
			return err
		}
		info, err := x.consumer(ctx, recording())
		if err == nil && info.AckFloor.Stream < attempts.State.LastSeq {
			err = fmt.Errorf("records of the outage are not in the log: %d of %d", info.AckFloor.Stream, attempts.State.LastSeq)
		}
		return err
	}
	return x.database.start(ctx)
}

// killAPI kills the api while it serves one request that makes or moves a
// webhook: in turns between the write to the database and the projection, and at
// any moment. What is in the database afterwards must come into force, and what
// was answered must be in the database.
func killAPI(ctx context.Context, x *strike) error {
	name := x.nth()
	target := x.ledger.hook(x.hookName(name, "target"), steady)
	method, path, want := http.MethodPost, webhooksPath(name), http.StatusCreated
	if x.number%4 > 1 {
		before, err := x.create(ctx, name, x.ledger.hook(x.hookName(name, "before"), steady))
		if err != nil {
			return err
		}
		method, path, want = http.MethodPatch, path+"/"+before.ID, http.StatusOK
	}
	request := func() bool { return x.call(ctx, method, path, fields(x.ledger, target), want, nil) == nil }
	kill := x.killAnyTime
	if x.number%2 == 0 {
		kill = x.killBetween
	}
	confirmed, err := kill(ctx, name, request)
	if err != nil {
		return err
	}
	x.ended = time.Now()
	if err := x.api.start(ctx); err != nil {
		return err
	}
	x.recovered = func(ctx context.Context) error { return x.inForce(ctx, project{name, []*hook{target}}, confirmed) }
	return nil
}

// killAnyTime kills the api within the first 20 ms of the request, and reports
// whether the host was told that it succeeded.
func (x *strike) killAnyTime(ctx context.Context, name string, request func() bool) (confirmed bool, err error) {
	answered := make(chan bool, 1)
	go func() { answered <- request() }()
	err = pause(ctx, x.moment(0, 20*time.Millisecond))
	if err == nil {
		err = x.api.kill()
	}
	confirmed = <-answered
	if err != nil {
		return false, err
	}
	between, err := x.log.unprojected(ctx, name)
	if between {
		x.note = noteBetween
	}
	return confirmed, err
}

// killBetween kills the api when the database has the webhook and the bucket does
// not: the broker stands still meanwhile.
func (x *strike) killBetween(ctx context.Context, name string, request func() bool) (confirmed bool, err error) {
	if err := x.countBroker(ctx); err != nil {
		return false, err
	}
	if err := x.brokers[0].signal(syscall.SIGSTOP); err != nil {
		return false, err
	}
	answered := make(chan bool, 1)
	go func() { answered <- request() }()
	stored, cancel := context.WithTimeoutCause(ctx, requestTimeout, errPatience)
	defer cancel()
	err = until(stored, func() error {
		marked, err := x.log.unprojected(stored, name)
		if err == nil && !marked {
			err = errors.New("it is not there, or has no mark")
		}
		return err
	})
	err = errors.Join(err, x.api.kill(), x.brokers[0].signal(syscall.SIGCONT))
	confirmed = <-answered
	if err != nil {
		return false, fmt.Errorf("wait until the webhook is stored: %w", err)
	}
	x.note = noteBetween
	return confirmed, nil
}

// inForce returns when what the database says of the project's webhook is in
// force; from then on its events are owed.
func (x *strike) inForce(ctx context.Context, p project, confirmed bool) error { //nolint:revive // what the host was told decides what must be
	all, err := x.list(ctx, p.id)
	if err != nil {
		return err
	}
	target := p.hooks[0]
	if !slices.ContainsFunc(all, func(r registration) bool { return r.URL == x.ledger.url+target.path }) {
		if confirmed {
			return giveUp{fmt.Errorf("the api answered that %s is registered, and forgot it", target.path)}
		}
		return nil
	}
	if err := x.probe(ctx, p.id, target); err != nil {
		return err
	}
	return x.publish(ctx, x.book, p)
}

// probe publishes events of the project until one arrives at the hook.
func (x *strike) probe(ctx context.Context, project string, h *hook) error {
	book := x.ledger.open(probeBook + "-" + x.nth())
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		e := payload.Sample(event.ConversationTranscribed, &webhooksv1.Project{Id: project}, book.begin(), time.Now())
		if err := x.publisher.Publish(ctx, e); err != nil {
			return err
		}
		select {
		case <-h.arrived:
			return nil
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s is in force: %w", h.path, context.Cause(ctx))
		}
	}
}

// wipeBucket takes away what the dispatchers know the webhooks from: the stream
// with everything, or what is in it, in turns; every second time the dispatcher is
// restarted as well, so that it finds the bucket empty.
func wipeBucket(ctx context.Context, x *strike) error {
	bucket, err := x.js.Stream(ctx, bucketStream)
	if err != nil {
		return fmt.Errorf("open the bucket's stream: %w", err)
	}
	if x.number%2 == 0 {
		x.note = "deleted"
		err = x.js.DeleteStream(ctx, bucketStream)
	} else {
		x.note = "emptied"
		err = bucket.Purge(ctx)
	}
	if err != nil {
		return fmt.Errorf("wipe the bucket: %w", err)
	}
	x.ended = time.Now()
	x.recovered = x.projected
	if x.number%4 < 2 {
		return nil
	}
	x.note += ", dispatcher killed"
	if err := x.dispatchers[0].kill(); err != nil {
		return err
	}
	if err := x.count(ctx); err != nil {
		return err
	}
	return x.dispatchers[0].start(ctx)
}

// projected reports whether the bucket holds every registration again.
func (x *strike) projected(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	bucket, err := x.js.KeyValue(ctx, topology.BucketWebhooks)
	if err != nil {
		return fmt.Errorf("open the bucket: %w", err)
	}
	if _, err := bucket.Get(ctx, topology.KeyProjected); err != nil {
		return fmt.Errorf("look for %s: %w", topology.KeyProjected, err)
	}
	keys, err := bucket.Keys(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("list the bucket: %w", err)
	}
	stored, err := x.log.registrations(ctx)
	if least := stored + 1; err == nil && len(keys) < least { // one is no registration
		err = fmt.Errorf("the bucket holds %d keys, fewer than %d", len(keys), least)
	}
	return err
}
