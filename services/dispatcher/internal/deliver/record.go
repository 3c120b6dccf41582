package deliver

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/eventbody"
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
		ReplayId:      x.ReplayID,
		Outcome:       v.outcome,
		Reason:        v.reason,
		Cause:         v.cause,
		// A receiver's words may be part of it, and one byte that is no text
		// would make the record unwritable.
		Detail: strings.ToValidUTF8(v.detail, "?"),
	}
	if !v.next.IsZero() {
		record.NextAttemptAt = timestamppb.New(v.next)
	}
	return record
}

// describeExchange adds what was sent and what came back.
func describeExchange(record *webhooksv1.Attempt, w *registry.Webhook, body *eventbody.Body, answer egress.Result) {
	record.WebhookRevision = w.Revision
	var keys [2]signature.Key
	record.Request = &webhooksv1.Request{
		Url: strings.ToValidUTF8(w.URLText, "?"), BodyBytes: int64(len(body.Bytes)),
		Signed:      len(w.Keys(keys[:0], record.GetStartedAt().AsTime())) > 0,
		HeaderNames: w.HeaderNames(),
	}
	record.StatusCode = uint32(answer.StatusCode) //nolint:gosec // a status has three digits
	// Some receivers repeat what they were sent.
	record.Detail = w.Hide(record.GetDetail())
	record.Response = response(answer, w)
	record.Timing = timing(answer.Timing)
	record.OccurredAt = timestamppb.New(body.OccurredAt)
}

// timing is where the time of an attempt went.
func timing(t egress.Timing) *webhooksv1.Timing {
	return &webhooksv1.Timing{
		DnsUs: t.DNS.Microseconds(), ConnectUs: t.Connect.Microseconds(), TlsUs: t.TLS.Microseconds(),
		WaitUs: t.Wait.Microseconds(), EndedIn: t.Ended,
	}
}

// response keeps a bounded part of what came back, headers in the order of their
// names, and nothing of what the webhook's own headers hold. Bytes that are no text in a header are replaced: the record is text.
func response(answer egress.Result, w *registry.Webhook) *webhooksv1.Response {
	if answer.StatusCode == 0 {
		return nil
	}
	r := &webhooksv1.Response{Body: answer.Body, Truncated: answer.Truncated}
	switch {
	case !w.HasHeaders():
	case answer.Truncated:
		r.Body = []byte(w.HideInCut(string(answer.Body)))
	default:
		r.Body = []byte(w.Hide(string(answer.Body)))
	}
	r.Headers = make([]*webhooksv1.Header, 0, min(len(answer.Header), maxRecordedHeaders))
	var room [maxRecordedHeaders]string
	names := slices.AppendSeq(room[:0], maps.Keys(answer.Header))
	slices.Sort(names)
	for _, name := range names {
		for _, value := range answer.Header[name] {
			if len(r.Headers) == maxRecordedHeaders {
				break
			}
			value = w.Hide(value)
			r.Headers = append(r.Headers, &webhooksv1.Header{
				Name:  strings.ToValidUTF8(name, "?"),
				Value: strings.ToValidUTF8(value[:min(len(value), maxRecordedValue)], "?"),
			})
		}
	}
	return r
}

// concluded is the record of a delivery to which nothing is sent any more.
func concluded(x *Delivery, outcome webhooksv1.Outcome) *webhooksv1.Attempt {
	detail := map[webhooksv1.Outcome]string{
		webhooksv1.Outcome_OUTCOME_DELETED:   "The webhook was deleted before this could be sent.",
		webhooksv1.Outcome_OUTCOME_DISABLED:  "The webhook was switched off before this could be sent.",
		webhooksv1.Outcome_OUTCOME_EXPIRED:   "The event is older than events are kept, so it can no longer be sent.",
		webhooksv1.Outcome_OUTCOME_ERASED:    "The event was erased before this could be sent.",
		webhooksv1.Outcome_OUTCOME_EXHAUSTED: "The receiver has been failing for so long that this was not tried any more. Send it again when the receiver works.",
	}[outcome]
	v := verdict{outcome: outcome, detail: detail}
	if outcome == webhooksv1.Outcome_OUTCOME_EXHAUSTED {
		v.reason = webhooksv1.Reason_REASON_RECEIVER_FAILING
	}
	return newRecord(x, v, time.Now())
}

// report is the one log line and the metrics of an attempt.
func (d *Deliverer) report(r *webhooksv1.Attempt) {
	d.metrics.attempt(r)
	d.log.Info("attempt", zap.Inline((*attemptLine)(r)))
}

// attemptLine is an attempt as the log writes it.
type attemptLine webhooksv1.Attempt

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (l *attemptLine) MarshalLogObject(line zapcore.ObjectEncoder) error {
	r := (*webhooksv1.Attempt)(l)
	line.AddString(observe.KeyEvent, r.GetEventId())
	line.AddString(observe.KeyDelivery, r.GetDeliveryId())
	line.AddString(observe.KeyWebhook, r.GetWebhookId())
	line.AddString(observe.KeyProject, r.GetProjectId())
	line.AddUint32(observe.KeyAttempt, r.GetNumber())
	line.AddString(observe.KeyTrigger, r.GetTrigger().Label())
	line.AddString(observe.KeyOutcome, r.GetOutcome().Label())
	line.AddString(observe.KeyReason, r.GetReason().Label())
	line.AddUint32(observe.KeyStatusCode, r.GetStatusCode())
	line.AddFloat64(observe.KeyDurationMS, float64(r.GetDurationUs())/1000)
	if r.GetNextAttemptAt() != nil {
		line.AddTime(observe.KeyNextAt, r.GetNextAttemptAt().AsTime())
	}
	return nil
}

func names(x *Delivery) []zap.Field {
	return []zap.Field{
		zap.String(observe.KeyEvent, x.EventID),
		zap.String(observe.KeyDelivery, x.ID),
		zap.String(observe.KeyWebhook, x.WebhookID),
		zap.String(observe.KeyProject, x.ProjectID),
		zap.Uint32(observe.KeyAttempt, x.Attempt),
	}
}
