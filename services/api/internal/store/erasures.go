package store

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"github.com/dembrane/webhooks/services/api/internal/lease"
	"github.com/dembrane/webhooks/services/api/internal/store/documents"
)

// erasuresNumber is the document that counts how often an erasure was begun. Its
// id is no erasure's: those have a slash.
const erasuresNumber = "number"

// Erasure is the wish to erase one event of a project, or all, and how far that is.
type Erasure struct {
	ID        string `bson:"_id"`
	ProjectID string `bson:"project_id"`
	// EventID is empty for all events.
	EventID string `bson:"event_id"`
	// By is who asked for it.
	By string `bson:"by"`
	// Through is the last sequence of EVENTS that it is about: what is published
	// after it stays, even under the same id.
	Through int64 `bson:"through"`
	// Events and Attempts are how many were erased, and how many records lost what
	// their receivers answered.
	Events   int64 `bson:"events"`
	Attempts int64 `bson:"attempts"`
	Done     bool  `bson:"done"`
	// Lease says which replica of the api works on it.
	lease.Lease `bson:",inline"`

	BegunAt time.Time  `bson:"begun_at"`
	EndedAt *time.Time `bson:"ended_at"`
}

// erasureID names the erasure of an event, or of all.
func erasureID(projectID, eventID string) string {
	if eventID == "" {
		eventID = "*" // which is no event's id
	}
	return projectID + "/" + eventID
}

// BeginErasure stores the wish to erase what there is up to a sequence. One that is
// not done yet is returned as it is.
func (s *Store) BeginErasure(ctx context.Context, e Erasure) (Erasure, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	e.ID = erasureID(e.ProjectID, e.EventID)
	e.BegunAt, e.Until = now(), time.Time{}.UTC()
	begun, err := s.storeErasure(ctx, e)
	if err != nil {
		return Erasure{}, err
	}
	// Also of one that there was: whoever began it may have died before it counted.
	return begun, s.countErasure(ctx)
}

func (s *Store) storeErasure(ctx context.Context, e Erasure) (Erasure, error) {
	begun := e
	err := s.erasures.Change(ctx, e.ID, func(ctx context.Context, d *documents.Document) error {
		inserted, err := d.Insert(ctx, e)
		if err == nil && !inserted {
			begun, err = s.beginAgain(ctx, d, e)
		}
		return err //nolint:wrapcheck // it says what it was
	})
	return begun, err //nolint:wrapcheck // it says what it was
}

// beginAgain is for a wish that there was before.
func (s *Store) beginAgain(ctx context.Context, d *documents.Document, e Erasure) (Erasure, error) {
	before, err := s.LoadErasure(ctx, e.ProjectID, e.EventID)
	if err != nil {
		return Erasure{}, err
	}
	if !before.Done {
		return before, nil
	}
	_, err = d.Update(ctx, d.SinceRead(bson.E{Key: "done", Value: true}), bson.D{{Key: "$set", Value: bson.D{
		{Key: "by", Value: e.By},
		{Key: "through", Value: max(e.Through, before.Through)},
		{Key: "events", Value: int64(0)},
		{Key: "attempts", Value: int64(0)},
		{Key: "done", Value: false},
		{Key: "owner", Value: ""},
		{Key: "until", Value: e.Until},
		{Key: "begun_at", Value: e.BegunAt},
		{Key: "ended_at", Value: nil},
	}}})
	if err != nil {
		return Erasure{}, err //nolint:wrapcheck // it says what it was
	}
	return s.LoadErasure(ctx, e.ProjectID, e.EventID)
}

// countErasure tells every recorder that there is another erasure. It comes after
// the erasure is stored: who sees the number sees that, too.
func (s *Store) countErasure(ctx context.Context) error {
	//nolint:wrapcheck // it says what it was
	return s.erasures.Change(ctx, erasuresNumber, func(ctx context.Context, d *documents.Document) error {
		_, err := d.Update(ctx, nil, bson.D{{Key: "$inc", Value: bson.D{{Key: "through", Value: int64(1)}}}}, options.Update().SetUpsert(true))
		return err //nolint:wrapcheck // it says what it was
	})
}

// ErasuresBegun is how often an erasure was begun.
func (s *Store) ErasuresBegun(ctx context.Context) (int64, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var counted Erasure
	err := s.erasures.FindOne(ctx, bson.D{{Key: "_id", Value: erasuresNumber}}).Decode(&counted)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return 0, nil
	}
	return counted.Through, unavailable("count erasures", err)
}

// ErasuresSince returns what was begun since a time.
func (s *Store) ErasuresSince(ctx context.Context, since time.Time) ([]Erasure, error) {
	return s.findErasures(ctx, bson.D{{Key: "begun_at", Value: bson.D{{Key: "$gte", Value: since}}}})
}

// OpenErasures returns those that are not done.
func (s *Store) OpenErasures(ctx context.Context) ([]Erasure, error) {
	return s.findErasures(ctx, bson.D{{Key: "done", Value: false}})
}

func (s *Store) findErasures(ctx context.Context, filter bson.D) ([]Erasure, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 4*callTimeout, errors.New("mongodb took too long"))
	defer cancel()
	return findAll[Erasure](ctx, s.erasures, filter, options.Find().SetBatchSize(pageSize))
}

// LoadErasure returns an erasure as it is now, or [ErrNotFound].
func (s *Store) LoadErasure(ctx context.Context, projectID, eventID string) (Erasure, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var e Erasure
	err := s.erasures.FindOne(ctx, bson.D{{Key: "_id", Value: erasureID(projectID, eventID)}}).Decode(&e)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return Erasure{}, ErrNotFound
	}
	return e, unavailable("load erasure", err)
}

// SwapErasureLease replaces the lease on an erasure, if that is still as it was seen, and
// stores how far the erasure is. It reports whether that succeeded.
func (s *Store) SwapErasureLease(ctx context.Context, e Erasure, seen, next lease.Lease) (bool, error) {
	return swapLease(ctx, leased{
		in: s.erasures, id: e.ID, while: bson.E{Key: "done", Value: false},
		set: bson.D{{Key: "events", Value: e.Events}, {Key: "attempts", Value: e.Attempts}},
	}, seen, next)
}

// EndErasure says that it is done.
func (s *Store) EndErasure(ctx context.Context, e Erasure) error {
	_, err := update(ctx, s.erasures, e.ID, bson.D{{Key: "begun_at", Value: e.BegunAt}}, bson.D{{Key: "$set", Value: bson.D{
		{Key: "done", Value: true},
		{Key: "ended_at", Value: now()},
		{Key: "events", Value: e.Events},
		{Key: "attempts", Value: e.Attempts},
	}}})
	return err
}

// ExpireErasures forgets those that ended before the given time, at most limit of
// them, and returns how many. One that is begun again meanwhile stays.
func (s *Store) ExpireErasures(ctx context.Context, before time.Time, limit int64) (int, error) {
	return expire(ctx, s.erasures, "ended_at", before, limit, func(ctx context.Context, ids ...string) error {
		for _, id := range ids {
			if err := remove(ctx, s.erasures, id, bson.D{{Key: "ended_at", Value: bson.D{{Key: "$lt", Value: before}}}}); err != nil {
				return err
			}
		}
		return nil
	})
}
