// Package store keeps registrations and the delivery log in MongoDB. It is the
// only package that knows the driver.
//
// The database is the truth of a registration. Every change raises its revision
// by compare-and-set and marks it as pending, so that what is not yet in the
// bucket is found again after a crash; nothing else here needs two writes to
// agree. Only single documents are written, by _id wherever that is possible,
// which is what also the embedded FerretDB does well, and changed only by way of
// package documents; indexes that it lacks make a real MongoDB faster and nothing else
// depends on them, except for the unique one on slots, which both have.
package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/services/api/internal/activity"
	"github.com/dembrane/webhooks/services/api/internal/store/documents"
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
	ErrUnavailable = documents.ErrUnavailable
)

const (
	// callTimeout bounds one call, from choosing a server to its answer.
	callTimeout = documents.CallTimeout
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
	database *documents.Database
	webhooks documents.Collection
	attempts documents.Collection
	claims   documents.Collection
	activity documents.Collection
	pages    documents.Collection
	outcomes documents.Collection
	replays  documents.Collection
	log      *zap.Logger

	replaying      documents.Collection
	erasures       documents.Collection
	outcomeNumbers outcomeNumberCache

	// slotsUnique says that the index on slots is there.
	slotsUnique atomic.Bool

	// lines order those who create webhooks.
	lines lines

	// alone says that no other process writes to the database.
	alone bool
	// These are used only then: what lists show of a webhook, the ids of the webhooks of
	// a project, and what was read of each.
	lately  memory[*activity.Lately]
	members memory[[]string]
	shown   memory[Webhook]
}

// Open prepares a store. It does not connect: every call does, and fails with
// [ErrUnavailable] while there is no server, or while something that the URI
// names is not there yet: a name in the DNS, a file. It fails only on a URI that
// can never work. Whoever opens it closes it.
func Open(ctx context.Context, uri, database string, log *zap.Logger) (*Store, error) {
	in, err := documents.Open(ctx, uri, database, log)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{
		database:  in,
		attempts:  in.Collection(collectionAttempts, nil),
		claims:    in.Collection(collectionClaims, nil),
		pages:     in.Collection(collectionPages, nil),
		log:       log,
		lines:     lines{byProject: map[string]*line{}},
		outcomes:  in.Collection(collectionOutcomes, nil),
		replays:   in.Collection(collectionReplays, nil),
		replaying: in.Collection(collectionReplaying, nil),
		erasures:  in.Collection(collectionErasures, nil),
	}
	s.webhooks = in.Collection(collectionWebhooks, s.shown.changed)
	s.activity = in.Collection(collectionActivity, s.lately.changed)
	return s, nil
}

// Alone says that no other process ever writes to this database. The embedded one
// looks documents up by their _id alone: asked for a revision as well, it reads the
// whole collection. It is called before anything else.
func (s *Store) Alone() {
	s.alone = true
	s.database.Alone()
}

// Close ends all connections.
func (s *Store) Close(ctx context.Context) error {
	if err := s.database.Close(ctx); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Ping reports whether the database answers; [ErrUnavailable] when not.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return unavailable("ping", s.database.Ping(ctx))
}

// update changes one document, if it also fits the rest of the filter, and reports
// whether it did. It may be repeated.
func update(ctx context.Context, in documents.Collection, id string, filter, change bson.D) (fits bool, err error) {
	err = in.Change(ctx, id, func(ctx context.Context, d *documents.Document) (err error) {
		fits, err = d.Update(ctx, filter, change)
		return err
	})
	return fits, err //nolint:wrapcheck // it says what it was
}

// findAll returns all that a Find finds.
func findAll[T any](ctx context.Context, in documents.Collection, filter bson.D, opts ...*options.FindOptions) ([]T, error) {
	cursor, err := in.Find(ctx, filter, opts...)
	if err != nil {
		return nil, unavailable("find "+in.Name(), err)
	}
	list := []T{}
	if err := cursor.All(ctx, &list); err != nil {
		return nil, unavailable("read "+in.Name(), err)
	}
	return list, nil
}

// findIDs returns the ids of all that a Find finds.
func findIDs(ctx context.Context, in documents.Collection, filter bson.D, opts ...*options.FindOptions) ([]string, error) {
	found, err := findAll[struct {
		ID string `bson:"_id"`
	}](ctx, in, filter, append(opts, options.Find().SetProjection(bson.D{{Key: keyID, Value: 1}}))...)
	ids := make([]string, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	return ids, err
}

// remove deletes one document, if it also fits the rest of the filter. It may be repeated.
func remove(ctx context.Context, in documents.Collection, id string, filter bson.D) error {
	//nolint:wrapcheck // it says what it was
	return in.Change(ctx, id, func(ctx context.Context, d *documents.Document) error {
		_, err := d.Delete(ctx, filter)
		return err //nolint:wrapcheck // it says what it was
	})
}

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return documents.Bounded(ctx)
}
