// Package ranges writes down what is owed to one webhook, many deliveries in one
// message: what a webhook missed while it was not in force, and what a host asks
// for again.
package ranges

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/registration"
)

// MaxDeliveries is how many deliveries are in one range. A crash repeats at most
// one range, so it is not larger.
const MaxDeliveries = 256

// dueNow is how soon something must be due to be written as due at once: a schedule
// costs JetStream a second message.
const dueNow = 100 * time.Millisecond

// Range is what is written in one message.
type Range struct {
	ProjectID, WebhookID string
	// Events are what is owed, at most [MaxDeliveries], in the order of their
	// sequences.
	Events    []eventlog.Event
	Trigger   webhooksv1.Trigger
	OwedSince time.Time
	// ReplayID names the replay; empty for none.
	ReplayID string
	// DueAt is when it is due; zero for at once.
	DueAt time.Time
	// MessageID makes writing it again within two minutes write it once.
	MessageID string
	// Unless, which may be nil, has JetStream refuse it.
	Unless jetstream.PublishOpt
}

// Writer writes ranges. It is safe for concurrent use.
type Writer struct {
	js    jetstream.JetStream
	clock topology.Clock
}

// NewWriter returns a writer.
func NewWriter(js jetstream.JetStream) *Writer { return &Writer{js: js} }

// Run keeps in view how far the servers' clocks are ahead of ours, until ctx is done.
// Without it they are taken to be the same.
func (w *Writer) Run(ctx context.Context, log *zap.Logger) error {
	return w.clock.Run(ctx, w.js, log) //nolint:wrapcheck // it ends with ctx
}

// Write returns when the range is stored.
func (w *Writer) Write(ctx context.Context, r Range) error {
	id := registration.NewID()
	data, err := proto.Marshal(message(r, id))
	if err != nil {
		return fmt.Errorf("encode range: %w", err)
	}
	msg := nats.NewMsg(topology.SubjectRange(r.WebhookID))
	msg.Data = data
	if time.Until(r.DueAt) > dueNow {
		msg.Subject = topology.SubjectScheduledRange(r.WebhookID, id)
		w.scheduleAt(msg, r.DueAt, topology.SubjectRange(r.WebhookID))
	}
	opts := []jetstream.PublishOpt{jetstream.WithMsgID(r.MessageID)}
	if r.Unless != nil {
		opts = append(opts, r.Unless)
	}
	if _, err := w.js.PublishMsg(ctx, msg, opts...); err != nil {
		return fmt.Errorf("write range: %w", err)
	}
	return nil
}

func message(r Range, id string) *webhooksv1.Range {
	m := &webhooksv1.Range{
		Id: id, ProjectId: r.ProjectID, WebhookId: r.WebhookID, ReplayId: r.ReplayID,
		Attempt: 1, Trigger: r.Trigger, OwedSince: timestamppb.New(r.OwedSince),
	}
	last := uint64(0)
	for _, owed := range r.Events {
		m.SequenceSteps = append(m.SequenceSteps, owed.Sequence-last)
		m.EventIds = append(m.EventIds, owed.ID)
		last = owed.Sequence
		index := slices.Index(m.GetEventTypes(), owed.Type)
		if index < 0 {
			index = len(m.GetEventTypes())
			m.EventTypes = append(m.EventTypes, owed.Type)
		}
		m.EventTypeIndex = append(m.EventTypeIndex, uint32(index)) //nolint:gosec // a few types
	}
	if len(m.GetEventTypes()) == 1 {
		m.EventTypeIndex = nil
	}
	return m
}

// Single is one delivery that is written by itself.
type Single struct {
	ProjectID, WebhookID string
	Event                eventlog.Event
	Trigger              webhooksv1.Trigger
	ReplayID             string
	// DueAt is when it is due; zero for at once.
	DueAt     time.Time
	MessageID string
}

// WriteOne returns when one delivery is stored. It takes the place of the
// delivery's next attempt, if that is on the schedule, so that the receiver does
// not get it a second time by then.
func (w *Writer) WriteOne(ctx context.Context, s Single) error {
	id := webhook.DeliveryID(s.Event.ID, s.WebhookID)
	now := time.Now()
	data, err := proto.Marshal(&webhooksv1.Delivery{
		Id: id, EventId: s.Event.ID, EventType: s.Event.Type, ProjectId: s.ProjectID, WebhookId: s.WebhookID,
		EventSequence: s.Event.Sequence, Attempt: 1, Trigger: s.Trigger, OwedSince: timestamppb.New(now), ReplayId: s.ReplayID,
	})
	if err != nil {
		return fmt.Errorf("encode delivery %s: %w", id, err)
	}
	if s.DueAt.Before(now) {
		s.DueAt = now
	}
	msg := nats.NewMsg(topology.SubjectScheduled(s.WebhookID, id))
	msg.Data = data
	w.scheduleAt(msg, s.DueAt, topology.SubjectDelivery(s.WebhookID))
	if _, err := w.js.PublishMsg(ctx, msg, jetstream.WithMsgID(s.MessageID)); err != nil {
		return fmt.Errorf("write delivery %s: %w", id, err)
	}
	return nil
}

// scheduleAt makes JetStream publish the message again on the target when it is
// due (message schedules, nats-server 2.12), by our clock.
func (w *Writer) scheduleAt(msg *nats.Msg, at time.Time, target string) {
	// The library's option cuts the fraction of the second off, which would be
	// earlier than asked.
	msg.Header.Set(jetstream.ScheduleHeader, "@at "+w.clock.Server(at).UTC().Format(time.RFC3339Nano))
	msg.Header.Set(jetstream.ScheduleTargetHeader, target)
}
