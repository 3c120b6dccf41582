// Package demo shows the system at work to somebody who has just cloned it. It
// plays both ends: a pipeline stage that publishes four events, and a host who
// has registered a webhook and verifies what arrives.
package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/standalone/internal/receiver"
)

const (
	projectID = "demo"
	// settleTime is how soon the API promises that a change is in force.
	settleTime = time.Second
	// patience is how long the demo waits for its deliveries.
	patience = 30 * time.Second
)

// Place is where the system to show is.
type Place struct {
	API   string
	NATS  string
	Token string
	// LoopbackAssumed says that loopback may be delivered to only because nobody
	// decided otherwise.
	LoopbackAssumed bool
	// Program is how to call dembrane-webhooks; empty when it is not there.
	Program string
	// Pages is where a browser is signed in and shown the project's webhooks.
	Pages func(projectID string) string
}

// Run tells its story on out and keeps the receiver up until ctx is done.
func Run(ctx context.Context, place Place, out io.Writer) error {
	if place.Token == "" {
		return errors.New("run the demo: it needs the token that standalone makes: unset STATIC_TOKENS_FILE")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for deliveries: %w", err)
	}
	secret := "demo-" + rand.Text()
	story := &story{out: out, place: place}
	arrived := make(chan receiver.Delivery, 1)
	handler := receiver.New(receiver.Options{Secret: secret, Seen: func(d receiver.Delivery) {
		story.arrived(d)
		select {
		case arrived <- d:
		case <-ctx.Done():
		}
	}})
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return receiver.Serve(ctx, listener, handler) })
	parts.Go(func() error {
		host := host{place: place}
		webhookID, err := host.register(ctx, "http://"+listener.Addr().String()+"/", secret)
		if err != nil {
			return untilStopped(ctx, err)
		}
		story.begin(webhookID, listener.Addr().String(), secret)
		if err := tell(ctx, place, story, arrived); err != nil {
			return untilStopped(ctx, err)
		}
		story.goOn(webhookID)
		for {
			select {
			case <-arrived: // shown already
			case <-ctx.Done():
				return nil
			}
		}
	})
	return parts.Wait()
}

// untilStopped makes nothing of an error that a stop has caused.
func untilStopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return fmt.Errorf("run the demo: %w", err)
	}
	return nil
}

// tell publishes an event of each type and waits until all of them have arrived.
func tell(ctx context.Context, place Place, story *story, arrived <-chan receiver.Delivery) error {
	select {
	case <-time.After(settleTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	nc, err := nats.Connect(place.NATS, nats.Name("demo"), nats.MaxReconnects(-1))
	if err != nil {
		return fmt.Errorf("connect to nats: %w", err)
	}
	defer nc.Close()
	stage, err := publisher.New(nc)
	if err != nil {
		return err
	}
	started := time.Now()
	for _, eventType := range event.Types() {
		e := sample(eventType)
		if err := stage.Publish(ctx, e); err != nil {
			return err
		}
		if err := await(ctx, e.GetId(), arrived); err != nil {
			return err
		}
	}
	story.sum(len(event.Types()), time.Since(started))
	return nil
}

// await returns when the event has arrived and was verified. Retries of an
// earlier run may arrive in between.
func await(ctx context.Context, id string, arrived <-chan receiver.Delivery) error {
	deadline := time.After(patience)
	for {
		select {
		case d := <-arrived:
			switch {
			case eventID(d) != id:
			case d.Problem != "":
				return errors.New("a delivery could not be verified")
			default:
				return nil
			}
		case <-deadline:
			return fmt.Errorf("nothing arrived within %s: is the webhook's address allowed by ALLOW_CIDRS?", patience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func eventID(d receiver.Delivery) string {
	var body struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(d.Body, &body) // no id is nobody's
	return body.ID
}

func sample(eventType string) *webhooksv1.Event {
	project := &webhooksv1.Project{
		Id: projectID, WorkspaceId: new("demo-workspace"),
		Name: new("Town talks"), Language: new("en"),
	}
	now := time.Now()
	return payload.Sample(eventType, project, "evt_"+ulid.Make().String(), now)
}
