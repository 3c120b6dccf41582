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
	"go.mongodb.org/mongo-driver/bson"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/inside"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// laterOutage is how long the database is away after the first time.
	laterOutage = 5 * time.Second
	// probeBook holds the events that ask whether a registration is in force: nobody
	// is owed them.
	probeBook = "probe"
	// noteBetween says that the api died in the worst moment.
	noteBetween = "between write and projection"
)

// killDatabase takes the api's database away. Deliveries must go on meanwhile,
// and the api must say that it cannot answer.
func killDatabase(t run.T, x *strike) {
	outage := x.plan.outage
	if x.number > 0 {
		outage = min(outage, laterOutage)
	}
	x.count(t)
	x.kill(t, x.database)
	over, cancel := context.WithTimeout(t.Context(), outage)
	defer cancel()
	run.Must(t, x.book.Since().Wait(over), "deliver without the database")
	project := x.projects[0].id
	_, err := x.Call(over, http.MethodGet, apiclient.Webhooks(project), nil, http.StatusServiceUnavailable)
	run.Must(t, err, "ask the api without the database")
	<-over.Done()
	attempts, err := x.Stream(t.Context(), topology.StreamAttempts)
	run.Must(t, err, "look up the records of the outage")
	x.recovered = func(ctx context.Context) error {
		if _, err := x.List(ctx, project); err != nil {
			return err
		}
		info, err := x.Consumer(ctx, inside.Recording())
		if err == nil && info.AckFloor.Stream < attempts.State.LastSeq {
			err = fmt.Errorf("records of the outage are not in the log: %d of %d", info.AckFloor.Stream, attempts.State.LastSeq)
		}
		return err
	}
	x.start(t, x.database)
}

// killAPI kills the api while it serves one request that makes or moves a
// webhook: in turns between the write to the database and the projection, and at
// any moment. What is in the database afterwards must come into force, and what
// was answered must be in the database.
func killAPI(t run.T, x *strike) {
	const target, before = 0, 1 // numbers of hooks
	name := x.nth()
	fields := x.hook(name, target, nil)
	method, path, want := http.MethodPost, apiclient.Webhooks(name), http.StatusCreated
	if x.number%4 > 1 {
		w, err := x.Create(t.Context(), name, x.hook(name, before, nil))
		run.Must(t, err, "register what is moved")
		method, path, want = http.MethodPatch, w.Path(), http.StatusOK
	}
	answered := make(chan bool, 1)
	request := func() {
		go func() {
			_, err := x.Call(t.Context(), method, path, fields, want)
			answered <- err == nil
		}()
	}
	if x.number%2 == 0 {
		x.killBetween(t, name, request)
	} else {
		request()
		run.Pause(t, x.moment(0, 20*time.Millisecond))
		x.kill(t, x.api)
		if between, err := x.unprojected(t.Context(), name); between {
			x.note = noteBetween
		} else {
			run.Must(t, err, "look at the database")
		}
	}
	confirmed := <-answered
	x.start(t, x.api)
	x.recovered = func(ctx context.Context) error {
		all, err := x.List(ctx, name)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(w apiclient.Webhook) bool { return w.URL == fields["url"] }) {
			if confirmed {
				return run.Final{Err: fmt.Errorf("the api answered that %s is registered, and forgot it", fields["url"])}
			}
			return nil
		}
		// It is in force once an event arrives; from then on its events are owed.
		if err := x.probe(ctx, name, target); err != nil {
			return err
		}
		return x.publish(ctx, x.book, project{name, []int{target}})
	}
}

// killBetween kills the api when the database has the webhook and the bucket does
// not: the broker stands still meanwhile.
func (x *strike) killBetween(t run.T, name string, request func()) {
	x.countBroker(t)
	run.Must(t, x.brokers[0].Signal(syscall.SIGSTOP), "stop the broker")
	request()
	stored, cancel := context.WithTimeoutCause(t.Context(), requestTimeout, errPatience)
	defer cancel()
	err := run.Poll(stored, func(ctx context.Context) error {
		marked, err := x.unprojected(ctx, name)
		if err == nil && !marked {
			err = errors.New("it is not there, or has no mark")
		}
		return err
	})
	err = errors.Join(err, x.api.Kill(), x.brokers[0].Signal(syscall.SIGCONT))
	run.Must(t, err, "wait until the webhook is stored")
	x.note = noteBetween
}

// unprojected reports whether a webhook of the project is stored and marked as not
// yet in the bucket.
func (s *stack) unprojected(ctx context.Context, project string) (bool, error) {
	count, err := s.Webhooks.CountDocuments(ctx, bson.D{{Key: "project_id", Value: project}, {Key: "pending", Value: true}})
	if err != nil {
		return false, fmt.Errorf("look for the mark of a webhook: %w", err)
	}
	return count > 0, nil
}

// probe publishes events of the project until one is delivered to the hook.
func (x *strike) probe(ctx context.Context, project string, hook int) error {
	book := x.ledger.Open(probeBook+"-"+x.nth(), mostHooks)
	err := run.Poll(ctx, func(ctx context.Context) error {
		e := payload.Sample(event.ConversationTranscribed, &webhooksv1.Project{Id: project}, book.Begin(), time.Now())
		if err := x.Publisher.Publish(ctx, e); err != nil {
			return err
		}
		for i, l := range book.Lines() {
			if i%mostHooks == hook && l.Delivered {
				return nil
			}
		}
		return errors.New("nothing has arrived")
	})
	if err != nil {
		return fmt.Errorf("wait until hook %d of %s is in force: %w", hook, project, err)
	}
	return nil
}

// wipeBucket takes away what the dispatchers know the webhooks from: the stream
// with everything, or what is in it, in turns; every second time the dispatcher is
// restarted as well, so that it finds the bucket empty.
func wipeBucket(t run.T, x *strike) {
	bucket, err := x.Streams.Stream(t.Context(), bucketStream)
	run.Must(t, err, "open the bucket's stream")
	if x.number%2 == 0 {
		x.note = "deleted"
		err = x.Streams.DeleteStream(t.Context(), bucketStream)
	} else {
		x.note = "emptied"
		err = bucket.Purge(t.Context())
	}
	run.Must(t, err, "wipe the bucket")
	x.ended = time.Now()
	x.recovered = x.projected
	if x.number%4 < 2 {
		return
	}
	x.note += ", dispatcher killed"
	x.kill(t, x.dispatchers[0])
	x.count(t)
	run.Must(t, x.dispatchers[0].Start(t.Context()), "strike")
}

// projected reports whether the bucket holds every registration again.
func (x *strike) projected(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	bucket, err := x.Streams.KeyValue(ctx, topology.BucketWebhooks)
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
	stored, err := x.Webhooks.CountDocuments(ctx, bson.D{})
	if err != nil {
		return fmt.Errorf("count the webhooks: %w", err)
	}
	if least := int(stored) + 1; len(keys) < least { // one is no registration
		return fmt.Errorf("the bucket holds %d keys, fewer than %d", len(keys), least)
	}
	return nil
}
