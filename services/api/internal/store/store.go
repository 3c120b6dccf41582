// Package store keeps registrations and the delivery log in MongoDB. It is the
// only package that knows the driver.
//
// The database is the truth of a registration. Every change raises its revision
// by compare-and-set and marks it as pending, so that what is not yet in the
// bucket is found again after a crash; nothing else here needs two writes to
// agree. Only single documents are written, by _id wherever that is possible,
// which is what also the embedded FerretDB does well; indexes that it lacks make
// a real MongoDB faster and nothing else depends on them, except for the unique
// one on slots, which both have.
package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/readpref"
	"go.mongodb.org/mongo-driver/mongo/writeconcern"
	"go.uber.org/zap"
)

// What callers switch on. Everything else is a fault of the program.
var (
	// ErrNotFound: there is no such webhook in this project, or it was deleted.
	ErrNotFound = errors.New("webhook not found")
	// ErrLimit: the project has as many webhooks as it may have.
	ErrLimit = errors.New("too many webhooks")
	// ErrConflict: others kept changing the webhook at the same time.
	ErrConflict = errors.New("webhook changed concurrently")
	// ErrUnavailable: the database did not do what was asked. Whether a write has
	// happened is not known.
	ErrUnavailable = errors.New("store unavailable")
)

const (
	// callTimeout bounds one call, from choosing a server to its answer.
	callTimeout = 5 * time.Second
	// selectTimeout bounds the search for a server that can answer, and so how
	// late a request learns that there is none.
	selectTimeout = 2 * time.Second
	// maxConnections bounds the calls under way, unless the URI says otherwise.
	// In FerretDB each of them may take two of its 100 connections to SQLite, and
	// all stop for ever when none is left.
	maxConnections = 32
	// pageSize is how many documents a cursor brings at once.
	pageSize = 500
)

const (
	collectionWebhooks = "webhooks"
	collectionAttempts = "attempts"
)

// Store is safe for concurrent use.
type Store struct {
	client   *mongo.Client
	webhooks *mongo.Collection
	attempts *mongo.Collection
	log      *zap.Logger

	// locks order this process's updates of one webhook. MongoDB does so itself;
	// FerretDB reads, compares and writes a document in three steps, and would
	// lose one of two updates that come at the same time. It is only ever used
	// by one process.
	locks [64]sync.Mutex
}

// Open prepares a store. It does not connect: every call does, and fails with
// [ErrUnavailable] while there is no server. It fails only on a URI that can
// never work. Whoever opens it closes it.
func Open(ctx context.Context, uri, database string, log *zap.Logger) (*Store, error) {
	opts := options.Client().ApplyURI(uri).
		SetAppName("webhooks-api").
		SetServerSelectionTimeout(selectTimeout).
		SetConnectTimeout(selectTimeout).
		SetReadPreference(readpref.Primary()).
		SetWriteConcern(writeconcern.Majority())
	if opts.MaxPoolSize == nil {
		opts.SetMaxPoolSize(maxConnections)
	}
	client, err := mongo.Connect(ctx, opts)
	if err != nil { // the driver's error may quote the URI
		return nil, errors.New("open store: MONGODB_URI is not a connection string that can be used")
	}
	db := client.Database(database)
	return &Store{
		client:   client,
		webhooks: db.Collection(collectionWebhooks),
		attempts: db.Collection(collectionAttempts),
		log:      log,
	}, nil
}

// Close ends all connections.
func (s *Store) Close(ctx context.Context) error {
	if err := s.client.Disconnect(ctx); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Ping reports whether the database answers; [ErrUnavailable] when not.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return unavailable("ping", s.client.Ping(ctx, readpref.Primary()))
}

// Prepare creates the indexes. It may be called any number of times, and has to
// succeed once before the first webhook is made: the unique index on slots is
// what limits their number.
func (s *Store) Prepare(ctx context.Context, attemptsMaxAge time.Duration) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for _, index := range []struct {
		in   *mongo.Collection
		name string
		keys bson.D
		opts *options.IndexOptions
	}{
		{s.webhooks, "slot", bson.D{{Key: "slot", Value: 1}}, options.Index().SetUnique(true)},
		{s.webhooks, "project", bson.D{{Key: "project_id", Value: 1}}, options.Index()},
		{s.webhooks, "pending", bson.D{{Key: "pending", Value: 1}}, options.Index()},
		{s.attempts, "webhook", bson.D{{Key: "webhook_id", Value: 1}, {Key: "_id", Value: -1}}, options.Index()},
	} {
		// One by one: FerretDB drops the connection when some of several exist.
		model := mongo.IndexModel{Keys: index.keys, Options: index.opts.SetName(index.name)}
		if _, err := index.in.Indexes().CreateOne(ctx, model); err != nil {
			return unavailable("create index "+index.name, err)
		}
	}
	s.prepareExpiry(ctx, attemptsMaxAge)
	return nil
}

// prepareExpiry lets the server expire attempts where it can. [Store.Expire]
// does it in any case, so a server that refuses only is a line in the log.
func (s *Store) prepareExpiry(ctx context.Context, maxAge time.Duration) {
	seconds := int32(min(maxAge/time.Second, math.MaxInt32)) //nolint:gosec // it is bounded
	ttl := mongo.IndexModel{
		Keys:    bson.D{{Key: "started_at", Value: 1}},
		Options: options.Index().SetName("expiry").SetExpireAfterSeconds(seconds),
	}
	_, err := s.attempts.Indexes().CreateOne(ctx, ttl)
	var refused mongo.CommandError
	const indexOptionsConflict = 85
	if errors.As(err, &refused) && refused.HasErrorCode(indexOptionsConflict) {
		err = s.attempts.Database().RunCommand(ctx, bson.D{
			{Key: "collMod", Value: collectionAttempts},
			{Key: "index", Value: bson.D{{Key: "name", Value: "expiry"}, {Key: "expireAfterSeconds", Value: seconds}}},
		}).Err()
	}
	if err != nil {
		s.log.Info("the database does not expire attempts by itself: the api deletes them", zap.Error(err))
	}
}

// update changes one webhook, if it also fits the rest of the filter.
func (s *Store) update(ctx context.Context, id string, filter, change bson.D) error {
	defer s.lock(id)()
	_, err := s.updateLocked(ctx, id, filter, change)
	return err
}

// updateLocked is [Store.update] for whoever holds the webhook's lock, and
// reports whether it did fit. Nothing else changes a webhook.
func (s *Store) updateLocked(ctx context.Context, id string, filter, change bson.D) (bool, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	result, err := s.webhooks.UpdateOne(ctx, append(bson.D{{Key: "_id", Value: id}}, filter...), change)
	if err != nil {
		return false, unavailable("update webhook", err)
	}
	return result.MatchedCount == 1, nil
}

// lock takes the webhook's lock and returns what gives it back.
func (s *Store) lock(id string) (unlock func()) {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(id)) // it never fails
	lock := &s.locks[hash.Sum32()%uint32(len(s.locks))]
	lock.Lock()
	return lock.Unlock
}

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, callTimeout, errors.New("mongodb took too long"))
}

// unavailable wraps whatever the driver returned, nil included.
func unavailable(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %w", doing, ErrUnavailable, err)
}
