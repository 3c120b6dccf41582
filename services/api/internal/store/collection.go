package store

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/readconcern"
)

// collection is a collection of a database that may not be known yet. What it
// reads the server gives up, too, when the caller's time is over: a server that
// nobody waits for any more would go on, and hold what it holds.
type collection struct {
	dialer   *dialer
	database string
	name     string
}

func (c collection) open(opts ...*options.CollectionOptions) (*mongo.Collection, error) {
	client, err := c.dialer.current()
	if err != nil {
		return nil, err
	}
	return client.Database(c.database).Collection(c.name, opts...), nil
}

// Find is [mongo.Collection.Find] with the time limit of ctx, unless opts have
// another one.
func (c collection) Find(ctx context.Context, filter any, opts ...*options.FindOptions) (*mongo.Cursor, error) {
	in, err := c.open()
	if err != nil {
		return nil, err
	}
	limit := options.Find()
	if left, ok := timeLeft(ctx); ok {
		limit.SetMaxTime(left)
	}
	return in.Find(ctx, filter, append([]*options.FindOptions{limit}, opts...)...) //nolint:wrapcheck // the caller says what for
}

// findAll returns all that a Find finds.
func findAll[T any](ctx context.Context, in collection, filter bson.D, opts ...*options.FindOptions) ([]T, error) {
	cursor, err := in.Find(ctx, filter, opts...)
	if err != nil {
		return nil, unavailable("find "+in.name, err)
	}
	list := []T{}
	if err := cursor.All(ctx, &list); err != nil {
		return nil, unavailable("read "+in.name, err)
	}
	return list, nil
}

// FindOne is [mongo.Collection.FindOne] with the time limit of ctx.
func (c collection) FindOne(ctx context.Context, filter any, opts ...*options.FindOneOptions) *mongo.SingleResult {
	return c.findOne(ctx, filter, nil, opts...)
}

// FindOneLinearizable is [collection.FindOne] by a server that makes sure first
// that it is the primary, and that what it finds will stay.
func (c collection) FindOneLinearizable(ctx context.Context, filter any) *mongo.SingleResult {
	return c.findOne(ctx, filter, options.Collection().SetReadConcern(readconcern.Linearizable()))
}

func (c collection) findOne(
	ctx context.Context, filter any, in *options.CollectionOptions, opts ...*options.FindOneOptions,
) *mongo.SingleResult {
	opened, err := c.open(in)
	if err != nil {
		return mongo.NewSingleResultFromDocument(bson.D{}, err, nil)
	}
	limit := options.FindOne()
	if left, ok := timeLeft(ctx); ok {
		limit.SetMaxTime(left)
	}
	return opened.FindOne(ctx, filter, append([]*options.FindOneOptions{limit}, opts...)...)
}

// CountDocuments is [mongo.Collection.CountDocuments] with the time limit of ctx.
func (c collection) CountDocuments(ctx context.Context, filter any, opts ...*options.CountOptions) (int64, error) {
	in, err := c.open()
	if err != nil {
		return 0, err
	}
	limit := options.Count()
	if left, ok := timeLeft(ctx); ok {
		limit.SetMaxTime(left)
	}
	return in.CountDocuments(ctx, filter, append([]*options.CountOptions{limit}, opts...)...) //nolint:wrapcheck // the caller says what for
}

func (c collection) InsertOne(ctx context.Context, document any) (*mongo.InsertOneResult, error) {
	in, err := c.open()
	if err != nil {
		return nil, err
	}
	return in.InsertOne(ctx, document) //nolint:wrapcheck // the caller says what for
}

func (c collection) InsertMany(
	ctx context.Context, documents []any, opts ...*options.InsertManyOptions,
) (*mongo.InsertManyResult, error) {
	in, err := c.open()
	if err != nil {
		return nil, err
	}
	return in.InsertMany(ctx, documents, opts...) //nolint:wrapcheck // the caller says what for
}

func (c collection) UpdateOne(ctx context.Context, filter, change any, opts ...*options.UpdateOptions) (*mongo.UpdateResult, error) {
	in, err := c.open()
	if err != nil {
		return nil, err
	}
	return in.UpdateOne(ctx, filter, change, opts...) //nolint:wrapcheck // the caller says what for
}

func (c collection) DeleteOne(ctx context.Context, filter any) (*mongo.DeleteResult, error) {
	in, err := c.open()
	if err != nil {
		return nil, err
	}
	return in.DeleteOne(ctx, filter) //nolint:wrapcheck // the caller says what for
}

func (c collection) DeleteMany(ctx context.Context, filter any) (*mongo.DeleteResult, error) {
	in, err := c.open()
	if err != nil {
		return nil, err
	}
	return in.DeleteMany(ctx, filter) //nolint:wrapcheck // the caller says what for
}

// timeLeft is how long ctx lasts; at least a millisecond, as 0 means for ever.
func timeLeft(ctx context.Context) (time.Duration, bool) {
	deadline, ok := ctx.Deadline()
	return max(time.Until(deadline), time.Millisecond), ok
}
