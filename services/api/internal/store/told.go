package store

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

// Told is what events of our own have last said about a webhook.
type Told struct {
	// Failing says that the last one said that it fails.
	Failing bool `bson:"failing"`
	// FailingAt is when an event said so last; zero for never.
	FailingAt time.Time `bson:"failing_at"`
}

// Tell remembers what was said about a webhook. It is no change of the
// registration.
func (s *Store) Tell(ctx context.Context, id string, told Told) error {
	told.FailingAt = told.FailingAt.UTC().Truncate(time.Millisecond)
	_, err := update(ctx, s.webhooks, id, nil, bson.D{{Key: "$set", Value: bson.D{{Key: "told", Value: told}}}})
	return err
}
