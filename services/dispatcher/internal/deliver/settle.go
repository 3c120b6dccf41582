package deliver

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/lane"
)

// settlement waits for everything that a delivery's consequence consists of.
type settlement struct {
	source Source
	left   atomic.Int32
	failed atomic.Bool
}

func newSettlement(source Source, parts int32) *settlement {
	s := &settlement{source: source}
	s.left.Store(parts)
	return s
}

// stored counts one part. When the last one is in, the source learns whether all
// of them are durable.
func (s *settlement) stored(err error) {
	if err != nil {
		s.failed.Store(true)
	}
	if s.left.Add(-1) == 0 {
		s.source.Settle(!s.failed.Load())
	}
}

// settle writes the record and, with a retry, the schedule of the next attempt.
func (d *Deliverer) settle(x *Delivery, record *webhooksv1.Attempt, next time.Time) {
	if record.GetOutcome() != webhooksv1.Outcome_OUTCOME_RETRY {
		d.journal.add(record, newSettlement(x.Source, 1).stored)
		return
	}
	both := newSettlement(x.Source, 2)
	d.journal.add(record, both.stored)
	d.schedule(x, x.Attempt+1, next, both.stored)
}

// park puts the delivery on the schedule as it is: it has not used up an attempt.
// One that has been owed for longer than its retries last ends instead when its
// receiver is failing: so few attempts are made then that it would never end.
func (d *Deliverer) park(x *Delivery, at time.Time, why lane.Cause) {
	if why == lane.Broken && time.Since(x.OwedSince) > d.retries.Patience() {
		d.conclude(x, webhooksv1.Outcome_OUTCOME_EXHAUSTED)
		return
	}
	d.metrics.parked.WithLabelValues(why.String()).Inc()
	d.schedule(x, x.Attempt, at, newSettlement(x.Source, 1).stored)
}

// giveUp puts a delivery that a stop interrupts on the schedule, for whoever is
// there next.
func (d *Deliverer) giveUp(x *Delivery) {
	d.metrics.parked.WithLabelValues(causeStopping).Inc()
	d.schedule(x, x.Attempt, time.Now(), newSettlement(x.Source, 1).stored)
}

// causeStopping is why a stop puts deliveries on the schedule, in the metrics.
const causeStopping = "stopping"

func (d *Deliverer) schedule(x *Delivery, attempt uint32, at time.Time, stored func(error)) {
	msg, err := scheduled(x.message(attempt), at)
	if err != nil {
		stored(err)
		return
	}
	d.writer.write(msg, stored)
}

// scheduled is a message that JetStream moves to the webhook's deliveries when it
// is due (message schedules, nats-server 2.12). The subject is the delivery's
// own, so writing it again replaces it.
func scheduled(x *webhooksv1.Delivery, at time.Time) (*nats.Msg, error) {
	data, err := proto.Marshal(x)
	if err != nil {
		return nil, fmt.Errorf("encode delivery %s: %w", x.GetId(), err)
	}
	msg := nats.NewMsg(topology.SubjectScheduled(x.GetWebhookId(), x.GetId()))
	msg.Data = data
	// The library's option cuts the fraction of the second off, which would be
	// earlier than asked.
	msg.Header.Set(jetstream.ScheduleHeader, "@at "+at.UTC().Format(time.RFC3339Nano))
	msg.Header.Set(jetstream.ScheduleTargetHeader, topology.SubjectDelivery(x.GetWebhookId()))
	return msg, nil
}
