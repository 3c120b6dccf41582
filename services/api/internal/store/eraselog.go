package store

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo/options"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
	"github.com/dembrane/webhooks/services/api/internal/store/documents"
)

// LogsOf lists the webhooks of a project that have a log, those included that were
// deleted.
func (s *Store) LogsOf(ctx context.Context, projectID string) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 6*callTimeout, errors.New("mongodb took too long"))
	defer cancel()
	heads, err := findAll[LogHead](ctx, s.activity, bson.D{{Key: keyProject, Value: projectID}},
		options.Find().SetProjection(bson.D{{Key: keyID, Value: 1}}).SetBatchSize(pageSize))
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(heads))
	for i, h := range heads {
		ids[i] = h.WebhookID
	}
	return ids, nil
}

// EraseAnswers takes out of a webhook's log what receivers answered to the attempts
// that match: response, detail, and where they redirected. It returns how many
// attempts that were. What is recorded meanwhile is not looked at. It may be
// repeated.
func (s *Store) EraseAnswers(ctx context.Context, projectID, webhookID string, match func(*webhooksv1.LogEntry) bool) (int64, error) {
	a, err := s.Activity(ctx, webhookID)
	if err != nil {
		return 0, err
	}
	var erased int64
	number := a.First
	pages := func(to uint64) error {
		for ; number < to; number++ {
			n, err := s.erasePage(ctx, webhookID, number, match)
			if err != nil {
				return err
			}
			erased += n
		}
		return nil
	}
	if err := pages(a.Page); err != nil {
		return erased, err
	}
	n, err := s.eraseTail(ctx, projectID, webhookID, a.Tail, match)
	if erased += n; err != nil {
		return erased, err
	}
	// What was in the tail may have gone into pages meanwhile: two of them may be
	// there of which the activity does not say so yet.
	if a, err = s.Activity(ctx, webhookID); err != nil {
		return erased, err
	}
	before := erased
	err = pages(a.Page + 2)
	return before, err
}

// eraseTail is EraseAnswers for what is in no page yet.
func (s *Store) eraseTail(ctx context.Context, projectID, webhookID string, seen []*webhooksv1.LogEntry,
	match func(*webhooksv1.LogEntry) bool,
) (int64, error) {
	n, err := s.eraseRecords(ctx, seen, match)
	if err != nil {
		return n, err
	}
	return n, s.changeActivity(ctx, projectID, webhookID, func(_ context.Context, a *activity.Activity, _ bool) (bool, error) {
		return eraseLocations(a.Tail, match), nil
	})
}

// erasePage is EraseAnswers for one page. The records come first: what fails is done again.
func (s *Store) erasePage(ctx context.Context, webhookID string, number uint64, match func(*webhooksv1.LogEntry) bool) (int64, error) {
	loading, cancel := bounded(ctx)
	defer cancel()
	page, _, err := s.loadPage(loading, webhookID, number)
	if err != nil {
		return 0, err
	}
	n, err := s.eraseRecords(ctx, page.Entries, match)
	if err != nil || !eraseLocations(page.Entries, match) {
		return n, err
	}
	for range changeAttempts {
		if stored, err := s.tryErasePage(ctx, webhookID, number, match); err != nil || stored {
			return n, err
		}
	}
	return n, unavailable("erase in page", ErrConflict)
}

// tryErasePage reports false when the page changed between reading and writing it.
// Within this process that cannot happen.
func (s *Store) tryErasePage(ctx context.Context, webhookID string, number uint64, match func(*webhooksv1.LogEntry) bool) (stored bool, err error) {
	id := pageID(webhookID, number)
	err = s.pages.Change(ctx, id, func(ctx context.Context, d *documents.Document) error {
		page, was, err := s.readPageDocument(ctx, id)
		if stored = !eraseLocations(page.GetEntries(), match); err != nil || stored {
			return err // also when it is not there any more
		}
		entries, err := proto.Marshal(page)
		if err != nil {
			return fmt.Errorf("pack page %s: %w", id, err)
		}
		stored, err = d.Update(ctx, d.SinceRead(bson.E{Key: "entries", Value: was.Entries}), bson.D{{Key: "$set", Value: bson.D{{Key: "entries", Value: entries}}}})
		return err //nolint:wrapcheck // it says what it was
	})
	return stored, err //nolint:wrapcheck // it says what it was
}

// eraseLocations reports whether it changed anything.
func eraseLocations(entries []*webhooksv1.LogEntry, match func(*webhooksv1.LogEntry) bool) bool {
	changed := false
	for _, e := range entries {
		if e.GetLocation() != "" && match(e) {
			e.Location, changed = "", true
		}
	}
	return changed
}

// eraseRecords is EraseAnswers for the records of attempts. Only one that was
// answered has anything of a receiver in it. They are changed one by one: the embedded
// database stops for good on a command of 100 changes, as it keeps one of its 100
// connections to SQLite for each until the command is over.
func (s *Store) eraseRecords(ctx context.Context, entries []*webhooksv1.LogEntry, match func(*webhooksv1.LogEntry) bool) (int64, error) {
	var erased int64
	for _, e := range entries {
		if e.GetStatusCode() == 0 || !match(e) {
			continue
		}
		_, err := update(ctx, s.attempts, activity.ID(e), nil,
			bson.D{{Key: "$set", Value: bson.D{{Key: "response", Value: nil}, {Key: "detail", Value: ""}}}})
		if err != nil {
			return erased, err
		}
		erased++
	}
	return erased, nil
}
