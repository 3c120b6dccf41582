package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
)

// pageDocument is a page of a webhook's log. It is written once.
type pageDocument struct {
	// ID has the webhook's id and the page's number, so that pages of a webhook sort
	// by time.
	ID      string `bson:"_id"`
	Entries []byte `bson:"entries"`
	// WrittenAt is after the time of every entry.
	WrittenAt time.Time `bson:"written_at"`
}

func pageID(webhookID string, number uint64) string {
	return fmt.Sprintf("%s.%010d", webhookID, number)
}

// insertPage writes a page, unless it is there: then it is the same.
func (s *Store) insertPage(ctx context.Context, webhookID string, p activity.Page) error {
	entries, err := proto.Marshal(&webhooksv1.LogPage{Entries: p.Entries})
	if err != nil {
		return fmt.Errorf("pack page %d of webhook %s: %w", p.Number, webhookID, err)
	}
	_, err = s.pages.InsertOne(ctx, pageDocument{ID: pageID(webhookID, p.Number), Entries: entries, WrittenAt: now()})
	if mongo.IsDuplicateKeyError(err) {
		return nil
	}
	return unavailable("insert page", err)
}

// loadPage returns an empty page that was never written when it is not there.
func (s *Store) loadPage(ctx context.Context, webhookID string, number uint64) (activity.Page, time.Time, error) {
	packed, d, err := s.readPageDocument(ctx, pageID(webhookID, number))
	return activity.Page{Number: number, Entries: packed.GetEntries()}, d.WrittenAt, err
}

// readPageDocument returns nothing when it is not there.
func (s *Store) readPageDocument(ctx context.Context, id string) (*webhooksv1.LogPage, pageDocument, error) {
	var d pageDocument
	err := s.pages.FindOne(ctx, bson.D{{Key: keyID, Value: id}}).Decode(&d)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, d, nil
	}
	if err != nil {
		return nil, d, unavailable("load page", err)
	}
	packed := &webhooksv1.LogPage{}
	if err := proto.Unmarshal(d.Entries, packed); err != nil {
		return nil, d, fmt.Errorf("read page %s: %w", id, err)
	}
	return packed, d, nil
}

// LogWalk says which part of a webhook's log to walk through.
type LogWalk struct {
	// Oldest walks from the oldest attempt to the newest, else it is the other way round.
	Oldest bool
	// Past is the position to go on from; 0 to begin.
	Past uint64
	// Since leaves out the part in which everything began earlier; zero for nothing.
	Since time.Time
	// Pages is how many pages are looked at, at most.
	Pages int
}

// WalkLog calls yield with the attempts of a webhook in the order in which they
// were recorded, or the reverse of it, until it returns false. It returns the position
// to go on from, or 0 when there is nothing more.
func (s *Store) WalkLog(ctx context.Context, webhookID string, w LogWalk,
	yield func(position uint64, e *webhooksv1.LogEntry) bool,
) (next uint64, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	d, err := s.loadActivity(ctx, webhookID)
	if err != nil {
		return 0, err
	}
	a, err := d.decode()
	if err != nil {
		return 0, err
	}
	if w.Oldest {
		return s.walkUp(ctx, webhookID, a, w, yield)
	}
	return s.walkDown(ctx, webhookID, a, w, yield)
}

func (s *Store) walkDown(ctx context.Context, webhookID string, a *activity.Activity, w LogWalk,
	yield func(position uint64, e *webhooksv1.LogEntry) bool,
) (next uint64, err error) {
	before := w.Past
	if before == 0 || before > a.Newest() {
		before = a.Newest() + 1
	}
	before, goOn := walkEntries(a.Tail, a.Position, before, yield)
	for range w.Pages {
		if !goOn || before <= 1 || activity.PageOf(before-1) < a.First {
			break
		}
		page, writtenAt, err := s.loadPage(ctx, webhookID, activity.PageOf(before-1))
		if err != nil {
			return 0, err
		}
		if len(page.Entries) > 0 && writtenAt.Before(w.Since.Add(-skew)) {
			return 0, nil
		}
		if before, goOn = walkEntries(page.Entries, page.Position, before, yield); goOn {
			before = page.Number*activity.PageEntries + 1
		}
	}
	if before <= 1 || activity.PageOf(before-1) < a.First {
		return 0, nil
	}
	return before, nil
}

func (s *Store) walkUp(ctx context.Context, webhookID string, a *activity.Activity, w LogWalk,
	yield func(position uint64, e *webhooksv1.LogEntry) bool,
) (next uint64, err error) {
	number, past := max(a.First, w.Past/activity.PageEntries), w.Past
	if past == 0 {
		if number, err = s.pageSince(ctx, webhookID, a, w.Since); err != nil {
			return 0, err
		}
	}
	each := func(entries []*webhooksv1.LogEntry, position func(int) uint64) (goOn bool) {
		for i, e := range entries {
			if at := position(i); at > past {
				if past = at; !yield(at, e) {
					return false
				}
			}
		}
		return true
	}
	goOn := true
	for looked := 0; goOn && number < a.Page; looked++ {
		if looked == w.Pages {
			return number * activity.PageEntries, nil
		}
		page, _, err := s.loadPage(ctx, webhookID, number)
		if err != nil {
			return 0, err
		}
		goOn = each(page.Entries, page.Position)
		number++
	}
	if goOn {
		goOn = each(a.Tail, a.Position)
	}
	if goOn || past >= a.Newest() {
		return 0, nil
	}
	return past, nil
}

// pageSince is the first page with anything that began at a time or later: what is
// recorded before is in pages that were written before. One that is not there is as old
// as can be.
func (s *Store) pageSince(ctx context.Context, webhookID string, a *activity.Activity, since time.Time) (uint64, error) {
	first, end := a.First, a.Page
	for first < end && !since.IsZero() {
		middle := first + (end-first)/2
		_, writtenAt, err := s.loadPage(ctx, webhookID, middle)
		if err != nil {
			return 0, err
		}
		if writtenAt.Before(since.Add(-skew)) {
			first = middle + 1
		} else {
			end = middle
		}
	}
	return first, nil
}

// walkEntries yields those entries that are below a position, newest first. It
// returns the position of the last one that it yielded.
func walkEntries(entries []*webhooksv1.LogEntry, position func(int) uint64, before uint64,
	yield func(uint64, *webhooksv1.LogEntry) bool,
) (uint64, bool) {
	for i, e := range slices.Backward(entries) {
		at := position(i)
		if at >= before {
			continue
		}
		before = at
		if !yield(at, e) {
			return before, false
		}
	}
	return before, true
}
