package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// maxParked bounds the deliveries that are remembered as parked; with more, the
	// later ones may come twice.
	maxParked = 4 << 20
	// recordPoll is how often the recorder is asked how far it is.
	recordPoll = 100 * time.Millisecond
	// intakePatience is how long the intake may take over what was published before:
	// longer than an attempt lasts.
	intakePatience = 20 * time.Second
)

// Way is what was on its way to one webhook at one moment.
type Way struct {
	floors map[string]uint64 // how far each part of the intake had settled
	parked []uint64          // sequences of the events, ascending
}

// Look finds out what is on its way to a webhook now, and waits until the outcomes
// of everything that had been settled by then are recorded, for so long at most:
// then it returns what it has, and [ErrLate]. Before that it gives the intake a while
// to settle what has been published.
func Look(ctx context.Context, js jetstream.JetStream, webhook store.Webhook, patience time.Duration) (*Way, error) {
	webhookID := webhook.ID
	w := &Way{}
	var err error
	if w.floors, err = takenIn(ctx, js, webhook.ProjectID, min(patience, intakePatience)); err != nil {
		return nil, err
	}
	// A range that becomes due, or is put off, between two looks is in one of them.
	for _, subject := range []string{
		topology.SubjectScheduledRange(webhookID, "*"), topology.SubjectRange(webhookID), topology.SubjectScheduledRange(webhookID, "*"),
	} {
		if err := EachRange(ctx, js, subject, func(r *webhooksv1.Range, _ uint64) error {
			w.add(r)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	if err := w.addDue(ctx, js, webhookID); err != nil {
		return nil, err
	}
	slices.Sort(w.parked)
	w.parked = slices.Compact(w.parked)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return w, Recorded(ctx, js)
}

// Parked reports whether an event is written down as due soon, with many others.
func (w *Way) Parked(sequence uint64) bool {
	_, found := slices.BinarySearch(w.parked, sequence)
	return found
}

// Empty reports whether nothing is parked.
func (w *Way) Empty() bool { return len(w.parked) == 0 }

// Unsettled reports whether the intake may still be at an event.
func (w *Way) Unsettled(e eventlog.Event) bool {
	floor, known := w.floors[e.Part]
	return !known || e.Sequence > floor
}

func (w *Way) add(r *webhooksv1.Range) {
	sequence := uint64(0)
	for _, step := range r.GetSequenceSteps() {
		sequence += step
		if len(w.parked) < maxParked {
			w.parked = append(w.parked, sequence)
		}
	}
}

// addDue adds single deliveries that are due at this moment.
func (w *Way) addDue(ctx context.Context, js jetstream.JetStream, webhookID string) error {
	return Each(ctx, js, topology.StreamDeliveries, topology.SubjectDelivery(webhookID), func(msg *jetstream.RawStreamMsg) error {
		owed := &webhooksv1.Delivery{}
		if proto.Unmarshal(msg.Data, owed) == nil && len(w.parked) < maxParked {
			w.parked = append(w.parked, owed.GetEventSequence())
		}
		return nil
	})
}

// EachRange calls visit with each range that is stored on a subject, and its place
// in RANGES. Some may come or go meanwhile.
func EachRange(ctx context.Context, js jetstream.JetStream, subject string, visit func(r *webhooksv1.Range, sequence uint64) error) error {
	return Each(ctx, js, topology.StreamRanges, subject, func(msg *jetstream.RawStreamMsg) error {
		r := &webhooksv1.Range{}
		if err := proto.Unmarshal(msg.Data, r); err != nil {
			return nil //nolint:nilerr // whoever is given it says so
		}
		return visit(r, msg.Sequence)
	})
}

// Each calls visit with each message that a stream has on a subject. It reads one by
// one: a consumer of a stream of work would be given what is another's. Some may come
// or go meanwhile.
func Each(ctx context.Context, js jetstream.JetStream, name, subject string, visit func(*jetstream.RawStreamMsg) error) error {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	for next := uint64(1); ; {
		msg, err := stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if err := visit(msg); err != nil {
			return err
		}
		next = msg.Sequence + 1
	}
}

// floors is up to where each part of the intake has settled everything.
func floors(ctx context.Context, js jetstream.JetStream) (map[string]uint64, error) {
	consumers, err := topology.IntakeConsumers(ctx, js, topology.Consumption{MaxAckPending: 1})
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what it was
	}
	all := map[string]uint64{}
	for part := range len(consumers) {
		name := fmt.Sprint(part)
		consumer, err := js.Consumer(ctx, topology.StreamEvents, topology.ConsumerIntake(name))
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			continue // nothing of it has been settled
		}
		if err != nil {
			return nil, fmt.Errorf("ask how far events are taken in: %w", err)
		}
		info := consumer.CachedInfo()
		all[name] = info.AckFloor.Stream
		if info.NumAckPending == 0 {
			all[name] = info.Delivered.Stream
		}
	}
	return all, nil
}

// takenIn waits until the intake has settled the events of a project that are stored
// by now, and returns how far each part of it is. After a while it returns that all
// the same.
func takenIn(ctx context.Context, js jetstream.JetStream, projectID string, patience time.Duration) (map[string]uint64, error) {
	stream, err := js.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", topology.StreamEvents, err)
	}
	last, err := stream.GetLastMsgForSubject(ctx, topology.SubjectStored(projectID, ">"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return floors(ctx, js)
	}
	if err != nil {
		return nil, fmt.Errorf("find the last event: %w", err)
	}
	part := topology.Part(last.Subject)
	for deadline := time.Now().Add(patience); ; retry.Pause(ctx, recordPoll) {
		all, err := floors(ctx, js)
		if err != nil || all[part] >= last.Sequence || time.Now().After(deadline) {
			return all, err
		}
	}
}

// Recorded waits until the recorder has everything that is in ATTEMPTS by now. When
// ctx ends before that, it returns [ErrLate].
func Recorded(ctx context.Context, js jetstream.JetStream) error {
	stream, err := js.Stream(ctx, topology.StreamAttempts)
	if err != nil {
		return fmt.Errorf("open %s: %w", topology.StreamAttempts, err)
	}
	state := stream.CachedInfo().State
	for last := state.LastSeq; state.Msgs > 0 && state.FirstSeq <= last; {
		retry.Pause(ctx, recordPoll)
		if ctx.Err() != nil {
			return fmt.Errorf("wait for the records of attempts: %w", ErrLate)
		}
		info, err := stream.Info(ctx)
		if err != nil {
			return fmt.Errorf("look at %s: %w", topology.StreamAttempts, err)
		}
		state = info.State
	}
	return nil
}

// ErrLate says that the recorder is behind, so that it is not known what became of
// the latest events.
var ErrLate = errors.New("the delivery log is late")
