// Package due takes deliveries whose time has come: retries, parked deliveries,
// resends and replays. A message carries ids only; the event is fetched by its
// sequence when the attempt is made, and rendered to the same bytes again.
package due

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/deliver"
)

const (
	fetchTimeout = 5 * time.Second
	// handBackDelay keeps a fault of ours from turning into a busy loop.
	handBackDelay = time.Second
	// fetching bounds the events that are being read back at once. Before an
	// event is here its size is not known, so MaxBytes cannot bound these.
	fetching = 16
	// cacheShare is the part of MaxBytes that bodies are kept in for deliveries
	// that are due next.
	cacheShare = 8
)

// Parts is what a due is made of.
type Parts struct {
	Deliver func(*deliver.Delivery)
	// Events is the stream that bodies are made from.
	Events   jetstream.Stream
	Renderer payload.Renderer
	// MaxBytes bounds the bodies that are held at once.
	MaxBytes int64
	Log      *zap.Logger
}

// Due takes deliveries from messages. [Due.Handle] is given to a consumer on
// DELIVERIES.
type Due struct {
	Parts
	bytes   *semaphore.Weighted
	fetches *semaphore.Weighted
	bodies  *bodies
}

// New returns a due.
func New(p Parts) (*Due, error) {
	d := &Due{Parts: p, bytes: semaphore.NewWeighted(p.MaxBytes), fetches: semaphore.NewWeighted(fetching)}
	var err error
	if d.bodies, err = newBodies(p.MaxBytes/cacheShare, d.fetch); err != nil {
		return nil, fmt.Errorf("make the cache of bodies: %w", err)
	}
	return d, nil
}

// Handle takes over one message of DELIVERIES.
func (d *Due) Handle(ctx context.Context, msg jetstream.Msg) {
	if ctx.Err() != nil {
		d.handBack(msg, 0)
		return
	}
	var owed webhooksv1.Delivery
	err := proto.Unmarshal(msg.Data(), &owed)
	if err != nil || !event.ValidID(owed.GetWebhookId()) || !event.ValidID(owed.GetId()) || owed.GetAttempt() == 0 {
		// Only the two services write here, so this is a fault of ours that no
		// repetition mends. The event itself is still in EVENTS.
		d.Log.Error("delivery unreadable, dropped", zap.String("subject", msg.Subject()), zap.Error(err))
		if err := msg.TermWithReason("unreadable"); err != nil {
			d.Log.Warn("unreadable delivery not terminated, it comes again", zap.Error(err))
		}
		return
	}
	since := time.Now() // of one that was written by an older version
	if owed.GetOwedSince().IsValid() {
		since = owed.GetOwedSince().AsTime()
	}
	d.Deliver(&deliver.Delivery{
		ID:        owed.GetId(),
		EventID:   owed.GetEventId(),
		EventType: owed.GetEventType(),
		ProjectID: owed.GetProjectId(),
		WebhookID: owed.GetWebhookId(),
		Sequence:  owed.GetEventSequence(),
		Attempt:   owed.GetAttempt(),
		Trigger:   owed.GetTrigger(),
		OwedSince: since,
		Source:    &source{due: d, msg: msg, sequence: owed.GetEventSequence(), eventID: owed.GetEventId()},
	})
}

// source is one due delivery.
type source struct {
	due      *Due
	msg      jetstream.Msg
	sequence uint64
	eventID  string
	weight   int64
}

// Body implements deliver.Source.
func (s *source) Body(ctx context.Context) ([]byte, error) {
	if err := s.due.fetches.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("wait to fetch the event: %w", err)
	}
	defer s.due.fetches.Release(1)
	found, err := s.due.bodies.get(ctx, s.sequence)
	if err != nil {
		return nil, err
	}
	if found.eventID != s.eventID {
		return nil, fmt.Errorf("event at sequence %d is %s, not %s: %w", s.sequence, found.eventID, s.eventID, deliver.ErrExpired)
	}
	weight := min(int64(len(found.bytes)), s.due.MaxBytes)
	if !s.due.bytes.TryAcquire(weight) {
		// Slow receivers of large bodies hold it all. To wait for them here would
		// make everybody else wait.
		return nil, deliver.ErrBusy
	}
	s.weight = weight
	return found.bytes, nil
}

// Settle implements deliver.Source.
func (s *source) Settle(durable bool) { //nolint:revive // the interface says why
	s.due.bytes.Release(s.weight)
	if !durable {
		s.due.handBack(s.msg, handBackDelay)
		return
	}
	if err := s.msg.Ack(); err != nil {
		s.due.Log.Warn("delivery not acknowledged, it comes again", zap.Error(err))
	}
}

// handBack gives a delivery to any replica, uncounted.
func (d *Due) handBack(msg jetstream.Msg, delay time.Duration) {
	if err := msg.NakWithDelay(delay); err != nil {
		d.Log.Warn("delivery not handed back, it comes again after the ack wait", zap.Error(err))
	}
}

// fetch reads an event back and renders it. It returns deliver.ErrExpired when it
// is gone.
func (d *Due) fetch(ctx context.Context, sequence uint64) (body, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	msg, err := d.Events.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return body{}, deliver.ErrExpired
	}
	if err != nil {
		return body{}, fmt.Errorf("fetch event %d: %w", sequence, err)
	}
	e, err := event.Decode(msg.Header.Get("Content-Type"), msg.Data)
	if err != nil {
		// It was readable when it was taken in, so it will not become so again.
		return body{}, fmt.Errorf("read event %d: %w: %w", sequence, deliver.ErrExpired, err)
	}
	return body{eventID: e.GetId(), bytes: d.Renderer.Append(nil, e), read: time.Now()}, nil
}
