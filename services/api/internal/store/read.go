package store

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// ErrNoAttempt says that there is no such attempt of this webhook in the log, or
// no more.
var ErrNoAttempt = errors.New("attempt not found")

// Attempt returns one attempt of a webhook as it was recorded, by this version or
// an earlier one, or [ErrNoAttempt].
func (s *Store) Attempt(ctx context.Context, projectID, webhookID, id string) (*webhooksv1.Attempt, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var d attempt
	err := s.attempts.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&d)
	if errors.Is(err, mongo.ErrNoDocuments) || err == nil && (d.ProjectID != projectID || d.WebhookID != webhookID) {
		return nil, ErrNoAttempt
	}
	if err != nil {
		return nil, unavailable("load attempt", err)
	}
	return d.record(), nil
}

// record is the attempt that a document was made of.
func (d *attempt) record() *webhooksv1.Attempt {
	a := &webhooksv1.Attempt{
		Id: d.ID, DeliveryId: d.DeliveryID, EventId: d.EventID, EventType: d.EventType,
		EventSequence: uint64(d.EventSequence), //nolint:gosec // written as one
		ProjectId:     d.ProjectID, WebhookId: d.WebhookID,
		WebhookRevision: uint64(d.WebhookRevision), //nolint:gosec // written as one
		Number:          uint32(d.Number),          //nolint:gosec // written as one
		StartedAt:       timestamppb.New(d.StartedAt),
		DurationUs:      d.DurationUS,
		StatusCode:      uint32(d.StatusCode), //nolint:gosec // written as one
		Detail:          d.Detail,
		NextAttemptAt:   optionalTimestamp(d.NextAttemptAt),
		ReplayId:        d.ReplayID,
		Request: &webhooksv1.Request{
			Url: d.Request.URL, BodyBytes: d.Request.BodyBytes, Signed: d.Request.Signed, HeaderNames: d.Request.HeaderNames,
		},
	}
	// What a newer version wrote and this one does not know is left out.
	a.Outcome, _ = webhooksv1.ParseOutcome(d.Outcome)
	a.Reason, _ = webhooksv1.ParseReason(d.Reason)
	a.Trigger, _ = webhooksv1.ParseTrigger(d.Trigger)
	a.Cause, _ = webhooksv1.ParseCause(d.Cause)
	if d.OccurredUS != 0 {
		a.OccurredAt = timestamppb.New(time.UnixMicro(d.OccurredUS))
	}
	if t := d.Timing; t != nil {
		a.Timing = &webhooksv1.Timing{DnsUs: t.DNS, ConnectUs: t.Connect, TlsUs: t.TLS, WaitUs: t.Wait}
		a.Timing.EndedIn, _ = webhooksv1.ParsePhase(t.EndedIn)
	}
	if r := d.Response; r != nil {
		a.Response = &webhooksv1.Response{Body: r.Body, Truncated: r.Truncated}
		for _, h := range r.Headers {
			a.Response.Headers = append(a.Response.Headers, &webhooksv1.Header{Name: h.Name, Value: h.Value})
		}
	}
	return a
}

func optionalTimestamp(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}
