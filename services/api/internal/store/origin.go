package store

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// ErrAttemptNotFound says that there is no such attempt at this webhook.
var ErrAttemptNotFound = errors.New("attempt not found")

// AttemptOrigin says which delivery an attempt was of.
type AttemptOrigin struct {
	ID            string     `bson:"_id"`
	DeliveryID    string     `bson:"delivery_id"`
	EventID       string     `bson:"event_id"`
	EventType     string     `bson:"event_type"`
	EventSequence uint64     `bson:"event_sequence"`
	ProjectID     string     `bson:"project_id"`
	WebhookID     string     `bson:"webhook_id"`
	OccurredAt    *time.Time `bson:"occurred_at"`
}

// AttemptOrigin returns where an attempt at this webhook came from, or
// [ErrAttemptNotFound], also for one at another webhook.
func (s *Store) AttemptOrigin(ctx context.Context, w Webhook, id string) (AttemptOrigin, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var found AttemptOrigin
	err := s.attempts.FindOne(ctx, bson.D{{Key: "_id", Value: id}}, options.FindOne().SetProjection(bson.D{
		{Key: "delivery_id", Value: 1},
		{Key: "event_id", Value: 1},
		{Key: "event_type", Value: 1},
		{Key: "event_sequence", Value: 1},
		{Key: "project_id", Value: 1},
		{Key: "webhook_id", Value: 1},
		{Key: "occurred_at", Value: 1},
	})).Decode(&found)
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return AttemptOrigin{}, ErrAttemptNotFound
	case err != nil:
		return AttemptOrigin{}, unavailable("load attempt", err)
	case found.WebhookID != w.ID || found.ProjectID != w.ProjectID:
		return AttemptOrigin{}, ErrAttemptNotFound
	}
	return found, nil
}
