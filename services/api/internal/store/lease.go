package store

import (
	"context"

	"go.mongodb.org/mongo-driver/bson"

	"github.com/dembrane/webhooks/services/api/internal/lease"
)

// leased is a document with a lease.
type leased struct {
	in collection
	id string
	// while is what else must hold, and set what else is stored.
	while bson.E
	set   bson.D
}

// swapLease replaces the lease of a document, if it is still as it was seen, and reports
// whether it was.
func (s *Store) swapLease(ctx context.Context, of leased, seen, next lease.Lease) (bool, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	unlock, err := s.lock(ctx, of.id)
	if err != nil {
		return false, err
	}
	defer unlock()
	result, err := of.in.UpdateOne(ctx, append(bson.D{{Key: "_id", Value: of.id}, of.while}, fieldsOf(seen)...),
		bson.D{{Key: "$set", Value: append(fieldsOf(next), of.set...)}})
	if err != nil {
		return false, unavailable("take what is in "+of.in.name, err)
	}
	return result.MatchedCount == 1, nil
}

func fieldsOf(l lease.Lease) bson.D {
	return bson.D{{Key: "owner", Value: l.Owner}, {Key: "until", Value: l.Until}}
}
