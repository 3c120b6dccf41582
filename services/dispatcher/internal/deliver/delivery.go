// Package deliver takes a delivery to its end: it asks the lane, makes the
// attempt, judges the answer, and settles. intake and due are the two ways in.
//
//	Deliver ─▶ lane ─▶ attempt ─▶ judge ─▶ settle
//	             └── park ──────────────────┘
//
// Settling is what keeps the promise: a source is told that its delivery is
// durable only when JetStream has stored the record of the attempt and, if there
// is to be another, the schedule of it.
package deliver

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// ErrExpired is returned by a [Source] whose event is no longer retained.
var ErrExpired = errors.New("the event is no longer retained")

// ErrBusy is returned by a [Source] that has no memory for the body now.
var ErrBusy = errors.New("no memory is free for the body")

// Source is where a delivery came from: a message that is acknowledged when the
// delivery is settled.
type Source interface {
	// Body returns the canonical body, or ErrExpired or ErrBusy. Any other error is
	// a fault of ours: the delivery is handed back.
	Body(ctx context.Context) ([]byte, error)
	// Settle is called exactly once for each delivery. With durable, its
	// consequence is stored; without, the delivery is handed back, uncounted.
	Settle(durable bool)
}

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
	// Bytes is what it holds in memory while it waits.
	Bytes  int64
	Source Source

	// endpoint names the lane it goes through.
	endpoint string
}

// message is the delivery as it waits on DELIVERIES for the given attempt.
func (d *Delivery) message(attempt uint32) *webhooksv1.Delivery {
	return &webhooksv1.Delivery{
		Id:            d.ID,
		EventId:       d.EventID,
		EventType:     d.EventType,
		ProjectId:     d.ProjectID,
		WebhookId:     d.WebhookID,
		EventSequence: d.Sequence,
		Attempt:       attempt,
		Trigger:       d.Trigger,
		OwedSince:     timestamppb.New(d.OwedSince),
	}
}
