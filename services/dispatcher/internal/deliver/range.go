package deliver

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/eventbody"
	"github.com/dembrane/webhooks/services/dispatcher/internal/limiter"
)

// A range is written when it has so many deliveries or is so old, whichever comes
// first. A crash repeats what was delivered of the ranges that package due had
// begun, so they are not larger.
const (
	rangeDeliveries = 256
	rangeAge        = 10 * time.Millisecond
)

// dueNow is how soon a range must be due to be written as due at once: a schedule
// costs JetStream a second message.
const dueNow = 100 * time.Millisecond

// restPause is how much later a delivery is tried that could not be begun for a
// reason of ours.
const restPause = time.Second

// rangeWriter writes down what may not go now: the deliveries of one webhook that
// are parked at about the same time become one message.
type rangeWriter struct {
	storage *storage
	batches batches[rangeKey, parked]
}

// rangeKey is what all deliveries of a range have in common.
type rangeKey struct {
	projectID, webhookID, replayID string
	attempt                        uint32
	trigger                        webhooksv1.Trigger
}

// parked is a delivery that may not go before a time.
type parked struct {
	Delivery
	notBefore time.Time
}

func newRangeWriter(s *storage) *rangeWriter {
	w := &rangeWriter{storage: s}
	w.batches = batches[rangeKey, parked]{
		maxItems: rangeDeliveries, maxBytes: journalBytes, maxAge: rangeAge, write: w.write,
	}
	return w
}

// Append returns when the delivery is stored as due at about this time, or with
// the error that says it is not.
func (w *rangeWriter) Append(x Delivery, notBefore time.Time) error {
	key := rangeKey{
		projectID: x.ProjectID, webhookID: x.WebhookID, replayID: x.ReplayID, attempt: x.Attempt, trigger: x.Trigger,
	}
	x.Body = nil // a body that waits for its range to be stored is held by nobody
	return w.batches.Add(key, parked{x, notBefore}, len(x.EventID)+8)
}

func (w *rangeWriter) write(key rangeKey, list []parked) error {
	slices.SortFunc(list, func(a, b parked) int { return cmp.Compare(a.Sequence, b.Sequence) })
	at, owedSince := list[0].notBefore, list[0].OwedSince
	r := &webhooksv1.Range{
		Id: ulid.Make().String(), ProjectId: key.projectID, WebhookId: key.webhookID, ReplayId: key.replayID,
		Attempt: key.attempt, Trigger: key.trigger,
	}
	last := uint64(0)
	for i := range list {
		at, owedSince = earlier(at, list[i].notBefore), earlier(owedSince, list[i].OwedSince)
		r.SequenceSteps = append(r.SequenceSteps, list[i].Sequence-last)
		r.EventIds = append(r.EventIds, list[i].EventID)
		last = list[i].Sequence
		index := slices.Index(r.GetEventTypes(), list[i].EventType)
		if index < 0 {
			index = len(r.GetEventTypes())
			r.EventTypes = append(r.EventTypes, list[i].EventType)
		}
		r.EventTypeIndex = append(r.EventTypeIndex, uint32(index)) //nolint:gosec // a few types
	}
	if len(r.GetEventTypes()) == 1 {
		r.EventTypeIndex = nil
	}
	r.OwedSince = timestamppb.New(owedSince)
	return w.store(r, at)
}

// Postpone stores a range that was due as due later by so much.
func (d *Deliverer) Postpone(r *webhooksv1.Range, by time.Duration) error {
	r.Id = ulid.Make().String()
	return d.ranges.store(r, time.Now().Add(by))
}

// Rest settles a cause whose deliveries have all returned with these errors. When
// some were settled and some were not, those are written down as due a little later:
// a cause that is handed back would have the others made again. An error means that
// all of it is to be handed back.
func (d *Deliverer) Rest(list []Delivery, failed []error) error {
	fault := errors.Join(failed...)
	left := 0
	for _, err := range failed {
		if err != nil {
			left++
		}
	}
	if left == 0 || left == len(list) {
		return fault
	}
	if _, unusable := errors.AsType[*eventbody.UnusableError](fault); unusable {
		return fault // so is it for all the others
	}
	d.log.Warn("deliveries put off", append(names(&list[0]), zap.Int("count", left), zap.Error(fault))...)
	var writing sync.WaitGroup
	again := make([]error, len(list))
	for i, x := range list {
		if failed[i] != nil {
			writing.Go(func() { again[i] = d.park(&x, time.Now().Add(restPause), limiter.Busy) })
		}
	}
	writing.Wait()
	return errors.Join(again...)
}

func (w *rangeWriter) store(r *webhooksv1.Range, at time.Time) error {
	data, err := proto.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode range: %w", err)
	}
	due := topology.SubjectRange(r.GetWebhookId())
	if time.Until(at) <= dueNow {
		return w.storage.Store(&nats.Msg{Subject: due, Data: data})
	}
	later := topology.SubjectScheduledRange(r.GetWebhookId(), r.GetId())
	return w.storage.StoreUntil(at, &nats.Msg{Subject: later, Data: data}, due)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
