package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// largestDocument is what MongoDB takes.
const largestDocument = 16 << 20

// attempt is a document of the delivery log. It is written once.
type attempt struct {
	ID              string     `bson:"_id"`
	DeliveryID      string     `bson:"delivery_id"`
	EventID         string     `bson:"event_id"`
	EventType       string     `bson:"event_type"`
	EventSequence   int64      `bson:"event_sequence"`
	ProjectID       string     `bson:"project_id"`
	WebhookID       string     `bson:"webhook_id"`
	WebhookRevision int64      `bson:"webhook_revision"`
	Number          int        `bson:"number"`
	Trigger         string     `bson:"trigger"`
	StartedAt       time.Time  `bson:"started_at"`
	DurationUS      int64      `bson:"duration_us"`
	Outcome         string     `bson:"outcome"`
	Reason          string     `bson:"reason"`
	StatusCode      int        `bson:"status_code"`
	Cause           string     `bson:"cause,omitempty"`
	Detail          string     `bson:"detail"`
	OccurredUS      int64      `bson:"occurred_us,omitempty"`
	ReplayID        string     `bson:"replay_id,omitempty"`
	Timing          *timing    `bson:"timing,omitempty"`
	NextAttemptAt   *time.Time `bson:"next_attempt_at"`
	Request         request    `bson:"request"`
	Response        *response  `bson:"response"`
}

type request struct {
	URL       string `bson:"url"`
	BodyBytes int64  `bson:"body_bytes"`
	Signed    bool   `bson:"signed"`
	// HeaderNames are those of the webhook's own headers.
	HeaderNames []string `bson:"header_names,omitempty"`
}

// timing is in microseconds.
type timing struct {
	DNS     int64  `bson:"dns_us"`
	Connect int64  `bson:"connect_us"`
	TLS     int64  `bson:"tls_us"`
	Wait    int64  `bson:"wait_us"`
	EndedIn string `bson:"ended_in"`
}

type response struct {
	Headers   []header `bson:"headers"`
	Body      []byte   `bson:"body"`
	Truncated bool     `bson:"truncated"`
}

type header struct {
	Name  string `bson:"name"`
	Value string `bson:"value"`
}

// Recorded says what became of attempts that were handed in.
type Recorded struct {
	// Inserted are new in the log.
	Inserted int
	// Known are the ids of those that were in it already.
	Known []string
	// Refused can never be written.
	Refused []RefusedAttempt
}

// RefusedAttempt is an attempt that the database will not take.
type RefusedAttempt struct {
	ID     string
	Reason string
}

// InsertAttempts adds attempts to the delivery log; those that are there already
// stay as they are. An error means that some may be missing: hand in all again.
// Only what can never be written is refused.
func (s *Store) InsertAttempts(ctx context.Context, attempts []*webhooksv1.Attempt) (Recorded, error) {
	var recorded Recorded
	var documents []any
	var ids []string
	// All writers take the same order, so that they cannot wait for each other in
	// a circle.
	sorted := slices.SortedFunc(slices.Values(attempts), func(a, b *webhooksv1.Attempt) int {
		return strings.Compare(a.GetId(), b.GetId())
	})
	for _, a := range sorted {
		encoded, err := bson.Marshal(document(a))
		if err == nil && len(encoded) > largestDocument {
			err = fmt.Errorf("%d bytes are more than a document can have", len(encoded))
		}
		if err != nil {
			recorded.Refused = append(recorded.Refused, RefusedAttempt{ID: a.GetId(), Reason: err.Error()})
			continue
		}
		documents, ids = append(documents, bson.Raw(encoded)), append(ids, a.GetId())
	}
	if len(documents) == 0 {
		return recorded, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 4*callTimeout, errors.New("mongodb took too long"))
	defer cancel()
	if err := s.insertAttempts(ctx, documents, ids, &recorded); err != nil {
		return Recorded{}, err
	}
	return recorded, nil
}

// insertAttempts inserts encoded attempts and adds to what was recorded.
func (s *Store) insertAttempts(ctx context.Context, documents []any, ids []string, recorded *Recorded) error {
	_, err := s.attempts.InsertMany(ctx, documents, options.InsertMany().SetOrdered(false))
	if err == nil {
		recorded.Inserted += len(documents)
		return nil
	}
	if finalError(err) {
		return s.findFinal(ctx, documents, ids, recorded, err)
	}
	var bulk mongo.BulkWriteException
	if !errors.As(err, &bulk) || bulk.WriteConcernError != nil || len(bulk.WriteErrors) == 0 {
		return unavailable("insert attempts", err)
	}
	var known []string
	var refused []RefusedAttempt
	for _, fault := range bulk.WriteErrors {
		switch {
		case fault.Index < 0 || fault.Index >= len(ids):
			return unavailable("insert attempts", err)
		case mongo.IsDuplicateKeyError(fault.WriteError):
			known = append(known, ids[fault.Index])
		case final(fault.Code):
			refused = append(refused, RefusedAttempt{ID: ids[fault.Index], Reason: fault.Message})
		default:
			return unavailable("insert attempts", err)
		}
	}
	recorded.Inserted += len(documents) - len(bulk.WriteErrors)
	recorded.Known = append(recorded.Known, known...)
	recorded.Refused = append(recorded.Refused, refused...)
	return nil
}

// findFinal looks for the document that makes a server refuse all of them.
func (s *Store) findFinal(ctx context.Context, documents []any, ids []string, recorded *Recorded, err error) error {
	if len(documents) == 1 {
		recorded.Refused = append(recorded.Refused, RefusedAttempt{ID: ids[0], Reason: err.Error()})
		return nil
	}
	half := len(documents) / 2
	if err := s.insertAttempts(ctx, documents[:half], ids[:half], recorded); err != nil {
		return err
	}
	return s.insertAttempts(ctx, documents[half:], ids[half:], recorded)
}

// Expire deletes attempts that began before the given time, at most limit of
// them, and returns how many. Their ids tell their time, so the log needs no
// index for it.
func (s *Store) Expire(ctx context.Context, before time.Time, limit int64) (int, error) {
	var bound ulid.ULID
	if err := bound.SetTime(ulid.Timestamp(before)); err != nil {
		return 0, errors.New("expire attempts: the time is out of range")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 6*callTimeout, errors.New("mongodb took too long"))
	defer cancel()
	ids, err := findIDs(ctx, s.attempts, bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: bound.String()}}}},
		options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(limit))
	if err != nil {
		return 0, err
	}
	if err := s.attempts.DeleteByID(ctx, ids...); err != nil {
		return 0, err //nolint:wrapcheck // it says what it was
	}
	return len(ids), nil
}

// CountAttempts counts the webhook's attempts in the log.
func (s *Store) CountAttempts(ctx context.Context, webhookID string) (int, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	count, err := s.attempts.CountDocuments(ctx, bson.D{{Key: "webhook_id", Value: webhookID}})
	return int(count), unavailable("count attempts", err)
}

func document(a *webhooksv1.Attempt) attempt {
	d := attempt{
		ID:              a.GetId(),
		DeliveryID:      a.GetDeliveryId(),
		EventID:         a.GetEventId(),
		EventType:       a.GetEventType(),
		EventSequence:   int64(a.GetEventSequence()), //nolint:gosec // stream sequences start at 1
		ProjectID:       a.GetProjectId(),
		WebhookID:       a.GetWebhookId(),
		WebhookRevision: int64(a.GetWebhookRevision()), //nolint:gosec // made by this service
		Number:          int(a.GetNumber()),
		Trigger:         a.GetTrigger().Label(),
		StartedAt:       a.GetStartedAt().AsTime(),
		DurationUS:      a.GetDurationUs(),
		Outcome:         a.GetOutcome().Label(),
		Reason:          a.GetReason().Label(),
		StatusCode:      int(a.GetStatusCode()),
		Detail:          a.GetDetail(),
		NextAttemptAt:   optionalTime(a.GetNextAttemptAt()),
		Request: request{
			URL:       a.GetRequest().GetUrl(),
			BodyBytes: a.GetRequest().GetBodyBytes(),
			Signed:    a.GetRequest().GetSigned(),

			HeaderNames: a.GetRequest().GetHeaderNames(),
		},
		Cause:    a.GetCause().Label(),
		ReplayID: a.GetReplayId(),
	}
	if at := a.GetOccurredAt(); at != nil {
		d.OccurredUS = at.AsTime().UnixMicro()
	}
	if t := a.GetTiming(); t != nil {
		d.Timing = &timing{
			DNS: t.GetDnsUs(), Connect: t.GetConnectUs(), TLS: t.GetTlsUs(), Wait: t.GetWaitUs(), EndedIn: t.GetEndedIn().Label(),
		}
	}
	if r := a.GetResponse(); r != nil {
		d.Response = &response{Headers: headers(r.GetHeaders()), Body: r.GetBody(), Truncated: r.GetTruncated()}
	}
	return d
}

func headers(list []*webhooksv1.Header) []header {
	out := make([]header, len(list))
	for i, h := range list {
		out[i] = header{Name: h.GetName(), Value: h.GetValue()}
	}
	return out
}

func optionalTime(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime()
	return &at
}
