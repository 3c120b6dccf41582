package main

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// deliveryLog is the api's collection of attempts, as an operator sees it.
type deliveryLog struct {
	client   *mongo.Client
	attempts *mongo.Collection
}

func openDeliveryLog(ctx context.Context, uri string) (*deliveryLog, error) {
	client, err := mongo.Connect(ctx, options.Client().ApplyURI(uri))
	if err != nil {
		return nil, fmt.Errorf("connect to the delivery log: %w", err)
	}
	return &deliveryLog{client: client, attempts: client.Database("webhooks").Collection("attempts")}, nil
}

// count is how many attempts are in the log. The embedded database reads all of
// them for it, so this is not for use while something is being measured.
func (l *deliveryLog) count(ctx context.Context) (int, error) {
	n, err := l.attempts.EstimatedDocumentCount(ctx)
	if err != nil {
		return 0, fmt.Errorf("count the delivery log: %w", err)
	}
	return int(n), nil
}

func (l *deliveryLog) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = l.client.Disconnect(ctx) // the server is stopped next
}
