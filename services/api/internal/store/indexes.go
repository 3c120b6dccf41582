package store

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/services/api/internal/store/documents"
)

// indexTimeout bounds the wait for one index. It is long, because some servers
// throw a build away when nobody waits for it.
const indexTimeout = time.Hour

// What servers say about indexes.
const (
	namespaceNotFound     = 26
	indexNotFound         = 27
	namespaceExists       = 48
	cannotCreateIndex     = 67
	indexOptionsConflict  = 85
	commandNotSupported   = 115
	notAReplicaSet        = 123
	invalidIndexOption    = 197
	notImplemented        = 238
	nameSlot              = "slot"
	nameID                = "_id_"
	namePending           = "pending"
	nameExpiry            = "expiry"
	keyProject, keyID     = "project_id", "_id"
	keyCreated, keyOfHook = "created_at", "webhook_id"
)

// index is an index that makes something faster.
type index struct {
	in   documents.Collection
	name string
	keys bson.D
	opts *options.IndexOptions
}

func ascending(key string) bson.E  { return bson.E{Key: key, Value: 1} }
func descending(key string) bson.E { return bson.E{Key: key, Value: -1} }

// Prepare creates the collections and the unique index on slots, which is what
// limits the number of webhooks: until it has succeeded once, [Store.Create]
// refuses. It may be called any number of times.
func (s *Store) Prepare(ctx context.Context) error {
	err := s.createIndex(ctx, index{s.webhooks, nameSlot, bson.D{ascending("slot")}, options.Index().SetUnique(true)})
	if err != nil {
		return err
	}
	if err := s.createCollections(ctx); err != nil {
		return err
	}
	s.slotsUnique.Store(true)
	return nil
}

// createCollections makes what the first write would make: whoever looks at the
// database from outside finds everything there.
func (s *Store) createCollections(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for _, made := range []documents.Collection{
		s.attempts, s.claims, s.activity, s.pages, s.outcomes, s.replays, s.replaying, s.erasures,
	} {
		if err := made.Create(ctx); err != nil && !refused(err, namespaceExists) {
			return unavailable("create collection "+made.Name(), err)
		}
	}
	return nil
}

// BuildIndexes creates the indexes that only make something faster, and may take
// as long as that takes. It may be called any number of times; with an error some
// are still missing.
func (s *Store) BuildIndexes(ctx context.Context, attemptsMaxAge time.Duration) error {
	var faults []error
	for _, wanted := range []index{
		{s.webhooks, "project_newest", bson.D{ascending(keyProject), descending(keyCreated), descending(keyID)}, options.Index()},
		{s.webhooks, "newest", bson.D{descending(keyCreated), descending(keyID)}, options.Index()},
		{s.activity, "project", bson.D{ascending(keyProject)}, options.Index()},
		{s.erasures, "done", bson.D{ascending("done")}, options.Index()},
		{s.erasures, "begun", bson.D{ascending("begun_at")}, options.Index()},
	} {
		faults = append(faults, s.createIndex(ctx, wanted))
	}
	faults = append(faults, s.buildPending(ctx),
		s.buildExpiry(ctx, s.attempts, "started_at", attemptsMaxAge), s.buildExpiry(ctx, s.claims, keyCreated, ClaimAge))
	if err := errors.Join(faults...); err != nil {
		return err
	}
	// What earlier versions had: the ones above can do the same, or nobody uses it.
	return errors.Join(s.dropIndex(ctx, s.webhooks, "project"),
		s.dropIndex(ctx, s.attempts, "webhook"), s.dropIndex(ctx, s.attempts, "webhook_outcome"))
}

func (s *Store) createIndex(ctx context.Context, wanted index) error {
	ctx, cancel := context.WithTimeoutCause(ctx, indexTimeout, errors.New("the index took too long"))
	defer cancel()
	return unavailable("create index "+wanted.name, wanted.in.CreateIndex(ctx, wanted.name, wanted.keys, wanted.opts))
}

func (*Store) dropIndex(ctx context.Context, of documents.Collection, name string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	err := of.DropIndex(ctx, name)
	if refused(err, indexNotFound, namespaceNotFound) {
		return nil
	}
	return unavailable("drop index "+name, err)
}

// buildPending indexes the few webhooks that are pending, where the server can.
func (s *Store) buildPending(ctx context.Context) error {
	only := options.Index().SetPartialFilterExpression(bson.D{{Key: "pending", Value: true}})
	err := s.createIndex(ctx, index{s.webhooks, "pending_only", bson.D{ascending("pending")}, only})
	switch {
	case lacking(err):
		return s.createIndex(ctx, index{s.webhooks, namePending, bson.D{ascending("pending")}, options.Index()})
	case err != nil:
		return err
	default:
		return s.dropIndex(ctx, s.webhooks, namePending)
	}
}

// buildExpiry lets the server expire documents where it can. [Store.Expire] and
// [Store.ExpireClaims] do it in any case, so a server that has no such thing only
// is a line in the log.
func (s *Store) buildExpiry(ctx context.Context, in documents.Collection, key string, maxAge time.Duration) error {
	seconds := int32(min(maxAge/time.Second, math.MaxInt32)) //nolint:gosec // it is bounded
	err := s.createIndex(ctx, index{
		in, nameExpiry, bson.D{ascending(key)}, options.Index().SetExpireAfterSeconds(seconds),
	})
	if refused(err, indexOptionsConflict) {
		err = changeExpiry(ctx, in, seconds)
	}
	if lacking(err) {
		s.log.Info("the database does not expire documents by itself: the api deletes them",
			zap.String("collection", in.Name()), zap.Error(err))
		return nil
	}
	return err
}

func changeExpiry(ctx context.Context, of documents.Collection, seconds int32) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return unavailable("change index "+nameExpiry, of.ChangeExpiry(ctx, nameExpiry, seconds))
}

// lacking reports whether a server has no indexes of that kind.
func lacking(err error) bool {
	return refused(err, cannotCreateIndex, commandNotSupported, invalidIndexOption, notImplemented)
}

// refused reports whether the server answered with one of these codes.
func refused(err error, codes ...int) bool {
	var server mongo.ServerError
	return errors.As(err, &server) && slices.ContainsFunc(codes, server.HasErrorCode)
}
