// Package intake takes events in: it finds the webhooks that want one and
// delivers it to each of them. An event that nobody wants is acknowledged without
// being decoded, and so is nothing that may not go yet; one that cannot be used
// goes to REJECTED with the reason and blocks nothing behind it.
package intake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/deliver"
	"github.com/dembrane/webhooks/services/dispatcher/internal/eventbody"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

// keepFor is how long an event is sent as it came. One that has waited for longer
// may have been erased meanwhile: it is looked for first.
const keepFor = 5 * time.Second

// Deps is what an intake needs.
type Deps struct {
	// Event reads an event back, or says that it is gone.
	Event    func(ctx context.Context, project string, sequence uint64) (*jetstream.RawStreamMsg, error)
	Registry *registry.Registry
	Deliver  func(context.Context, deliver.Delivery) error
	// Rest settles an event whose deliveries have returned with these errors.
	Rest     func(list []deliver.Delivery, failed []error) error
	Renderer *eventbody.Renderer
	Rejecter *eventbody.Rejecter
	Metrics  prometheus.Registerer
}

// Intake takes events from messages of EVENTS. It is safe for concurrent use.
type Intake struct {
	Deps

	events *prometheus.CounterVec
}

// New returns an intake.
func New(deps Deps) *Intake {
	return &Intake{Deps: deps, events: promauto.With(deps.Metrics).NewCounterVec(prometheus.CounterOpts{
		Name: "webhooks_events_total",
		Help: "Events taken in, by whether a webhook wanted them. Falls to 0: publishers stopped, or dispatchers take nothing in; /readyz says why.",
	}, []string{"wanted"})}
}

// Unwanted reports whether no webhook wants the event, as far as its subject
// tells. It asks nobody and decodes nothing.
func (i *Intake) Unwanted(msg jetstream.Msg) bool {
	project, eventType, ok := topology.ParseSubjectEvent(topology.PublishedSubject(msg.Subject()))
	meta, err := msg.Metadata()
	if !ok || err != nil || !event.Known(eventType) {
		return false
	}
	var few [4]*registry.Webhook
	wanted, known := i.Registry.Match(few[:0], project, eventType, meta.Timestamp)
	if !known || len(wanted) > 0 {
		return false
	}
	i.events.WithLabelValues("no").Inc()
	return true
}

// Handle takes one event in and returns nil when it may be acknowledged: each of
// its deliveries is stored, or it is rejected with its reason. An error means that
// it is to be handed back.
func (i *Intake) Handle(ctx context.Context, msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("read metadata of a message on EVENTS: %w", err)
	}
	e := &taken{
		message:  eventbody.Message{Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data()},
		sequence: meta.Sequence.Stream, behind: meta.NumPending, published: meta.Timestamp,
		seen: topology.Arrived(msg), event: i.Event,
		renderer: i.Renderer, rendered: map[chat.Format]*eventbody.Body{},
	}
	err = i.deliver(ctx, e)
	if unusable, ok := errors.AsType[*eventbody.UnusableError](err); ok {
		return i.Rejecter.Reject(ctx, msg.Subject(), e.sequence, unusable)
	}
	return err
}

// deliver delivers an event to every webhook that wants it.
func (i *Intake) deliver(ctx context.Context, e *taken) error {
	if err := e.identify(); err != nil {
		return err
	}
	webhooks, known := i.Registry.Match(nil, e.project, e.eventType, e.published)
	if !known {
		return deliver.ErrNotKnown
	}
	if e.about != "" {
		webhooks = slices.DeleteFunc(webhooks, func(w *registry.Webhook) bool { return !w.Covers(e.eventType, e.about) })
	}
	if len(webhooks) == 0 {
		i.events.WithLabelValues("no").Inc()
		return nil
	}
	i.events.WithLabelValues("yes").Inc()
	defer e.release()
	now := time.Now()
	all := make([]deliver.Delivery, len(webhooks))
	for n, w := range webhooks {
		all[n] = deliver.Delivery{
			ID:        webhook.DeliveryID(e.id, w.ID),
			EventID:   e.id,
			EventType: e.eventType,
			ProjectID: e.project,
			WebhookID: w.ID,
			Sequence:  e.sequence,
			Attempt:   1,
			Trigger:   webhooksv1.Trigger_TRIGGER_EVENT,
			OwedSince: now,
			Behind:    e.behind,
			Bytes:     int64(len(e.message.Data)),
			Body:      e.body,
		}
	}
	failed := make([]error, len(all))
	var others sync.WaitGroup
	for n, x := range all[1:] {
		others.Go(func() { failed[n+1] = i.Deliver(ctx, x) })
	}
	failed[0] = i.Deliver(ctx, all[0])
	others.Wait()
	return i.Rest(all, failed)
}

// taken is an event that is being taken in.
type taken struct {
	message   eventbody.Message
	sequence  uint64
	behind    uint64 // events of the same part that are yet to be taken in
	published time.Time
	renderer  *eventbody.Renderer
	event     func(ctx context.Context, project string, sequence uint64) (*jetstream.RawStreamMsg, error)

	project, eventType, id string
	about                  string // the webhook that an event of our own is about

	mu       sync.Mutex // held while it is rendered, once for all its deliveries of a format
	seen     time.Time  // when it was in EVENTS
	rendered map[chat.Format]*eventbody.Body
}

// identify finds out what the event is without decoding it, if its publisher said
// so: by its subject and the header Nats-Msg-Id.
func (e *taken) identify() error {
	project, eventType, ok := topology.ParseSubjectEvent(topology.PublishedSubject(e.message.Subject))
	id := e.message.Header.Get(nats.MsgIdHdr)
	about := e.message.Header.Get(topology.HeaderAbout)
	if ok && event.ValidID(project) && event.Known(eventType) && event.ValidID(id) && event.IsOwn(eventType) == event.ValidID(about) {
		e.project, e.eventType, e.id, e.about = project, eventType, id, about
		return nil
	}
	decoded, err := eventbody.Decode(e.message)
	if err != nil {
		return err //nolint:wrapcheck // what is wrong with the event, for whoever published it
	}
	e.project, e.eventType, e.id = decoded.GetProject().GetId(), decoded.GetType(), decoded.GetId()
	e.about = decoded.GetWebhook().GetId()
	return nil
}

// body renders the event in a format when the first of its deliveries of that format
// may go.
func (e *taken) body(ctx context.Context, format chat.Format) (*eventbody.Body, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := time.Now(); now.Sub(e.seen) > keepFor {
		if _, err := e.event(ctx, e.project, e.sequence); err != nil {
			return nil, fmt.Errorf("look whether event %s is still there: %w", e.id, err)
		}
		e.seen = now
	}
	body := e.rendered[format]
	if body == nil {
		var err error
		if body, err = e.renderer.Render(e.message, format); err != nil {
			return nil, err //nolint:wrapcheck // its kind is what counts
		}
		e.rendered[format] = body
	}
	return body, nil
}

func (e *taken) release() {
	for _, body := range e.rendered {
		body.Release()
	}
}
