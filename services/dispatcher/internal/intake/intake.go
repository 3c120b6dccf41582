// Package intake takes events in: it finds the webhooks that want one, renders
// its body once, and hands one delivery per webhook on. An event that nobody
// wants is acknowledged without being decoded; one that cannot be read goes to
// REJECTED with the reason and blocks nothing behind it.
package intake

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/deliver"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

// rejectTimeout bounds writing one rejection; an event whose rejection could not
// be written is handed back and tried again.
const rejectTimeout = 5 * time.Second

// postponeDelay is when an event comes again for which the registry was behind.
const postponeDelay = 500 * time.Millisecond

// Parts is what an intake is made of.
type Parts struct {
	Registry  *registry.Registry
	Deliver   func(*deliver.Delivery)
	JetStream jetstream.JetStream
	Renderer  payload.Renderer
	// MaxBytes bounds the bodies that are held at once.
	MaxBytes int64
	Log      *zap.Logger
	Metrics  prometheus.Registerer
}

// Intake takes events from messages. [Intake.Handle] is given to a consumer on
// EVENTS.
type Intake struct {
	Parts
	bytes    *semaphore.Weighted
	queue    chan jetstream.Msg
	rejected prometheus.Counter
	events   *prometheus.CounterVec
}

// New returns an intake; [Intake.Run] works on what it is handed.
func New(p Parts) *Intake {
	with := promauto.With(p.Metrics)
	return &Intake{
		Parts: p,
		bytes: semaphore.NewWeighted(p.MaxBytes),
		queue: make(chan jetstream.Msg, 4*runtime.GOMAXPROCS(0)),
		events: with.NewCounterVec(prometheus.CounterOpts{
			Name: "webhooks_events_total",
			Help: "Events taken in, by whether a webhook wanted them.",
		}, []string{"wanted"}),
		rejected: with.NewCounter(prometheus.CounterOpts{
			Name: "webhooks_events_rejected_total",
			Help: "Events that could not be read. Each is described in the stream REJECTED; the pipeline stage that published it is at fault.",
		}),
	}
}

// Run works on events until [Intake.Close], which is called when there is no
// consumer left to call [Intake.Handle]. Once ctx is done, what has not been begun
// is handed back.
func (i *Intake) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for msg := range i.queue {
				if ctx.Err() != nil {
					i.handBack(msg)
					continue
				}
				i.take(ctx, msg)
			}
		})
	}
	workers.Wait()
	return nil
}

// Close ends [Intake.Run]. Nothing may be handed over any more.
func (i *Intake) Close() { close(i.queue) }

// Handle takes over one message of EVENTS. It blocks while there is enough to do.
func (i *Intake) Handle(ctx context.Context, msg jetstream.Msg) {
	if ctx.Err() != nil {
		i.handBack(msg)
		return
	}
	project, eventType, ok := topology.ParseSubjectEvent(topology.PublishedSubject(msg.Subject()))
	if meta, err := msg.Metadata(); ok && err == nil && event.Known(eventType) {
		var room [4]*registry.Webhook
		wanted, known := i.Registry.Match(room[:0], project, eventType, meta.Timestamp)
		switch {
		case !known:
			i.postpone(msg)
			return
		case len(wanted) == 0:
			i.events.WithLabelValues("no").Inc()
			i.acknowledge(msg)
			return
		}
	}
	i.queue <- msg
}

// take turns one event into deliveries.
func (i *Intake) take(ctx context.Context, msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		i.Log.Error("message without metadata on EVENTS", zap.Error(err))
		i.handBack(msg)
		return
	}
	e, webhooks, body, reason := i.read(msg, meta.Timestamp)
	switch {
	case reason != "":
		i.reject(ctx, msg, meta.Sequence.Stream, reason)
		return
	case e == nil:
		i.postpone(msg)
		return
	case len(webhooks) == 0:
		i.events.WithLabelValues("no").Inc()
		i.acknowledge(msg)
		return
	}
	i.events.WithLabelValues("yes").Inc()
	weight := min(int64(len(body)+len(msg.Data())), i.MaxBytes) // the message is held as long as its body
	if i.bytes.Acquire(ctx, weight) != nil {
		i.handBack(msg)
		return
	}
	source := newTaken(body, len(webhooks), func(durable bool) {
		i.bytes.Release(weight)
		if durable {
			i.acknowledge(msg)
		} else {
			i.handBack(msg)
		}
	})
	now := time.Now()
	for _, w := range webhooks {
		i.Deliver(&deliver.Delivery{
			ID:        webhook.DeliveryID(e.GetId(), w.ID),
			EventID:   e.GetId(),
			EventType: e.GetType(),
			ProjectID: e.GetProject().GetId(),
			WebhookID: w.ID,
			Sequence:  meta.Sequence.Stream,
			Attempt:   1,
			Trigger:   webhooksv1.Trigger_TRIGGER_EVENT,
			OwedSince: now,
			Bytes:     weight,
			Source:    source,
		})
	}
}

// read decodes and checks an event, finds who wants it, and renders its body if
// anybody does. reason says why the event cannot be used; a panic is one, because
// it would come back with the event. Without an event and a reason, it is not known
// who wants it.
func (i *Intake) read(msg jetstream.Msg, published time.Time) (e *webhooksv1.Event, webhooks []*registry.Webhook, body []byte, reason string) {
	defer func() {
		if fault := recover(); fault != nil {
			reason = fmt.Sprintf("reading it made the dispatcher panic: %v", fault)
		}
	}()
	e, reason = decode(msg)
	if reason != "" {
		return nil, nil, nil, reason
	}
	webhooks, known := i.Registry.Match(nil, e.GetProject().GetId(), e.GetType(), published)
	if !known {
		return nil, nil, nil, ""
	}
	if len(webhooks) > 0 {
		body = i.Renderer.Append(nil, e)
	}
	return e, webhooks, body, ""
}

func decode(msg jetstream.Msg) (_ *webhooksv1.Event, reason string) {
	e, err := event.Decode(msg.Headers().Get("Content-Type"), msg.Data())
	if err != nil {
		return nil, err.Error()
	}
	if err := event.Validate(e); err != nil {
		return nil, err.Error()
	}
	if want := topology.SubjectEvent(e.GetProject().GetId(), e.GetType()); topology.PublishedSubject(msg.Subject()) != want {
		return nil, fmt.Sprintf("its subject and its body disagree: by the body it belongs on %s", want)
	}
	if id := msg.Headers().Get(nats.MsgIdHdr); id != "" && id != e.GetId() {
		return nil, fmt.Sprintf("its header %s and its id disagree: set both to the event's id", nats.MsgIdHdr)
	}
	return e, ""
}

// reject writes down why an event cannot be used, then takes it out of the way.
func (i *Intake) reject(ctx context.Context, msg jetstream.Msg, sequence uint64, reason string) {
	subject := topology.PublishedSubject(msg.Subject())
	ctx, cancel := context.WithTimeout(ctx, rejectTimeout)
	defer cancel()
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(&webhooksv1.Rejection{
		EventSequence: sequence,
		Subject:       strings.ToValidUTF8(subject, "?"), // NATS takes any bytes, JSON does not
		Reason:        strings.ToValidUTF8(reason, "?"),
		RejectedAt:    timestamppb.Now(),
	})
	if err == nil {
		_, err = i.JetStream.Publish(ctx, topology.SubjectRejected(subject), data)
	}
	if err != nil {
		i.Log.Error("rejection not written, event handed back", zap.Uint64("event_sequence", sequence), zap.Error(err))
		i.handBack(msg)
		return
	}
	i.rejected.Inc()
	i.Log.Warn("event rejected", zap.Uint64("event_sequence", sequence), zap.String("subject", subject), zap.String("reason", reason))
	if err := msg.TermWithReason("rejected"); err != nil {
		i.Log.Warn("rejected event not terminated, it comes again", zap.Error(err))
	}
}

func (i *Intake) acknowledge(msg jetstream.Msg) {
	if err := msg.Ack(); err != nil {
		i.Log.Warn("event not acknowledged, it comes again", zap.Error(err))
	}
}

// postpone hands an event back while it is not known who wants it: another
// dispatcher may know, and so may this one in a moment.
func (i *Intake) postpone(msg jetstream.Msg) {
	if err := msg.NakWithDelay(postponeDelay); err != nil {
		i.Log.Warn("event not handed back, it comes again after the ack wait", zap.Error(err))
	}
}

func (i *Intake) handBack(msg jetstream.Msg) {
	if err := msg.Nak(); err != nil {
		i.Log.Warn("event not handed back, it comes again after the ack wait", zap.Error(err))
	}
}
