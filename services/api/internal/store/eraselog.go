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

// erasePage is EraseAnswers for one page.
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
	entries, err := proto.Marshal(&webhooksv1.LogPage{Entries: page.Entries})
	if err != nil {
		return n, fmt.Errorf("pack page %d of webhook %s: %w", number, webhookID, err)
	}
	writing, cancel := bounded(ctx)
	defer cancel()
	_, err = s.pages.UpdateOne(writing, bson.D{{Key: keyID, Value: pageID(webhookID, number)}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "entries", Value: entries}}}})
	return n, unavailable("erase in page", err)
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
		if err := s.eraseRecord(ctx, activity.ID(e)); err != nil {
			return erased, err
		}
		erased++
	}
	return erased, nil
}

func (s *Store) eraseRecord(ctx context.Context, id string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err := s.attempts.UpdateOne(ctx, bson.D{{Key: keyID, Value: id}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "response", Value: nil}, {Key: "detail", Value: ""}}}})
	return unavailable("erase answer", err)
}
