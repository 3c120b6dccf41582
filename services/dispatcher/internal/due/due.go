// Package due takes what was written down as due later: single deliveries
// (retries, resends) and ranges (what its endpoint had no room for, replays).
// Their messages carry ids only; an event is read back by its sequence when it is
// the delivery's turn, and rendered to the same bytes again.
package due

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/deliver"
	"github.com/dembrane/webhooks/services/dispatcher/internal/eventbody"
)

const (
	// maxReads bounds how much is read back at once, single events and pages of
	// ranges together. Before an event is here its size is not known, so a bound on
	// memory cannot bound these.
	maxReads = 8
	// cacheBytes bounds the bodies that are kept for deliveries that are due next.
	cacheBytes = 32 << 20
)

// events reads events back; [topology.EventReader] does.
type events interface {
	Event(ctx context.Context, project string, sequence uint64) (*jetstream.RawStreamMsg, error)
	Read(ctx context.Context, project string, sequences []uint64,
		yield func(sequence uint64, msg *jetstream.RawStreamMsg, err error) bool) error
}

// Deps is what a due needs.
type Deps struct {
	Deliver func(context.Context, deliver.Delivery) error
	// Rest settles a range whose deliveries have returned with these errors.
	Rest     func(list []deliver.Delivery, failed []error) error
	Events   events
	Renderer *eventbody.Renderer
	Rejecter *eventbody.Rejecter
	// Postpone stores a range as due later by so much.
	Postpone func(r *webhooksv1.Range, by time.Duration) error
	Log      *zap.Logger
}

// Due takes deliveries from messages of DELIVERIES and RANGES. It is safe for
// concurrent use.
type Due struct {
	Deps

	reads  *semaphore.Weighted
	bodies *bodies

	mu       sync.Mutex
	backlogs map[string]*backlog // by webhook
}

// New returns a due.
func New(deps Deps) (*Due, error) {
	d := &Due{Deps: deps, reads: semaphore.NewWeighted(maxReads), backlogs: map[string]*backlog{}}
	var err error
	if d.bodies, err = newBodies(cacheBytes, d.read); err != nil {
		return nil, fmt.Errorf("make the cache of bodies: %w", err)
	}
	return d, nil
}

// Handle delivers what one message of DELIVERIES owes and returns nil when the
// message may be acknowledged. An error means that it is to be handed back.
func (d *Due) Handle(ctx context.Context, msg jetstream.Msg) error {
	var owed webhooksv1.Delivery
	err := proto.Unmarshal(msg.Data(), &owed)
	if err != nil || !event.ValidID(owed.GetWebhookId()) || !event.ValidID(owed.GetId()) || owed.GetAttempt() == 0 {
		d.drop(msg, err)
		return nil
	}
	since := time.Now() // of one that was written by an older version
	if owed.GetOwedSince().IsValid() {
		since = owed.GetOwedSince().AsTime()
	}
	give := func() {}
	defer func() { give() }()
	x := deliver.Delivery{
		ID:        owed.GetId(),
		EventID:   owed.GetEventId(),
		EventType: owed.GetEventType(),
		ProjectID: owed.GetProjectId(),
		WebhookID: owed.GetWebhookId(),
		Sequence:  owed.GetEventSequence(),
		Attempt:   owed.GetAttempt(),
		Trigger:   owed.GetTrigger(),
		OwedSince: since,
		ReplayID:  owed.GetReplayId(),
		Body: func(ctx context.Context, format chat.Format) (*eventbody.Body, error) {
			body, put, err := d.bodies.get(ctx, owed.GetProjectId(), bodyKey{owed.GetEventSequence(), owed.GetEventId(), format})
			if err != nil {
				return nil, err
			}
			give = put
			return body, ofEvent(body, owed.GetEventId())
		},
	}
	return d.settled(ctx, &x, d.Deliver(ctx, x))
}

// settled rejects an event that turned out to be unusable when it was to be sent,
// which settles its delivery.
func (d *Due) settled(ctx context.Context, x *deliver.Delivery, err error) error {
	if unusable, ok := errors.AsType[*eventbody.UnusableError](err); ok {
		return d.Rejecter.Reject(ctx, topology.SubjectEvent(x.ProjectID, x.EventType), x.Sequence, unusable)
	}
	return err
}

// drop tells of a message that cannot be read. Only the two services write here,
// so it is a fault of ours that no repetition mends; the event itself is still in
// EVENTS.
func (d *Due) drop(msg jetstream.Msg, err error) {
	d.Log.Error("delivery unreadable, dropped", zap.String("subject", msg.Subject()), zap.Error(err))
}

// read reads an event back and renders it.
func (d *Due) read(ctx context.Context, project string, key bodyKey) (*eventbody.Body, error) {
	if err := d.reads.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("wait to read the event: %w", err)
	}
	defer d.reads.Release(1)
	msg, err := d.Events.Event(ctx, project, key.sequence)
	if err != nil {
		return nil, fmt.Errorf("read event %d: %w", key.sequence, err)
	}
	return d.Renderer.Render(eventbody.Message{Subject: msg.Subject, Header: msg.Header, Data: msg.Data}, key.format)
}
