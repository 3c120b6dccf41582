package store

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"github.com/dembrane/webhooks/services/api/internal/store/documents"
)

// MergeHealth merges what is newly known into a webhook's health and returns the
// result. It is no change of the registration: the revision stays, and a change
// made at the same time is not touched. A webhook that was deleted meanwhile is
// left alone.
func (s *Store) MergeHealth(ctx context.Context, id string, known Health) (next Health, err error) {
	for range changeAttempts {
		stored := false
		err := s.webhooks.Change(ctx, id, func(ctx context.Context, d *documents.Document) error {
			w, err := s.Load(ctx, id)
			if errors.Is(err, ErrNotFound) || err == nil && w.Deleted() {
				next, stored = known, true
				return nil
			}
			if err != nil {
				return err
			}
			next = w.Health.Merge(known)
			if stored = next.Equal(w.Health); stored {
				return nil
			}
			stored, err = d.Update(ctx, d.SinceRead(w.Health.times()...), bson.D{{Key: "$set", Value: append(next.times(),
				bson.E{Key: "health.last_status_code", Value: next.LastStatusCode})}})
			return err //nolint:wrapcheck // it says what it was
		})
		if err != nil || stored {
			return next, err //nolint:wrapcheck // it says what it was
		}
	}
	return Health{}, unavailable("update health", ErrConflict) // others kept being faster
}

// times change whenever anything does.
func (h Health) times() bson.D {
	return bson.D{
		{Key: "health.failing_since", Value: h.FailingSince},
		{Key: "health.last_success_at", Value: h.LastSuccessAt},
		{Key: "health.last_attempt_at", Value: h.LastAttemptAt},
	}
}

// Merge combines what two parties know, whichever knew it first and however
// often it is told: attempts come late, twice, and through several replicas. The
// newest attempt and the newest success count, and a webhook is failing when the
// newest attempt is no success. Only since when may then be a little late.
func (h Health) Merge(other Health) Health {
	// Of two in the same millisecond, the one that is told later.
	if other.LastAttemptAt != nil && compare(other.LastAttemptAt, h.LastAttemptAt) >= 0 {
		h.LastAttemptAt, h.LastStatusCode = other.LastAttemptAt, other.LastStatusCode
	}
	if compare(other.LastSuccessAt, h.LastSuccessAt) > 0 {
		h.LastSuccessAt = other.LastSuccessAt
	}
	since := [2]*time.Time{h.FailingSince, other.FailingSince}
	h.FailingSince = nil
	for _, candidate := range since {
		if candidate == nil || compare(candidate, h.LastSuccessAt) <= 0 {
			continue
		}
		if h.FailingSince == nil || candidate.Before(*h.FailingSince) {
			h.FailingSince = candidate
		}
	}
	if h.FailingSince == nil && compare(h.LastAttemptAt, h.LastSuccessAt) > 0 {
		h.FailingSince = h.LastAttemptAt
	}
	return h
}

// Equal reports whether both say the same.
func (h Health) Equal(other Health) bool {
	return compare(h.FailingSince, other.FailingSince) == 0 && compare(h.LastSuccessAt, other.LastSuccessAt) == 0 &&
		compare(h.LastAttemptAt, other.LastAttemptAt) == 0 && h.LastStatusCode == other.LastStatusCode
}

// compare orders times; none comes before all.
func compare(a, b *time.Time) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return a.Compare(*b)
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
