package eventbody

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// rejectTimeout bounds writing one rejection.
const rejectTimeout = 5 * time.Second

// Rejecter writes down which events cannot be used, and why.
type Rejecter struct {
	js       jetstream.JetStream
	log      *zap.Logger
	rejected prometheus.Counter
}

// NewRejecter returns a rejecter that writes to the stream REJECTED.
func NewRejecter(js jetstream.JetStream, log *zap.Logger, metrics prometheus.Registerer) *Rejecter {
	return &Rejecter{js: js, log: log, rejected: promauto.With(metrics).NewCounter(prometheus.CounterOpts{
		Name: "webhooks_events_rejected_total",
		Help: "Events that could not be read. Any: `dembrane-webhooks rejected list` says which and why; tell whoever publishes them.",
	})}
}

// Reject returns nil when the reason is stored: the event may be acknowledged. With
// an error it is to be handed back. Rejecting an event twice stores it once.
func (r *Rejecter) Reject(ctx context.Context, stored string, sequence uint64, unusable *UnusableError) error {
	subject := topology.PublishedSubject(stored)
	ctx, cancel := context.WithTimeout(ctx, rejectTimeout)
	defer cancel()
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(&webhooksv1.Rejection{
		EventSequence: sequence,
		Subject:       strings.ToValidUTF8(subject, "?"), // NATS takes any bytes, JSON does not
		Reason:        strings.ToValidUTF8(unusable.Reason, "?"),
		RejectedAt:    timestamppb.Now(),
	})
	if err != nil {
		return fmt.Errorf("encode rejection: %w", err)
	}
	msg := nats.NewMsg(topology.SubjectRejected(subject))
	msg.Data = data
	msg.Header.Set(nats.MsgIdHdr, "rejected-"+strconv.FormatUint(sequence, 10))
	ack, err := r.js.PublishMsg(ctx, msg)
	if err != nil {
		return fmt.Errorf("write rejection of event %d: %w", sequence, err)
	}
	if ack.Duplicate {
		return nil
	}
	r.rejected.Inc()
	r.log.Warn("event rejected", zap.Uint64("event_sequence", sequence), zap.String("subject", subject), zap.String("reason", unusable.Reason))
	return nil
}
