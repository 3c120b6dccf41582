package main

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// deliveryLog is the api's database, as an operator sees it.
type deliveryLog struct {
	client   *mongo.Client
	attempts *mongo.Collection
	webhooks *mongo.Collection
}

func openDeliveryLog(ctx context.Context, uri string) (*deliveryLog, error) {
	client, err := mongo.Connect(ctx, options.Client().ApplyURI(uri).SetServerSelectionTimeout(requestTimeout))
	if err != nil {
		return nil, fmt.Errorf("connect to the delivery log: %w", err)
	}
	database := client.Database("webhooks")
	return &deliveryLog{client: client, attempts: database.Collection("attempts"), webhooks: database.Collection("webhooks")}, nil
}

// endings is how each delivery ended, by its id; those that have not are missing.
func (l *deliveryLog) endings(ctx context.Context) (map[string]string, error) {
	fields := options.Find().SetProjection(bson.D{{Key: "delivery_id", Value: 1}, {Key: "outcome", Value: 1}}).SetBatchSize(10_000)
	cursor, err := l.attempts.Find(ctx, bson.D{}, fields)
	if err != nil {
		return nil, fmt.Errorf("read the delivery log: %w", err)
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }() // the server forgets it by itself
	endings := map[string]string{}
	for cursor.Next(ctx) {
		var attempt struct {
			DeliveryID string `bson:"delivery_id"`
			Outcome    string `bson:"outcome"`
		}
		if err := cursor.Decode(&attempt); err != nil {
			return nil, fmt.Errorf("read the delivery log: %w", err)
		}
		if attempt.Outcome != "retry" {
			endings[attempt.DeliveryID] = attempt.Outcome
		}
	}
	if err := cursor.Err(); err != nil {
		return nil, fmt.Errorf("read the delivery log: %w", err)
	}
	return endings, nil
}

// unprojected reports whether a webhook of the project is stored and marked as
// not yet in the bucket.
func (l *deliveryLog) unprojected(ctx context.Context, project string) (bool, error) {
	count, err := l.webhooks.CountDocuments(ctx, bson.D{{Key: "project_id", Value: project}, {Key: "pending", Value: true}})
	if err != nil {
		return false, fmt.Errorf("look for the mark of a webhook: %w", err)
	}
	return count > 0, nil
}

// registrations is how many webhooks are stored.
func (l *deliveryLog) registrations(ctx context.Context) (int, error) {
	count, err := l.webhooks.CountDocuments(ctx, bson.D{})
	if err != nil {
		return 0, fmt.Errorf("count the webhooks: %w", err)
	}
	return int(count), nil
}

func (l *deliveryLog) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = l.client.Disconnect(ctx) // the server is stopped next
}
