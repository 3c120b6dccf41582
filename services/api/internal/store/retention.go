package store

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
	"github.com/dembrane/webhooks/services/api/internal/store/documents"
)

// LogHead says how much of a webhook's log there is.
type LogHead struct {
	WebhookID string `bson:"_id"`
	ProjectID string `bson:"project_id"`
	// First is the oldest page that may be there, and Page the first that is not.
	First int64 `bson:"first"`
	Page  int64 `bson:"page"`
	// TailFrom is when the oldest attempt began that is in no page yet.
	TailFrom time.Time `bson:"tail_from"`
	// Bytes is about what all records that there ever were take, and BytesGone what
	// those took that have been deleted.
	Bytes     int64 `bson:"bytes"`
	BytesGone int64 `bson:"bytes_gone"`
}

// HasPages reports whether some of the log is in pages.
func (h LogHead) HasPages() bool { return h.First < h.Page }

// Size is about what the records take, in bytes.
func (h LogHead) Size() int64 { return h.Bytes - h.BytesGone }

// LogHeads lists the logs of all webhooks, those included that were deleted.
func (s *Store) LogHeads(ctx context.Context) ([]LogHead, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 6*callTimeout, errors.New("mongodb took too long"))
	defer cancel()
	fields := bson.D{}
	for _, name := range []string{keyProject, "first", "page", "tail_from", "bytes", "bytes_gone"} {
		fields = append(fields, bson.E{Key: name, Value: 1})
	}
	return findAll[LogHead](ctx, s.activity, bson.D{}, options.Find().SetProjection(fields).SetBatchSize(pageSize))
}

// OldestPage returns when the newest attempt began that is in the oldest page of a
// log. A page that is not there is as old as can be.
func (s *Store) OldestPage(ctx context.Context, h LogHead) (time.Time, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	page, _, err := s.loadPage(ctx, h.WebhookID, uint64(h.First)) //nolint:gosec // it counts from 0
	var newest time.Time
	for _, e := range page.Entries {
		if at := activity.StartedAt(e); at.After(newest) {
			newest = at
		}
	}
	return newest, err
}

// DropPage deletes the oldest page of a log with the records of its attempts, and
// returns what is left of the log. It may be repeated, and done by several at once.
func (s *Store) DropPage(ctx context.Context, h LogHead) (rest LogHead, dropped int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 6*callTimeout, errors.New("mongodb took too long"))
	defer cancel()
	number := uint64(h.First) //nolint:gosec // it counts from 0
	page, _, err := s.loadPage(ctx, h.WebhookID, number)
	if err != nil {
		return h, 0, err
	}
	if err := s.deleteAttempts(ctx, page.Entries); err != nil {
		return h, 0, err
	}
	// Before the log forgets it, so that it is found again if anything goes wrong.
	if err := s.pages.DeleteByID(ctx, pageID(h.WebhookID, number)); err != nil {
		return h, 0, err //nolint:wrapcheck // it says what it was
	}
	var size int64
	for _, e := range page.Entries {
		size += e.GetStoredBytes()
	}
	err = s.changeActivity(ctx, h.ProjectID, h.WebhookID, func(_ context.Context, a *activity.Activity, _ bool) (bool, error) {
		if a.First != number {
			return false, nil // another one was faster
		}
		a.First++
		a.BytesGone += size
		return true, nil
	})
	if err != nil {
		return h, 0, err
	}
	h.First++
	h.BytesGone += size
	return h, len(page.Entries), nil
}

// ExpireTail deletes the attempts of a log that are in no page and began before
// the given time.
func (s *Store) ExpireTail(ctx context.Context, h LogHead, before time.Time) (int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 6*callTimeout, errors.New("mongodb took too long"))
	defer cancel()
	a, err := s.Activity(ctx, h.WebhookID)
	if err != nil {
		return 0, err
	}
	gone := a.Expire(before)
	if len(gone) == 0 {
		return 0, nil
	}
	if err := s.deleteAttempts(ctx, gone); err != nil {
		return 0, err
	}
	err = s.changeActivity(ctx, h.ProjectID, h.WebhookID, func(_ context.Context, a *activity.Activity, _ bool) (bool, error) {
		return len(a.Expire(before)) > 0, nil
	})
	return len(gone), err
}

// ForgetLog deletes what is left of the log of a webhook that is deleted, when all
// of its attempts are. It reports whether it was.
func (s *Store) ForgetLog(ctx context.Context, h LogHead) (bool, error) {
	w, err := s.Load(ctx, h.WebhookID)
	if err != nil && !errors.Is(err, ErrNotFound) || err == nil && !w.Deleted() {
		return false, err
	}
	forgotten := false
	err = s.activity.Change(ctx, h.WebhookID, func(ctx context.Context, in *documents.Document) error {
		d, err := s.loadActivity(ctx, h.WebhookID)
		if err != nil {
			return err
		}
		if a, err := d.decode(); err != nil || len(a.Tail) > 0 || a.First < a.Page {
			return err
		}
		forgotten, err = in.Delete(ctx, in.SinceRead(bson.E{Key: "revision", Value: d.Revision}))
		return err //nolint:wrapcheck // it says what it was
	})
	return forgotten, err //nolint:wrapcheck // it says what it was
}

// deleteAttempts deletes the records of attempts by their ids, in one command.
func (s *Store) deleteAttempts(ctx context.Context, entries []*webhooksv1.LogEntry) error {
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = activity.ID(e)
	}
	return s.attempts.DeleteByID(ctx, ids...) //nolint:wrapcheck // it says what it was
}
