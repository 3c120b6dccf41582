package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"github.com/dembrane/webhooks/pkg/retry"
)

var errNoSlots = errors.New("the unique index on slots is not there yet")

// maxProbes bounds the slots that are tried one after the other. It is above the
// default limit, so that a project of that size is never searched.
const maxProbes = 64

// lastLook bounds the look for a webhook of which it is not known whether it was
// written, after the time for writing it is over.
const lastLook = 2 * time.Second

// Create stores a new webhook as revision 1, pending. [ErrLimit] when the
// project has limit webhooks; however many are made at once, it never has more.
// [ErrUncertain] says that the webhook may be there.
//
// A webhook takes one of the project's numbered slots, and the unique index on
// slots lets two never take the same one: counting first and inserting then
// would let both in. Slots are tried in a random order, without looking first
// which are free: that would be a search, which some databases do by reading
// everything, and wrong a moment later when many are made at once.
//
// Those who create in one project at the same time do so one after the other, and
// know of each other which slots are taken.
//
// What a failover leaves in doubt is tried again for as long as a call may take:
// the id lets it happen once only.
func (s *Store) Create(ctx context.Context, w Webhook, limit int) (Webhook, error) {
	if !s.slotsUnique.Load() {
		return Webhook{}, unavailable("insert webhook", errNoSlots)
	}
	line, leave, err := s.lines.enter(ctx, w.ProjectID)
	if err != nil {
		return Webhook{}, err
	}
	defer leave()
	outer := ctx
	ctx, cancel := bounded(ctx)
	defer cancel()
	w.Revision, w.Pending = 1, true
	w.UpdatedAt = w.CreatedAt
	w.owe(nil, w.UpdatedAt)
	try := creation{Store: s, webhook: w, limit: limit, slots: line.order(limit), line: line.line}
	if line.full {
		try.slots = nil
	}
	var made Webhook
	err = retry.Until(ctx, doubtPace(), nil, func(ctx context.Context) (err error) {
		made, err = try.insert(ctx)
		if errors.Is(err, ErrUnavailable) && try.doubted {
			return err
		}
		return permanent(err)
	})
	if errors.Is(err, ErrLimit) && !line.full {
		line.fullFrom = line.began
	}
	if err != nil && try.doubted && !errors.Is(err, ErrLimit) {
		return s.lookOnce(outer, w.ID, err)
	}
	return made, orUnavailable("insert webhook", err)
}

// lookOnce finds out what became of a write in doubt, so that nobody is told to
// try again what has happened.
func (s *Store) lookOnce(ctx context.Context, id string, cause error) (Webhook, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	stored, err := s.LoadLinearizable(ctx, id)
	if err == nil {
		return stored, nil
	}
	return Webhook{}, fmt.Errorf("insert webhook: %w: %w", ErrUncertain, cause)
}

// creation is the tries to insert one webhook.
type creation struct {
	*Store

	webhook Webhook
	limit   int
	line    *line
	// slots are those that are left to try.
	slots []int
	// doubted says that a try may have been the one that succeeded.
	doubted bool
	// searched says that the slots are those that were seen to be free.
	searched bool
}

// insert tries one slot after the other.
func (c *creation) insert(ctx context.Context) (Webhook, error) {
	w := c.webhook
	for probes := 0; len(c.slots) > 0; probes++ {
		if probes == maxProbes && !c.searched {
			if err := c.search(ctx); err != nil {
				return Webhook{}, err
			}
			continue
		}
		w.Slot = fmt.Sprintf("%s/%d", w.ProjectID, c.slots[0])
		_, err := c.webhooks.InsertOne(ctx, w)
		switch {
		case err == nil:
			c.members.changed(w.ProjectID, nil)
			c.line.taken[c.slots[0]] = true
			return w, nil
		case mongo.IsDuplicateKeyError(err) && isIndex(err, nameID):
			return c.own(ctx, inDoubt("insert webhook", err))
		case mongo.IsDuplicateKeyError(err):
			c.line.taken[c.slots[0]] = true
			c.slots = c.slots[1:]
			// Not every server says which index it was.
			c.doubted = c.doubted || !isIndex(err, nameSlot)
		case finalError(err), neverSent(err):
			return Webhook{}, unavailable("insert webhook", err)
		default:
			c.doubted = true
			c.members.changed(w.ProjectID, err)
			return Webhook{}, inDoubt("insert webhook", err)
		}
	}
	// Whoever repeats a request has its webhook in one of the slots.
	return c.own(ctx, ErrLimit)
}

// own is for an id or a slot that is there already: perhaps it was this very
// webhook that took it, with a try of which the answer was lost.
func (c *creation) own(ctx context.Context, otherwise error) (Webhook, error) {
	stored, err := c.LoadLinearizable(ctx, c.webhook.ID)
	if errors.Is(err, ErrNotFound) {
		return Webhook{}, otherwise
	}
	return stored, err
}

// isIndex reports whether a server says that it was the key of this index.
func isIndex(err error, name string) bool {
	return strings.Contains(err.Error(), "index: "+name+" ")
}

// search replaces the slots that are left by those that are free. Only a project
// with a very high limit that is nearly full gets here.
func (c *creation) search(ctx context.Context) error {
	cursor, err := c.webhooks.Find(ctx, live(bson.D{{Key: "project_id", Value: c.webhook.ProjectID}}),
		options.Find().SetProjection(bson.D{{Key: "slot", Value: 1}}))
	if err != nil {
		return unavailable("find slots", err)
	}
	var list []struct {
		Slot string `bson:"slot"`
	}
	if err := cursor.All(ctx, &list); err != nil {
		return unavailable("read slots", err)
	}
	taken := map[string]bool{}
	for _, w := range list {
		taken[w.Slot] = true
	}
	c.searched, c.slots = true, nil
	if len(list) >= c.limit {
		return nil
	}
	for _, number := range rand.Perm(c.limit) { //nolint:gosec // it only has to spread
		if !taken[fmt.Sprintf("%s/%d", c.webhook.ProjectID, number)] {
			c.slots = append(c.slots, number)
		}
	}
	return nil
}
