package store

import (
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"
	"golang.org/x/sync/errgroup"
)

// List returns every webhook of the project, newest first.
//
// The embedded database looks up by _id alone: for the webhooks of one project it
// reads those of all. As nobody else writes to it, it is remembered which webhooks a
// project has, and what was read of each of them.
func (s *Store) List(ctx context.Context, projectID string) ([]Webhook, error) {
	if !s.alone {
		return s.list(ctx, projectID)
	}
	ids, remembered := s.members.get(projectID)
	if !remembered {
		state := s.members.state(projectID)
		found, err := s.list(ctx, projectID)
		if err != nil {
			return nil, err
		}
		for _, w := range found {
			ids = append(ids, w.ID)
		}
		s.members.put(state, projectID, ids)
		return found, nil
	}
	return s.loadAll(ctx, projectID, ids)
}

func (s *Store) list(ctx context.Context, projectID string) ([]Webhook, error) {
	return s.find(ctx, live(bson.D{{Key: keyProject, Value: projectID}}), options.Find().SetSort(newestFirst()))
}

// loadAll returns those of some webhooks that are not deleted.
func (s *Store) loadAll(ctx context.Context, projectID string, ids []string) ([]Webhook, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	list := make([]Webhook, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readsAtOnce)
	for i, id := range ids {
		var remembered bool
		if list[i], remembered = s.shown.get(id); remembered {
			continue
		}
		group.Go(func() (err error) {
			list[i], err = s.loadShown(ctx, id)
			return err
		})
	}
	err := group.Wait()
	// One that is gone has no project.
	return slices.DeleteFunc(list, func(w Webhook) bool { return w.Deleted() || w.ProjectID != projectID }), err //nolint:wrapcheck // an error of loadShown, as it is
}

// loadShown reads and remembers; one without an id is gone.
func (s *Store) loadShown(ctx context.Context, id string) (Webhook, error) {
	state := s.shown.state(id)
	w, err := decoded(s.webhooks.FindOne(ctx, bson.D{{Key: keyID, Value: id}}))
	if errors.Is(err, ErrNotFound) {
		return Webhook{}, nil
	}
	if err == nil {
		s.shown.put(state, id, w)
	}
	return w, err
}
