// Package deliver takes a delivery to its end: it asks the limiter for a turn,
// makes the attempt, judges the answer, and settles.
//
//	Deliver ─▶ limiter ─▶ send ─▶ judge ─▶ settle ─▶ (stored)
//	              └─ not now ─▶ park ──────────────────┘
//
// [Deliverer.Deliver] is one blocking call: it returns when what became of the
// delivery is stored in JetStream, and only then may its cause be acknowledged.
// Intake and due are the two ways in.
package deliver

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/eventbody"
)

// Delivery is one event owed to one webhook, at its next attempt.
type Delivery struct {
	ID        string
	EventID   string
	EventType string
	ProjectID string
	WebhookID string
	// Sequence is the event's place in the stream EVENTS.
	Sequence uint64
	// Attempt is the number of the attempt to make, from 1.
	Attempt uint32
	Trigger webhooksv1.Trigger
	// OwedSince is when the event was taken in, or a host asked for it again.
	OwedSince time.Time
	// ReplayID names the replay that it belongs to; empty for any other.
	ReplayID string
	// Behind is how many messages wait in the queue that it comes from, if that is known.
	Behind uint64
	// Bytes is what it holds in memory while it waits for its turn.
	Bytes int64
	// Body returns the body in a format, [topology.ErrEventGone] or
	// [eventbody.ErrNoMemory]. Any other error means that there is none to be had now,
	// or ever, and Deliver returns it. It is called when it
	// is the delivery's turn, so what may not go now is neither decoded nor rendered.
	Body func(ctx context.Context, format chat.Format) (*eventbody.Body, error)
}

// message is the delivery as it waits on DELIVERIES for the given attempt.
func (x *Delivery) message(attempt uint32) *webhooksv1.Delivery {
	return &webhooksv1.Delivery{
		Id:            x.ID,
		EventId:       x.EventID,
		EventType:     x.EventType,
		ProjectId:     x.ProjectID,
		WebhookId:     x.WebhookID,
		EventSequence: x.Sequence,
		Attempt:       attempt,
		Trigger:       x.Trigger,
		OwedSince:     timestamppb.New(x.OwedSince),
		ReplayId:      x.ReplayID,
	}
}

// background reports whether live deliveries of the same endpoint go first.
func (x *Delivery) background() bool {
	return x.Trigger == webhooksv1.Trigger_TRIGGER_REPLAY
}
