package deliver

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

// Bounds of what a record keeps of the response's headers.
const (
	maxRecordedHeaders = 32
	maxRecordedValue   = 1 << 10
)

// newRecord says what became of a delivery.
func newRecord(x *Delivery, v verdict, started time.Time) *webhooksv1.Attempt {
	record := &webhooksv1.Attempt{
		Id:            ulid.MustNew(ulid.Timestamp(started), ulid.DefaultEntropy()).String(),
		DeliveryId:    x.ID,
		EventId:       x.EventID,
		EventType:     x.EventType,
		EventSequence: x.Sequence,
		ProjectId:     x.ProjectID,
		WebhookId:     x.WebhookID,
		Number:        x.Attempt,
		Trigger:       x.Trigger,
		StartedAt:     timestamppb.New(started),
		Outcome:       v.outcome,
		Reason:        v.reason,
		// A receiver's words may be part of it, and one byte that is no text
		// would make the record unwritable.
		Detail: strings.ToValidUTF8(v.detail, "?"),
	}
	if !v.next.IsZero() {
		record.NextAttemptAt = timestamppb.New(v.next)
	}
	return record
}

// exchange is one request and what came back.
type exchange struct {
	answer    egress.Result
	bodyBytes int
	took      time.Duration
}

// describeExchange adds what was sent and what came back.
func describeExchange(record *webhooksv1.Attempt, w *registry.Webhook, x exchange) {
	record.WebhookRevision = w.Revision
	record.Request = &webhooksv1.Request{Url: w.URLText, BodyBytes: int64(x.bodyBytes)}
	record.DurationUs = x.took.Microseconds()
	record.StatusCode = uint32(x.answer.StatusCode) //nolint:gosec // a status has three digits
	record.Response = response(x.answer)
}

// response keeps a bounded part of what came back, headers in the order of their
// names. Bytes that are no text in a header are replaced: the record is text.
func response(answer egress.Result) *webhooksv1.Response {
	if answer.StatusCode == 0 {
		return nil
	}
	r := &webhooksv1.Response{Body: answer.Body, Truncated: answer.Truncated}
	r.Headers = make([]*webhooksv1.Header, 0, min(len(answer.Header), maxRecordedHeaders))
	var room [maxRecordedHeaders]string
	names := slices.AppendSeq(room[:0], maps.Keys(answer.Header))
	slices.Sort(names)
	for _, name := range names {
		for _, value := range answer.Header[name] {
			if len(r.Headers) == maxRecordedHeaders {
				break
			}
			r.Headers = append(r.Headers, &webhooksv1.Header{
				Name:  strings.ToValidUTF8(name, "?"),
				Value: strings.ToValidUTF8(value[:min(len(value), maxRecordedValue)], "?"),
			})
		}
	}
	return r
}
