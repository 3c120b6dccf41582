package store

import (
	"context"

	"go.mongodb.org/mongo-driver/bson"

	"github.com/dembrane/webhooks/services/api/internal/lease"
	"github.com/dembrane/webhooks/services/api/internal/store/documents"
)

// leased is a document with a lease.
type leased struct {
	in documents.Collection
	id string
	// while is what else must hold, and set what else is stored.
	while bson.E
	set   bson.D
}

// swapLease replaces the lease of a document, if it is still as it was seen, and reports
// whether it was.
func swapLease(ctx context.Context, of leased, seen, next lease.Lease) (bool, error) {
	return update(ctx, of.in, of.id, append(bson.D{of.while}, fieldsOf(seen)...),
		bson.D{{Key: "$set", Value: append(fieldsOf(next), of.set...)}})
}

func fieldsOf(l lease.Lease) bson.D {
	return bson.D{{Key: "owner", Value: l.Owner}, {Key: "until", Value: l.Until}}
}
