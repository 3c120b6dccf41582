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
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/readpref"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/services/api/internal/activity"
)

// What callers switch on. Everything else is a fault of the program.
var (
	// ErrNotFound: there is no such webhook in this project, or it was deleted.
	ErrNotFound = errors.New("webhook not found")
	// ErrLimit: the project has as many webhooks as it may have.
	ErrLimit = errors.New("too many webhooks")
	// ErrConflict: others kept changing the webhook at the same time.
	ErrConflict = errors.New("webhook changed concurrently")
	// ErrUncertain: it is not known whether the webhook was made.
	ErrUncertain = errors.New("not known whether the webhook was made")
	// ErrUnavailable: the database did not do what was asked. Whether a write has
	// happened is not known.
	ErrUnavailable = errors.New("store unavailable")
)

const (
	// callTimeout bounds one call, from choosing a server to its answer.
	callTimeout = 5 * time.Second
	// pageSize is how many documents a cursor brings at once.
	pageSize = 500
)

const (
	collectionWebhooks = "webhooks"
	collectionAttempts = "attempts"
	// collectionClaims holds the idempotency keys of a day.
	collectionClaims = "idempotency"
	// collectionActivity and collectionPages are the log as lists show it; see
	// package activity.
	collectionActivity = "activity"
	collectionPages    = "activity_pages"
	// collectionOutcomes says what became of events, collectionReplays what was asked
	// for again, and collectionReplaying which of that is under way.
	collectionOutcomes  = "outcomes"
	collectionReplays   = "replays"
	collectionReplaying = "replaying"
	// collectionErasures says what was erased, so that what comes late is erased, too.
	collectionErasures = "erasures"
)

// Store is safe for concurrent use.
type Store struct {
	dialer   *dialer
	webhooks collection
	attempts collection
	claims   collection
	activity collection
	pages    collection
	outcomes collection
	replays  collection
	log      *zap.Logger

	replaying      collection
	erasures       collection
	outcomeNumbers outcomeNumberCache

	// slotsUnique says that the index on slots is there.
	slotsUnique atomic.Bool

	// lines order those who create webhooks.
	lines lines

	// alone says that no other process writes to the database.
	alone bool
	// These are used only then: what lists show of a webhook, the ids of the webhooks of
	// a project, and what was read of each. Whoever changes the first or the last holds
	// the lock of the webhook.
	lately  memory[*activity.Lately]
	members memory[[]string]
	shown   memory[Webhook]

	// locks order this process's updates of one webhook. MongoDB does so itself;
	// FerretDB reads, compares and writes a document in three steps, and would
	// lose one of two updates that come at the same time. It is only ever used
	// by one process.
	locks [64]chan struct{}
}

// Open prepares a store. It does not connect: every call does, and fails with
// [ErrUnavailable] while there is no server, or while something that the URI
// names is not there yet: a name in the DNS, a file. It fails only on a URI that
// can never work. Whoever opens it closes it.
func Open(ctx context.Context, uri, database string, log *zap.Logger) (*Store, error) {
	dialer, err := dial(ctx, uri, log)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{
		dialer:    dialer,
		webhooks:  collection{dialer, database, collectionWebhooks},
		attempts:  collection{dialer, database, collectionAttempts},
		claims:    collection{dialer, database, collectionClaims},
		activity:  collection{dialer, database, collectionActivity},
		pages:     collection{dialer, database, collectionPages},
		log:       log,
		lines:     lines{byProject: map[string]*line{}},
		outcomes:  collection{dialer, database, collectionOutcomes},
		replays:   collection{dialer, database, collectionReplays},
		replaying: collection{dialer, database, collectionReplaying},
		erasures:  collection{dialer, database, collectionErasures},
	}
	for i := range s.locks {
		s.locks[i] = make(chan struct{}, 1)
	}
	return s, nil
}

// Alone says that no other process ever writes to this database. The embedded one
// looks documents up by their _id alone: asked for a revision as well, it reads the
// whole collection. It is called before anything else.
func (s *Store) Alone() { s.alone = true }

// Close ends all connections.
func (s *Store) Close(ctx context.Context) error {
	if err := s.dialer.close(ctx); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Ping reports whether the database answers; [ErrUnavailable] when not.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	client, err := s.dialer.current()
	if err == nil {
		err = client.Ping(ctx, readpref.Primary())
	}
	return unavailable("ping", err)
}

// update changes one webhook, if it also fits the rest of the filter. It may be
// repeated.
func (s *Store) update(ctx context.Context, id string, filter, change bson.D) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	unlock, err := s.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	_, err = s.updateLocked(ctx, id, filter, change)
	return err
}

// updateLocked is [Store.update] for whoever holds the webhook's lock, and
// reports whether it did fit. Nothing else changes a webhook.
func (s *Store) updateLocked(ctx context.Context, id string, filter, change bson.D) (bool, error) {
	result, err := s.webhooks.UpdateOne(ctx, append(bson.D{{Key: "_id", Value: id}}, filter...), change)
	if err != nil {
		s.shown.doubt()
		return false, unavailable("update webhook", err)
	}
	s.shown.forget(id)
	return result.MatchedCount == 1, nil
}

// lock takes the webhook's lock and returns what gives it back.
func (s *Store) lock(ctx context.Context, id string) (unlock func(), err error) {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(id)) // it never fails
	lock := s.locks[hash.Sum32()%uint32(len(s.locks))]
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, unavailable("wait for other changes of the webhook", context.Cause(ctx))
	}
}

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, callTimeout, errors.New("mongodb took too long"))
}
