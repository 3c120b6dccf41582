package erase

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/account"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// recordsPerMessage bounds a message of ATTEMPTS.
const recordsPerMessage = 256

// endOwed ends what is due later for erased events: nobody is to wait a day to read
// that nothing comes. What is due now, or in a range with other events, is left to the
// dispatchers, which find the event gone.
func (j *job) endOwed(ctx context.Context) error {
	webhooks, err := j.Store.List(ctx, j.erasure.ProjectID)
	if err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	for _, w := range webhooks {
		if err := j.endDeliveries(ctx, w); err != nil {
			return err
		}
		if err := j.endRanges(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// ending is what ends: the records that say so, and the messages that go after that.
type ending struct {
	records []*webhooksv1.Attempt
	remove  []uint64
}

func (j *job) endDeliveries(ctx context.Context, w store.Webhook) error {
	subject := topology.SubjectScheduled(w.ID, "*")
	if j.erasure.EventID != "" {
		subject = topology.SubjectScheduled(w.ID, webhook.DeliveryID(j.erasure.EventID, w.ID))
	}
	var ends ending
	err := account.Each(ctx, j.JS, topology.StreamDeliveries, subject, func(msg *jetstream.RawStreamMsg) error {
		owed := &webhooksv1.Delivery{}
		if err := proto.Unmarshal(msg.Data, owed); err != nil || !j.about(owed.GetEventId(), owed.GetEventSequence()) {
			return nil //nolint:nilerr // whoever is given it says so
		}
		ends.records = append(ends.records, j.erased(owed))
		ends.remove = append(ends.remove, msg.Sequence)
		return j.end(ctx, topology.StreamDeliveries, &ends, recordsPerMessage)
	})
	return errors.Join(err, j.end(ctx, topology.StreamDeliveries, &ends, 1))
}

func (j *job) endRanges(ctx context.Context, w store.Webhook) error {
	var ends ending
	err := account.EachRange(ctx, j.JS, topology.SubjectScheduledRange(w.ID, "*"), func(r *webhooksv1.Range, sequence uint64) error {
		all := j.owedBy(r)
		if all == nil {
			return nil
		}
		for _, owed := range all {
			ends.records = append(ends.records, j.erased(owed))
		}
		ends.remove = append(ends.remove, sequence)
		return j.end(ctx, topology.StreamRanges, &ends, recordsPerMessage)
	})
	return errors.Join(err, j.end(ctx, topology.StreamRanges, &ends, 1))
}

// owedBy is what a range owes when all of it is erased, else nil.
func (j *job) owedBy(r *webhooksv1.Range) []*webhooksv1.Delivery {
	steps, types, index := r.GetSequenceSteps(), r.GetEventTypes(), r.GetEventTypeIndex()
	if len(steps) != len(r.GetEventIds()) || len(types) == 0 || len(index) != 0 && len(index) != len(steps) {
		return nil // whoever is given it says so
	}
	all := make([]*webhooksv1.Delivery, 0, len(steps))
	sequence := uint64(0)
	for i, id := range r.GetEventIds() {
		sequence += steps[i]
		if !j.about(id, sequence) {
			return nil
		}
		eventType := types[0]
		if len(index) > 0 && int(index[i]) < len(types) {
			eventType = types[index[i]]
		}
		all = append(all, &webhooksv1.Delivery{
			Id: webhook.DeliveryID(id, r.GetWebhookId()), EventId: id, EventType: eventType, EventSequence: sequence,
			ProjectId: r.GetProjectId(), WebhookId: r.GetWebhookId(), Attempt: r.GetAttempt(), Trigger: r.GetTrigger(), ReplayId: r.GetReplayId(),
		})
	}
	return all
}

// erased is the record of a delivery whose event was erased. Its id follows from the
// delivery and the erasure, so that it is recorded once, however often that is tried.
func (j *job) erased(owed *webhooksv1.Delivery) *webhooksv1.Attempt {
	id := ulid.ULID{}
	at := j.erasure.BegunAt
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", owed.GetId(), j.erasure.ID, owed.GetAttempt()))
	if id.SetTime(ulid.Timestamp(at)) != nil || id.SetEntropy(sum[:10]) != nil {
		id = ulid.Make() // neither happens before the year 10889
	}
	return &webhooksv1.Attempt{
		Id: id.String(), DeliveryId: owed.GetId(), EventId: owed.GetEventId(), EventType: owed.GetEventType(),
		EventSequence: owed.GetEventSequence(), ProjectId: owed.GetProjectId(), WebhookId: owed.GetWebhookId(),
		Number: owed.GetAttempt(), Trigger: owed.GetTrigger(), ReplayId: owed.GetReplayId(), StartedAt: timestamppb.New(at),
		Outcome: webhooksv1.Outcome_OUTCOME_ERASED,
	}
}

// end writes down the records when there are at least so many, and removes what they
// are about then: a crash in between does both again.
func (j *job) end(ctx context.Context, name string, ends *ending, enough int) error {
	if len(ends.records) < enough {
		return nil
	}
	for start := 0; start < len(ends.records); start += recordsPerMessage {
		records := ends.records[start:min(start+recordsPerMessage, len(ends.records))]
		data, err := proto.Marshal(&webhooksv1.AttemptBatch{Attempts: records})
		if err != nil {
			return fmt.Errorf("encode records: %w", err)
		}
		if _, err := j.JS.Publish(ctx, topology.SubjectAttempts, data); err != nil {
			return fmt.Errorf("write records: %w", err)
		}
	}
	stream, err := j.JS.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	for _, sequence := range ends.remove {
		err := stream.DeleteMsg(ctx, sequence)
		if err != nil && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) { // it has become due meanwhile
			return fmt.Errorf("remove what is owed: %w", err)
		}
	}
	*ends = ending{}
	return nil
}
