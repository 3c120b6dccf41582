// Package documents is the store's only way to MongoDB, and the only one that can
// change a document: by [Collection.Change], which lets nobody else change it
// meanwhile. Whoever writes a new change cannot forget that, as the driver's own
// collections cannot be reached from outside.
package documents

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/mongo/readpref"
	"go.uber.org/zap"
)

// CallTimeout bounds one call, from choosing a server to its answer, and one change
// with everything that is read for it.
const CallTimeout = 5 * time.Second

// ErrUnavailable says that the database did not do what was asked. Whether a write has
// happened is not known.
var ErrUnavailable = errors.New("store unavailable")

// Unavailable wraps whatever the driver returned, nil included.
func Unavailable(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %w", doing, ErrUnavailable, err)
}

// Bounded bounds one call.
func Bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, CallTimeout, errors.New("mongodb took too long"))
}

// Database is one that may not be reachable yet.
type Database struct {
	dialer *dialer
	name   string
	locks  *locks
	alone  bool
}

// Open prepares a database. It does not connect: every call does. It fails only on a
// URI that can never work. Whoever opens it closes it.
func Open(ctx context.Context, uri, name string, log *zap.Logger) (*Database, error) {
	dialer, err := dial(ctx, uri, log)
	if err != nil {
		return nil, err
	}
	return &Database{dialer: dialer, name: name, locks: newLocks()}, nil
}

// Alone says that no other process ever writes to this database. It is called before
// anything else.
func (d *Database) Alone() { d.alone = true }

// Close ends all connections.
func (d *Database) Close(ctx context.Context) error { return d.dialer.close(ctx) }

// Ping returns nil when the database answers.
func (d *Database) Ping(ctx context.Context) error {
	client, err := d.dialer.current()
	if err != nil {
		return err
	}
	return client.Ping(ctx, readpref.Primary()) //nolint:wrapcheck // the caller says what it did
}
