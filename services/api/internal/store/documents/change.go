package documents

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// locks order this process's changes of one document, from what is read for a change to
// what is written. That a single command is done in one go is the database's affair: see
// package mongogate for the embedded one, where these locks are all that keeps what was
// read from changing before it is written, as nobody else writes to it.
//
// No lock is needed to read, as a document is written in one step; to insert, as the
// index of _id lets one of two insert; and to delete by _id alone what never comes
// again, as a change finds it or does not.
type locks [64]chan struct{}

func newLocks() *locks {
	var l locks
	for i := range l {
		l[i] = make(chan struct{}, 1)
	}
	return &l
}

func (l *locks) of(collection, id string) chan struct{} {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(collection + "/" + id)) // it never fails
	return l[hash.Sum32()%uint32(len(l))]
}

// changing marks the context of a change.
type changing struct{}

var (
	errNested = errors.New("a change was begun within another one: both may wait for the same lock")
	errOver   = errors.New("the change is over")
)

// Change calls do, and nobody else in this process changes the document meanwhile, or
// deletes it. It bounds all of that by [CallTimeout], the wait for others included.
// The errors of do are returned as they are. Other documents may share the lock, so do
// begins no other change, and passes its own ctx on.
func (c Collection) Change(ctx context.Context, id string, do func(ctx context.Context, d *Document) error) error {
	if ctx.Value(changing{}) != nil {
		return fmt.Errorf("change %s: %w", c.name, errNested)
	}
	ctx, cancel := Bounded(ctx)
	defer cancel()
	lock := c.database.locks.of(c.name, id)
	select {
	case lock <- struct{}{}:
	case <-ctx.Done():
		return Unavailable("wait for other changes of "+c.name, context.Cause(ctx))
	}
	d := &Document{in: c, id: id}
	defer func() {
		d.over = true
		<-lock
	}()
	return do(context.WithValue(ctx, changing{}, true), d)
}

// Document is one that nobody else in this process changes at the moment.
type Document struct {
	in   Collection
	id   string
	over bool
}

// SinceRead is the condition that fields still are as they were read during this change.
// Where nobody else writes that is known, and not asked: the embedded database finds a
// document quickly by its _id alone, and else reads the whole collection.
func (d *Document) SinceRead(fields ...bson.E) bson.D {
	if d.in.database.alone {
		return nil
	}
	return fields
}

// Update changes the document, if it is there and also fits the rest of the filter,
// and reports whether it did.
func (d *Document) Update(ctx context.Context, filter, change bson.D, opts ...*options.UpdateOptions) (fits bool, err error) {
	err = d.write("update", filter, func(in *mongo.Collection, filter bson.D) error {
		result, err := in.UpdateOne(ctx, filter, change, opts...)
		fits = err == nil && result.MatchedCount == 1
		return err //nolint:wrapcheck // write does
	})
	return fits, err
}

// Insert inserts the document, and reports false when there is one.
func (d *Document) Insert(ctx context.Context, document any) (inserted bool, err error) {
	err = d.write("insert", nil, func(in *mongo.Collection, _ bson.D) error {
		_, err := in.InsertOne(ctx, document)
		if inserted = err == nil; mongo.IsDuplicateKeyError(err) {
			return nil
		}
		return err //nolint:wrapcheck // write does
	})
	return inserted, err
}

// Delete deletes the document, if it also fits the rest of the filter, and reports
// whether it did.
func (d *Document) Delete(ctx context.Context, filter bson.D) (deleted bool, err error) {
	err = d.write("delete", filter, func(in *mongo.Collection, filter bson.D) error {
		result, err := in.DeleteOne(ctx, filter)
		deleted = err == nil && result.DeletedCount == 1
		return err //nolint:wrapcheck // write does
	})
	return deleted, err
}

func (d *Document) write(doing string, filter bson.D, do func(in *mongo.Collection, filter bson.D) error) error {
	doing += " " + d.in.name
	if d.over {
		return fmt.Errorf("%s: %w", doing, errOver)
	}
	in, err := d.in.open()
	if err == nil {
		err = do(in, append(bson.D{{Key: "_id", Value: d.id}}, filter...))
	}
	d.in.tell(d.id, err)
	return Unavailable(doing, err)
}
