package store

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// ClaimAge is how long an idempotency key is remembered.
const ClaimAge = 24 * time.Hour

// claimTries bounds the tries against claims that end at the same moment.
const claimTries = 5

// Claim is what the first request with an idempotency key leaves for those that
// repeat it.
type Claim struct {
	// ID names the caller, the path and the key.
	ID string `bson:"_id"`
	// Fingerprint is of the body, encrypted: there may be a secret in it.
	Fingerprint []byte `bson:"fingerprint"`
	// Makes is the id of what the request makes. Whoever repeats it makes the same.
	Makes string `bson:"makes"`
	// Answer is what was answered; nil as long as that is not known.
	Answer    []byte    `bson:"answer"`
	CreatedAt time.Time `bson:"created_at"`
}

// Claim stores a claim, unless there is one with its id that is younger than
// [ClaimAge]: then it returns that one, and false.
func (s *Store) Claim(ctx context.Context, c Claim) (Claim, bool, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for range claimTries {
		_, err := s.claims.InsertOne(ctx, c)
		if err == nil {
			return c, true, nil
		}
		if !mongo.IsDuplicateKeyError(err) {
			return Claim{}, false, unavailable("insert claim", err)
		}
		var found Claim
		err = s.claims.FindOne(ctx, bson.D{{Key: "_id", Value: c.ID}}).Decode(&found)
		switch {
		case errors.Is(err, mongo.ErrNoDocuments): // it has just ended
			continue
		case err != nil:
			return Claim{}, false, unavailable("load claim", err)
		case c.CreatedAt.Sub(found.CreatedAt) < ClaimAge:
			return found, false, nil
		}
		if err := s.Unclaim(ctx, found); err != nil {
			return Claim{}, false, err
		}
	}
	return Claim{}, false, unavailable("insert claim", errors.New("claims of this id come and go"))
}

// Answer completes a claim.
func (s *Store) Answer(ctx context.Context, id string, answer []byte) error {
	_, err := update(ctx, s.claims, id, nil, bson.D{{Key: "$set", Value: bson.D{{Key: "answer", Value: answer}}}})
	return err
}

// Unclaim takes back a claim, as one whose request had no effect: this very one, and not
// one that has its id by now.
func (s *Store) Unclaim(ctx context.Context, c Claim) error {
	return remove(ctx, s.claims, c.ID, bson.D{{Key: "makes", Value: c.Makes}})
}

// ExpireClaims deletes claims that were made before the given time, at most limit
// of them, and returns how many. Servers that expire by themselves leave it
// nothing to do.
func (s *Store) ExpireClaims(ctx context.Context, before time.Time, limit int64) (int, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	found, err := findAll[Claim](ctx, s.claims, bson.D{{Key: keyCreated, Value: bson.D{{Key: "$lt", Value: before}}}},
		options.Find().SetLimit(limit).SetProjection(bson.D{{Key: "makes", Value: 1}}))
	if err != nil {
		return 0, err
	}
	for i, claim := range found {
		if err := s.Unclaim(ctx, claim); err != nil {
			return i, err
		}
	}
	return len(found), nil
}
