package store

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/bson"
)

// UpdateHealth applies edit to a webhook's health. It is no change of the
// registration: the revision stays, and a change made at the same time is not
// touched. A webhook that was deleted meanwhile is left alone.
func (s *Store) UpdateHealth(ctx context.Context, id string, edit func(Health) Health) error {
	w, err := s.Load(ctx, id)
	if errors.Is(err, ErrNotFound) || err == nil && w.Deleted() {
		return nil
	}
	if err != nil {
		return err
	}
	next := edit(w.Health)
	if next == w.Health {
		return nil
	}
	_, err = s.update(ctx, id, nil, bson.D{{Key: "$set", Value: bson.D{
		{Key: "health.failing_since", Value: next.FailingSince},
		{Key: "health.last_success_at", Value: next.LastSuccessAt},
		{Key: "health.last_attempt_at", Value: next.LastAttemptAt},
		{Key: "health.last_status_code", Value: next.LastStatusCode},
	}}})
	return err
}

// Disable switches a webhook off for a reason that concerns the given revision.
// It reports false, and does nothing, when the webhook was changed since, is off
// already, or is deleted: the reason may no longer hold then.
func (s *Store) Disable(ctx context.Context, projectID, id string, revision int64, reason DisabledReason) (bool, error) {
	errOvertaken := errors.New("overtaken")
	_, err := s.Change(ctx, projectID, id, func(w *Webhook) error {
		if w.Revision > revision || !w.Status.Enabled() {
			return errOvertaken
		}
		w.Disable(reason)
		return nil
	})
	if errors.Is(err, errOvertaken) || errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
