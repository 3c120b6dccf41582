package documents

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/readconcern"
)

// Collection is a collection of a database. What it reads the server gives up, too,
// when the caller's time is over: a server that nobody waits for any more would go on,
// and hold what it holds.
type Collection struct {
	database *Database
	name     string
	changed  func(id string, err error)
}

// Collection returns one. changed, which may be nil, is called after each change of a
// document, also after one that failed: it may still happen then. While it is called
// nobody else changes the document.
func (d *Database) Collection(name string, changed func(id string, err error)) Collection {
	return Collection{database: d, name: name, changed: changed}
}

// Name is the name of the collection.
func (c Collection) Name() string { return c.name }

func (c Collection) tell(id string, err error) {
	if c.changed != nil {
		c.changed(id, err)
	}
}

func (c Collection) open(opts ...*options.CollectionOptions) (*mongo.Collection, error) {
	client, err := c.database.dialer.current()
	if err != nil {
		return nil, err
	}
	return client.Database(c.database.name).Collection(c.name, opts...), nil
}

// Find is [mongo.Collection.Find] with the time limit of ctx, unless opts have
// another one.
func (c Collection) Find(ctx context.Context, filter any, opts ...*options.FindOptions) (*mongo.Cursor, error) {
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

// FindOne is [mongo.Collection.FindOne] with the time limit of ctx.
func (c Collection) FindOne(ctx context.Context, filter any, opts ...*options.FindOneOptions) *mongo.SingleResult {
	return c.findOne(ctx, filter, nil, opts...)
}

// FindOneLinearizable is [Collection.FindOne] by a server that makes sure first
// that it is the primary, and that what it finds will stay.
func (c Collection) FindOneLinearizable(ctx context.Context, filter any) *mongo.SingleResult {
	return c.findOne(ctx, filter, options.Collection().SetReadConcern(readconcern.Linearizable()))
}

func (c Collection) findOne(
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
func (c Collection) CountDocuments(ctx context.Context, filter any, opts ...*options.CountOptions) (int64, error) {
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

// InsertOne is [mongo.Collection.InsertOne].
func (c Collection) InsertOne(ctx context.Context, document any) (*mongo.InsertOneResult, error) {
	in, err := c.open()
	if err != nil {
		return nil, err
	}
	return in.InsertOne(ctx, document) //nolint:wrapcheck // the caller says what for
}

// InsertMany is [mongo.Collection.InsertMany].
func (c Collection) InsertMany(
	ctx context.Context, documents []any, opts ...*options.InsertManyOptions,
) (*mongo.InsertManyResult, error) {
	in, err := c.open()
	if err != nil {
		return nil, err
	}
	return in.InsertMany(ctx, documents, opts...) //nolint:wrapcheck // the caller says what for
}

// DeleteByID deletes documents in one command, whatever they say. It takes no lock: their
// ids never come again.
func (c Collection) DeleteByID(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	deletes := make([]mongo.WriteModel, len(ids))
	for i, id := range ids {
		deletes[i] = mongo.NewDeleteOneModel().SetFilter(bson.D{{Key: "_id", Value: id}})
	}
	in, err := c.open()
	if err == nil {
		_, err = in.BulkWrite(ctx, deletes, options.BulkWrite().SetOrdered(false))
	}
	for _, id := range ids {
		c.tell(id, err)
	}
	return Unavailable(fmt.Sprintf("delete %d of %s", len(ids), c.name), err)
}

// timeLeft is how long ctx lasts; at least a millisecond, as 0 means for ever.
func timeLeft(ctx context.Context) (time.Duration, bool) {
	deadline, ok := ctx.Deadline()
	return max(time.Until(deadline), time.Millisecond), ok
}
