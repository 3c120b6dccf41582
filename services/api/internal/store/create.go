package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"github.com/dembrane/webhooks/pkg/retry"
)

var (
	// errSlotTaken: somebody else took it since it was seen to be free.
	errSlotTaken = errors.New("slot was taken")
	errNoSlots   = errors.New("the unique index on slots is not there yet")
)

// Create stores a new webhook as revision 1, pending. [ErrLimit] when the
// project has limit webhooks; however many are made at once, it never has more.
//
// A webhook takes one of the project's numbered slots, and the unique index on
// slots lets two never take the same one: counting first and inserting then
// would let both in. What a failover leaves in doubt is tried again for as long
// as a call may take: the id lets it happen once only.
func (s *Store) Create(ctx context.Context, w Webhook, limit int) (Webhook, error) {
	if !s.slotsUnique.Load() {
		return Webhook{}, unavailable("insert webhook", errNoSlots)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	w.Revision, w.Pending = 1, true
	w.UpdatedAt = w.CreatedAt
	w.owe(nil, w.UpdatedAt)
	var made Webhook
	try := creation{Store: s, webhook: w, limit: limit}
	doubted := false
	err := retry.Until(ctx, doubtPace(), nil, func(ctx context.Context) (err error) {
		for err = errSlotTaken; errors.Is(err, errSlotTaken); {
			made, err = try.insert(ctx)
		}
		doubted = doubted || errors.Is(err, errDoubt)
		if doubted && errors.Is(err, ErrUnavailable) {
			return err
		}
		return permanent(err)
	})
	return made, orUnavailable("insert webhook", err)
}

// creation is the tries to insert one webhook.
type creation struct {
	*Store

	webhook Webhook
	limit   int
	// tried says that one was made: it may be there.
	tried bool
}

// insert tries once, with a slot that is free.
func (c *creation) insert(ctx context.Context) (Webhook, error) {
	w := c.webhook
	free, err := c.freeSlots(ctx, w.ProjectID, c.limit)
	if err != nil {
		return Webhook{}, err
	}
	if len(free) == 0 {
		return c.full(ctx)
	}
	// Not the first: those who create at the same time would all try it.
	w.Slot = free[rand.IntN(len(free))] //nolint:gosec // it only has to spread
	c.tried = true
	_, err = c.webhooks.InsertOne(ctx, w)
	switch {
	case err == nil:
		return w, nil
	case mongo.IsDuplicateKeyError(err):
		return c.duplicate(ctx, w.ID, err)
	case finalError(err):
		return Webhook{}, unavailable("insert webhook", err)
	default:
		return Webhook{}, inDoubt("insert webhook", err)
	}
}

// full is for a project without a free slot, unless it was this very webhook that
// took the last one.
func (c *creation) full(ctx context.Context) (Webhook, error) {
	if !c.tried {
		return Webhook{}, ErrLimit
	}
	stored, err := c.LoadLinearizable(ctx, c.webhook.ID)
	if errors.Is(err, ErrNotFound) {
		return Webhook{}, ErrLimit
	}
	return stored, err
}

// duplicate tells a slot that somebody else has taken from an id that is there:
// that is our own, inserted by a try of which the answer was lost.
func (s *Store) duplicate(ctx context.Context, id string, err error) (Webhook, error) {
	if strings.Contains(err.Error(), "index: "+nameSlot+" ") {
		return Webhook{}, errSlotTaken
	}
	// Not every server says which index it was.
	stored, err := s.LoadLinearizable(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return Webhook{}, errSlotTaken
	case err != nil:
		return Webhook{}, inDoubt("insert webhook", err)
	default:
		return stored, nil
	}
}

func (s *Store) freeSlots(ctx context.Context, projectID string, limit int) ([]string, error) {
	cursor, err := s.webhooks.Find(ctx, live(bson.D{{Key: "project_id", Value: projectID}}),
		options.Find().SetProjection(bson.D{{Key: "slot", Value: 1}}))
	if err != nil {
		return nil, unavailable("find slots", err)
	}
	var list []struct {
		Slot string `bson:"slot"`
	}
	if err := cursor.All(ctx, &list); err != nil {
		return nil, unavailable("read slots", err)
	}
	if len(list) >= limit {
		return nil, nil
	}
	taken := map[string]bool{}
	for _, w := range list {
		taken[w.Slot] = true
	}
	var free []string
	for number := range limit {
		if slot := fmt.Sprintf("%s/%d", projectID, number); !taken[slot] {
			free = append(free, slot)
		}
	}
	return free, nil
}
