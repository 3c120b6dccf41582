package due

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/deliver"
	"github.com/dembrane/webhooks/services/dispatcher/internal/eventbody"
)

const (
	// maxRangeEvents is how many deliveries a range may have. Ours have 256; what is
	// larger was not written by this system.
	maxRangeEvents = 4096
	// pageEvents is how many events of a range are read back together.
	pageEvents = 64
	// inLineAtOnce is how many deliveries of one webhook's ranges stand in its
	// endpoint's line at once: enough to keep a quick receiver busy, too few to fill
	// the line and be turned away.
	inLineAtOnce = 64
	// rangesPerWebhook is how many ranges of one webhook are held at once. One more
	// goes back on the schedule for postponeFor to twice as long: shorter than what is
	// held keeps a quick receiver busy.
	rangesPerWebhook = 8
	postponeFor      = 200 * time.Millisecond
)

// HandleRange delivers what one message of RANGES owes and returns nil when the
// message may be acknowledged: every delivery in it is stored, possibly as part of
// a new range. An error means that all of it is to be handed back.
func (d *Due) HandleRange(ctx context.Context, msg jetstream.Msg) error {
	r := &webhooksv1.Range{}
	if err := proto.Unmarshal(msg.Data(), r); err != nil || !usable(r) {
		d.drop(msg, err)
		return nil
	}
	b := d.open(r.GetWebhookId())
	if b == nil {
		return d.Postpone(r, postponeFor+rand.N(postponeFor)) //nolint:gosec // spreads load, keeps no secret
	}
	defer d.close(r.GetWebhookId())
	// One range after the other: the next begins when all of this one have had their
	// turn, so that a crash repeats little more than one.
	if err := b.turn.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("wait for the range before: %w", err)
	}
	begun := sync.OnceFunc(func() { b.turn.Release(1) })
	defer begun()
	list := deliveries(r)
	var p *page
	var all sync.WaitGroup
	failed := make([]error, len(list))
	for i, x := range list {
		if i%pageEvents == 0 {
			p = newPage(d, list[i:min(i+pageEvents, len(list))])
			defer p.release()
		}
		if failed[i] = b.inLine.Acquire(ctx, 1); failed[i] != nil {
			continue // and so it is for the rest
		}
		of, next := p, sync.OnceFunc(func() { b.inLine.Release(1) })
		all.Go(func() {
			defer next()
			failed[i] = d.fromRange(ctx, x, of, next)
		})
	}
	begun()
	all.Wait()
	return d.Rest(list, failed)
}

// fromRange makes one delivery of a range, whose event is on this page. It calls
// turn when the delivery does not stand in line any more because it may go.
func (d *Due) fromRange(ctx context.Context, x deliver.Delivery, p *page, turn func()) error {
	release := func() {}
	defer func() { release() }()
	x.Body = func(ctx context.Context, format chat.Format) (*eventbody.Body, error) {
		turn()
		body, err := p.body(ctx, x.Sequence, format)
		if err != nil {
			return nil, err
		}
		release = body.Release
		return body, ofEvent(body, x.EventID)
	}
	return d.settled(ctx, &x, d.Deliver(ctx, x))
}

// page is a part of a range whose events are read back together, once the first
// of them may go.
type page struct {
	due       *Due
	project   string
	sequences []uint64

	once     sync.Once
	mu       sync.Mutex
	messages map[uint64]*heldMessage
	err      error // why those that are not among the messages were not read
}

func newPage(d *Due, list []deliver.Delivery) *page {
	p := &page{due: d, project: list[0].ProjectID, messages: map[uint64]*heldMessage{}}
	for i := range list {
		p.sequences = append(p.sequences, list[i].Sequence)
	}
	return p
}

// heldMessage is an event that was read back, and the memory that it takes.
type heldMessage struct {
	message eventbody.Message
	read    time.Time
	err     error
	release func()
}

// body renders the event of one delivery.
func (p *page) body(ctx context.Context, sequence uint64, format chat.Format) (*eventbody.Body, error) {
	p.once.Do(func() { p.read(ctx) })
	p.mu.Lock()
	m := p.messages[sequence]
	delete(p.messages, sequence)
	p.mu.Unlock()
	switch {
	case m == nil:
		return nil, p.err
	case m.err != nil:
		return nil, m.err
	}
	defer m.release()
	if time.Since(m.read) > keepFor { // it may have been erased meanwhile
		return p.due.read(ctx, p.project, bodyKey{sequence: sequence, format: format})
	}
	return p.due.Renderer.Render(m.message, format)
}

// read reads the events back, as far as there is memory for them.
func (p *page) read(ctx context.Context) {
	p.err = eventbody.ErrNoMemory // for those that are not reached
	if err := p.due.reads.Acquire(ctx, 1); err != nil {
		p.err = fmt.Errorf("wait to read events: %w", err)
		return
	}
	defer p.due.reads.Release(1)
	err := p.due.Events.Read(ctx, p.project, p.sequences, func(sequence uint64, msg *jetstream.RawStreamMsg, err error) bool {
		m := &heldMessage{err: err, read: time.Now(), release: func() {}}
		if err == nil {
			var ok bool
			if m.release, ok = p.due.Renderer.Hold(len(msg.Data)); !ok {
				return false
			}
			m.message = eventbody.Message{Subject: msg.Subject, Header: msg.Header, Data: msg.Data}
		}
		p.mu.Lock()
		p.messages[sequence] = m
		p.mu.Unlock()
		return true
	})
	if err != nil {
		p.err = fmt.Errorf("read events: %w", err)
	}
}

// release gives back what was read and not used.
func (p *page) release() {
	for _, m := range p.messages {
		m.release()
	}
}

// usable reports whether a range says what it has to.
func usable(r *webhooksv1.Range) bool {
	count := len(r.GetSequenceSteps())
	types := len(r.GetEventTypes())
	if count == 0 || count > maxRangeEvents || len(r.GetEventIds()) != count || types == 0 || r.GetAttempt() == 0 ||
		!event.ValidID(r.GetId()) || !event.ValidID(r.GetWebhookId()) || !event.ValidID(r.GetProjectId()) {
		return false
	}
	if len(r.GetEventTypeIndex()) == 0 {
		return types == 1
	}
	for _, index := range r.GetEventTypeIndex() {
		if int(index) >= types {
			return false
		}
	}
	return len(r.GetEventTypeIndex()) == count
}

// deliveries are what a usable range owes.
func deliveries(r *webhooksv1.Range) []deliver.Delivery {
	since := time.Now()
	if r.GetOwedSince().IsValid() {
		since = r.GetOwedSince().AsTime()
	}
	list := make([]deliver.Delivery, len(r.GetEventIds()))
	sequence := uint64(0)
	for i, id := range r.GetEventIds() {
		sequence += r.GetSequenceSteps()[i]
		eventType := r.GetEventTypes()[0]
		if len(r.GetEventTypeIndex()) > 0 {
			eventType = r.GetEventTypes()[r.GetEventTypeIndex()[i]]
		}
		list[i] = deliver.Delivery{
			ID:        webhook.DeliveryID(id, r.GetWebhookId()),
			EventID:   id,
			EventType: eventType,
			ProjectID: r.GetProjectId(),
			WebhookID: r.GetWebhookId(),
			Sequence:  sequence,
			Attempt:   r.GetAttempt(),
			Trigger:   r.GetTrigger(),
			OwedSince: since,
			ReplayID:  r.GetReplayId(),
		}
	}
	return list
}

// ofEvent checks that a body is this event's. The stream may have been made again
// since the sequence was written down; then the event is gone.
func ofEvent(body *eventbody.Body, eventID string) error {
	if body.EventID != eventID {
		return fmt.Errorf("found event %s instead of %s: %w", body.EventID, eventID, topology.ErrEventGone)
	}
	return nil
}

// backlog is the ranges of one webhook that are worked on.
type backlog struct {
	ranges int
	turn   *semaphore.Weighted // one range's at a time
	inLine *semaphore.Weighted
}

// open begins to work on a range of a webhook; nil when there are enough of them.
func (d *Due) open(webhookID string) *backlog {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.backlogs[webhookID]
	if b == nil {
		b = &backlog{turn: semaphore.NewWeighted(1), inLine: semaphore.NewWeighted(inLineAtOnce)}
		d.backlogs[webhookID] = b
	}
	if b.ranges == rangesPerWebhook {
		return nil
	}
	b.ranges++
	return b
}

func (d *Due) close(webhookID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.backlogs[webhookID]
	if b.ranges--; b.ranges == 0 {
		delete(d.backlogs, webhookID)
	}
}
