package store

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// Pending returns the ids of at most limit webhooks whose last change is not
// known to be in the bucket.
func (s *Store) Pending(ctx context.Context, limit int64) ([]string, error) {
	return s.ids(ctx, bson.D{{Key: "pending", Value: true}}, limit)
}

// Settle takes the mark off a revision that is in the bucket, and of which nothing
// is owed any more. It does nothing when there is a newer one.
func (s *Store) Settle(ctx context.Context, id string, revision int64) error {
	_, err := update(ctx, s.webhooks, id, bson.D{{Key: "revision", Value: revision}},
		bson.D{{Key: "$unset", Value: bson.D{{Key: "pending", Value: ""}, {Key: "owed", Value: ""}}}})
	return err
}

// eachTimeout bounds what a server may spend on the reading of every webhook: it
// counts over all pages.
const eachTimeout = 10 * time.Minute

// Each calls visit with every webhook, tombstones included, and stops at the
// first error. It holds one page in memory.
func (s *Store) Each(ctx context.Context, visit func(Webhook) error) error {
	first, cancel := bounded(ctx)
	defer cancel()
	cursor, err := s.webhooks.Find(first, bson.D{}, options.Find().SetBatchSize(pageSize).SetMaxTime(eachTimeout))
	if err != nil {
		return unavailable("find webhooks", err)
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }() // the server forgets it by itself
	for s.next(ctx, cursor) {
		var w Webhook
		if err := cursor.Decode(&w); err != nil {
			return unavailable("read webhook", err)
		}
		if err := visit(w); err != nil {
			return err
		}
	}
	return unavailable("read webhooks", cursor.Err())
}

// Purge forgets tombstones that are older than the given time, at most limit of
// them, and returns how many.
func (s *Store) Purge(ctx context.Context, before time.Time, limit int64) (int, error) {
	ids, err := s.ids(ctx, bson.D{{Key: "deleted_at", Value: bson.D{{Key: "$lt", Value: before}}}}, limit)
	if err != nil {
		return 0, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.webhooks.DeleteByID(ctx, ids...); err != nil {
		return 0, err //nolint:wrapcheck // it says what it was
	}
	return len(ids), nil
}

func (s *Store) ids(ctx context.Context, filter bson.D, limit int64) ([]string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return findIDs(ctx, s.webhooks, filter, options.Find().SetLimit(limit))
}

// next moves a cursor on; a page may take as long as any other call.
func (s *Store) next(ctx context.Context, cursor *mongo.Cursor) bool {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return cursor.Next(ctx)
}
