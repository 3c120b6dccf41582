package documents

import (
	"context"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// Create makes the collection.
func (c Collection) Create(ctx context.Context) error {
	in, err := c.open()
	if err == nil {
		err = in.Database().CreateCollection(ctx, c.name)
	}
	return err //nolint:wrapcheck // the caller says what for
}

// CreateIndex makes an index, unless it is there.
func (c Collection) CreateIndex(ctx context.Context, name string, keys bson.D, opts *options.IndexOptions) error {
	in, err := c.open()
	if err == nil {
		// One by one: FerretDB drops the connection when some of several exist.
		_, err = in.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: keys, Options: opts.SetName(name)})
	}
	return err //nolint:wrapcheck // the caller says what for
}

// DropIndex drops an index.
func (c Collection) DropIndex(ctx context.Context, name string) error {
	in, err := c.open()
	if err == nil {
		_, err = in.Indexes().DropOne(ctx, name)
	}
	return err //nolint:wrapcheck // the caller says what for
}

// ChangeExpiry changes after how many seconds an index lets documents expire.
func (c Collection) ChangeExpiry(ctx context.Context, name string, seconds int32) error {
	in, err := c.open()
	if err != nil {
		return err
	}
	return in.Database().RunCommand(ctx, bson.D{ //nolint:wrapcheck // the caller says what for
		{Key: "collMod", Value: c.name},
		{Key: "index", Value: bson.D{{Key: "name", Value: name}, {Key: "expireAfterSeconds", Value: seconds}}},
	}).Err()
}
