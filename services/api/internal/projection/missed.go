package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// rangeDeliveries is how many deliveries are in one message.
	rangeDeliveries = 256
	// readIdle is how long JetStream keeps a consumer that nobody asks any more.
	readIdle = 30 * time.Second
	// readWait is how long an event that is announced may take to come.
	readWait = 5 * time.Second
)

// span is a time in which events of one type were missed, by the clock that stamps
// what is stored in EVENTS.
type span struct {
	event        string
	since, until time.Time
}

// missedEvent is one of them.
type missedEvent struct {
	sequence      uint64
	id, eventType string
}

// catchUp writes what a webhook missed to RANGES, and returns how many events that
// was. Doing it twice within two minutes writes it once.
func (p *Projector) catchUp(ctx context.Context, w store.Webhook, spans []span) (int, error) {
	r := ranges{js: p.js, webhook: w, since: spans[0].since}
	for _, s := range spans {
		if s.since.Before(r.since) {
			r.since = s.since
		}
	}
	err := p.eachMissed(ctx, w.ProjectID, spans, r.since, func(missed missedEvent) error { return r.add(ctx, missed) })
	if err != nil {
		return 0, err
	}
	return r.count, r.flush(ctx)
}

// eachMissed reads the stored events of the spans in their order, without their
// bodies.
func (p *Projector) eachMissed(ctx context.Context, projectID string, spans []span, since time.Time, visit func(missedEvent) error) error {
	stream, err := p.js.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return fmt.Errorf("open %s: %w", topology.StreamEvents, err)
	}
	config := jetstream.ConsumerConfig{
		Description:   "What a webhook missed while it was not in force.",
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true, Replicas: 1, InactiveThreshold: readIdle,
	}
	var until time.Time
	for _, s := range spans {
		config.FilterSubjects = append(config.FilterSubjects, topology.SubjectStored(projectID, s.event))
		if s.until.After(until) {
			until = s.until
		}
	}
	consumer, err := stream.CreateConsumer(ctx, config)
	if err != nil {
		return fmt.Errorf("read %s: %w", topology.StreamEvents, err)
	}
	info := consumer.CachedInfo()
	defer func() { _ = stream.DeleteConsumer(context.WithoutCancel(ctx), info.Name) }() // it ends by itself
	if err := inSync(ctx, stream, info); err != nil {
		return err
	}
	return readMissed(ctx, consumer, info.NumPending, until, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		_, eventType, _ := topology.ParseSubjectEvent(topology.PublishedSubject(msg.Subject()))
		if !slices.ContainsFunc(spans, func(s span) bool {
			return s.event == eventType && !meta.Timestamp.Before(s.since) && meta.Timestamp.Before(s.until)
		}) {
			return nil
		}
		id, err := eventID(ctx, stream, msg, meta.Sequence.Stream)
		if err != nil || id == "" { // unreadable: the intake has rejected it
			return err
		}
		return visit(missedEvent{sequence: meta.Sequence.Stream, id: id, eventType: eventType})
	})
}

// readMissed hands on what a consumer has, up to a time.
func readMissed(ctx context.Context, consumer jetstream.Consumer, pending uint64, until time.Time,
	visit func(jetstream.Msg, *jetstream.MsgMetadata) error,
) error {
	for number := uint64(1); pending > 0; {
		batch, err := consumer.Fetch(int(min(pending, 2*rangeDeliveries)), jetstream.FetchMaxWait(readWait))
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		read := 0
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				return fmt.Errorf("read event: %w", err)
			}
			if meta.Sequence.Consumer != number {
				return errors.New("read events: some were lost on the way")
			}
			number++
			read++
			pending = meta.NumPending
			if !meta.Timestamp.Before(until) {
				pending = 0 // and the rest of the batch is as late
				continue
			}
			if err := visit(msg, meta); err != nil {
				return err
			}
		}
		if err := batch.Error(); err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if read == 0 && ctx.Err() == nil {
			return errors.New("read events: they do not come")
		}
		if ctx.Err() != nil {
			return fmt.Errorf("read events: %w", context.Cause(ctx))
		}
	}
	return nil
}

// inSync makes sure that the server on which a consumer is has what the leader of
// the stream has: one that is catching up has missed events, too.
func inSync(ctx context.Context, stream jetstream.Stream, consumer *jetstream.ConsumerInfo) error {
	info, err := stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("ask for the replicas of %s: %w", topology.StreamEvents, err)
	}
	if info.Cluster == nil || consumer.Cluster == nil || info.Cluster.Leader == consumer.Cluster.Leader {
		return nil
	}
	for _, replica := range info.Cluster.Replicas {
		if replica.Name == consumer.Cluster.Leader && replica.Current && replica.Lag == 0 {
			return nil
		}
	}
	return fmt.Errorf("%s is catching up with %s: it is asked again later", consumer.Cluster.Leader, topology.StreamEvents)
}

// eventID is in the header of almost every event; else in its body, which is
// fetched for it.
func eventID(ctx context.Context, stream jetstream.Stream, msg jetstream.Msg, sequence uint64) (string, error) {
	if id := msg.Headers().Get(nats.MsgIdHdr); id != "" {
		return id, nil
	}
	whole, err := stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", nil // erased meanwhile
	}
	if err != nil {
		return "", fmt.Errorf("read event %d: %w", sequence, err)
	}
	e, err := event.Decode(whole.Header.Get("Content-Type"), whole.Data)
	if err != nil || event.Validate(e) != nil {
		return "", nil //nolint:nilerr // it was rejected
	}
	return e.GetId(), nil
}

// ranges writes down deliveries, many in one message.
type ranges struct {
	js      jetstream.JetStream
	webhook store.Webhook
	since   time.Time
	list    []missedEvent
	count   int
	written int
}

func (r *ranges) add(ctx context.Context, missed missedEvent) error {
	r.list = append(r.list, missed)
	r.count++
	if len(r.list) < rangeDeliveries {
		return nil
	}
	return r.flush(ctx)
}

func (r *ranges) flush(ctx context.Context) error {
	if len(r.list) == 0 {
		return nil
	}
	data, err := proto.Marshal(r.message())
	if err != nil {
		return fmt.Errorf("encode range: %w", err)
	}
	id := fmt.Sprintf("missed-%s-%d-%d", r.webhook.ID, r.webhook.Revision, r.written)
	if _, err := r.js.Publish(ctx, topology.SubjectRange(r.webhook.ID), data, jetstream.WithMsgID(id)); err != nil {
		return fmt.Errorf("write range: %w", err)
	}
	r.list, r.written = nil, r.written+1
	return nil
}

func (r *ranges) message() *webhooksv1.Range {
	m := &webhooksv1.Range{
		Id: registration.NewID(), ProjectId: r.webhook.ProjectID, WebhookId: r.webhook.ID,
		Attempt: 1, Trigger: webhooksv1.Trigger_TRIGGER_EVENT, OwedSince: timestamppb.New(r.since),
	}
	last := uint64(0)
	for _, missed := range r.list {
		m.SequenceSteps = append(m.SequenceSteps, missed.sequence-last)
		m.EventIds = append(m.EventIds, missed.id)
		last = missed.sequence
		index := slices.Index(m.GetEventTypes(), missed.eventType)
		if index < 0 {
			index = len(m.GetEventTypes())
			m.EventTypes = append(m.EventTypes, missed.eventType)
		}
		m.EventTypeIndex = append(m.EventTypeIndex, uint32(index)) //nolint:gosec // a few types
	}
	if len(m.GetEventTypes()) == 1 {
		m.EventTypeIndex = nil
	}
	return m
}
