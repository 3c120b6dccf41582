package store

import (
	"context"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/services/api/internal/activity"
)

// readsAtOnce bounds how many documents are looked up for one list at the same time.
const readsAtOnce = 8

// Lately is what became of the attempts of several webhooks of late, in their order.
//
// A server that others use, too, is asked once. The embedded one, asked for several
// ids, reads everything, and takes a millisecond for each activity that it reads. As
// nobody else writes to it, what was read or written is remembered.
func (s *Store) Lately(ctx context.Context, webhookIDs []string) ([]*activity.Lately, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if !s.alone {
		return s.findLately(ctx, webhookIDs)
	}
	found := make([]*activity.Lately, len(webhookIDs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readsAtOnce)
	for i, id := range webhookIDs {
		var remembered bool
		if found[i], remembered = s.lately.get(id); remembered {
			continue
		}
		group.Go(func() (err error) {
			found[i], err = s.readLately(ctx, id)
			return err
		})
	}
	return found, group.Wait() //nolint:wrapcheck // an error of readLately, as it is
}

func (s *Store) findLately(ctx context.Context, webhookIDs []string) ([]*activity.Lately, error) {
	filter := bson.D{{Key: keyID, Value: bson.D{{Key: "$in", Value: webhookIDs}}}}
	fields := options.Find().SetProjection(bson.D{{Key: "tail", Value: 1}, {Key: "counts", Value: 1}})
	cursor, err := s.activity.Find(ctx, filter, fields)
	if err != nil {
		return nil, unavailable("find activities", err)
	}
	var documents []activityDocument
	if err := cursor.All(ctx, &documents); err != nil {
		return nil, unavailable("read activities", err)
	}
	byID := map[string]*activity.Lately{}
	for i := range documents {
		a, err := documents[i].decode()
		if err != nil {
			return nil, err
		}
		byID[documents[i].ID] = a.Lately()
	}
	found := make([]*activity.Lately, len(webhookIDs))
	for i, id := range webhookIDs {
		if found[i] = byID[id]; found[i] == nil {
			found[i] = &activity.Lately{} // of one without attempts
		}
	}
	return found, nil
}

// readLately reads and remembers.
func (s *Store) readLately(ctx context.Context, webhookID string) (*activity.Lately, error) {
	state := s.lately.state(webhookID)
	d, err := s.loadActivity(ctx, webhookID)
	if err != nil {
		return nil, err
	}
	a, err := d.decode()
	if err != nil {
		return nil, err
	}
	l := a.Lately()
	s.lately.put(state, webhookID, l)
	return l, nil
}
