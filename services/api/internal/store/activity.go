package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
	"github.com/dembrane/webhooks/services/api/internal/store/documents"
)

// skew is how far the clocks of those who make attempts and of those who record
// them may be apart.
const skew = time.Minute

// activityDocument is a webhook's [activity.Activity]. Its entries are packed: a
// document that has each field of each entry takes the embedded database ten times
// as long to write.
type activityDocument struct {
	ID        string `bson:"_id"`
	ProjectID string `bson:"project_id"`
	// Revision grows with every change.
	Revision  int64     `bson:"revision"`
	First     int64     `bson:"first"`
	Page      int64     `bson:"page"`
	Cut       int64     `bson:"cut"`
	Tail      []byte    `bson:"tail"`
	Counts    []byte    `bson:"counts"`
	Bytes     int64     `bson:"bytes"`
	BytesGone int64     `bson:"bytes_gone"`
	TailFrom  time.Time `bson:"tail_from"`
	UpdatedAt time.Time `bson:"updated_at"`
}

func (d *activityDocument) decode() (*activity.Activity, error) {
	var tail webhooksv1.LogPage
	a := &activity.Activity{
		First: uint64(d.First), Page: uint64(d.Page), Cut: uint64(d.Cut), //nolint:gosec // they count from 0
		Bytes: d.Bytes, BytesGone: d.BytesGone, Counts: &webhooksv1.Counts{},
	}
	if err := errors.Join(proto.Unmarshal(d.Tail, &tail), proto.Unmarshal(d.Counts, a.Counts)); err != nil {
		return nil, fmt.Errorf("read activity of webhook %s: %w", d.ID, err)
	}
	a.Tail = tail.GetEntries()
	return a, nil
}

// encode sets everything that an [activity.Activity] says.
func (d *activityDocument) encode(a *activity.Activity) error {
	tail, err := proto.Marshal(&webhooksv1.LogPage{Entries: a.Tail})
	if err != nil {
		return fmt.Errorf("pack activity of webhook %s: %w", d.ID, err)
	}
	counts, err := proto.Marshal(a.Counts)
	if err != nil {
		return fmt.Errorf("pack counts of webhook %s: %w", d.ID, err)
	}
	d.First, d.Page, d.Cut = int64(a.First), int64(a.Page), int64(a.Cut) //nolint:gosec // far below
	d.Tail, d.Counts, d.Bytes, d.BytesGone = tail, counts, a.Bytes, a.BytesGone
	d.TailFrom = now()
	for _, e := range a.Tail {
		if at := activity.StartedAt(e); at.Before(d.TailFrom) {
			d.TailFrom = at
		}
	}
	d.UpdatedAt = now()
	return nil
}

// Activity returns what is kept of a webhook's attempts; an empty one when there
// were none.
func (s *Store) Activity(ctx context.Context, webhookID string) (*activity.Activity, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	d, err := s.loadActivity(ctx, webhookID)
	if err != nil {
		return nil, err
	}
	return d.decode()
}

// loadActivity returns one of revision 0 when there is none yet.
func (s *Store) loadActivity(ctx context.Context, webhookID string) (*activityDocument, error) {
	d := &activityDocument{ID: webhookID}
	err := s.activity.FindOne(ctx, bson.D{{Key: "_id", Value: webhookID}}).Decode(d)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return d, nil
	}
	return d, unavailable("load activity", err)
}

// changeActivity applies edit to what is stored, and stores it unless edit reports
// that nothing changed. It is called again when another one was faster; contested
// says so.
func (s *Store) changeActivity(ctx context.Context, projectID, webhookID string,
	edit func(ctx context.Context, a *activity.Activity, contested bool) (changed bool, err error),
) error {
	for try := range changeAttempts {
		stored, err := s.tryActivity(ctx, projectID, webhookID, func(ctx context.Context, a *activity.Activity) (bool, error) {
			return edit(ctx, a, try > 0)
		})
		if err != nil || stored {
			return err
		}
		retry.Pause(ctx, time.Duration(try+1)*changePause)
	}
	return unavailable("update activity", ErrConflict)
}

func (s *Store) tryActivity(ctx context.Context, projectID, webhookID string,
	edit func(context.Context, *activity.Activity) (bool, error),
) (stored bool, err error) {
	err = s.activity.Change(ctx, webhookID, func(ctx context.Context, in *documents.Document) error {
		d, err := s.loadActivity(ctx, webhookID)
		if err != nil {
			return err
		}
		a, err := d.decode()
		if err != nil {
			return err
		}
		changed, err := edit(ctx, a)
		if stored = !changed; err != nil || !changed {
			return err
		}
		if err := d.encode(a); err != nil {
			return err
		}
		d.ProjectID = projectID
		_, remembered := s.lately.get(webhookID)
		if stored, err = saveActivity(ctx, in, d); stored && remembered {
			s.lately.put(s.lately.state(webhookID), webhookID, a.Lately())
		}
		return err
	})
	return stored, err //nolint:wrapcheck // it says what it was
}

// saveActivity stores the next revision, and reports false when another one was
// faster.
func saveActivity(ctx context.Context, in *documents.Document, d *activityDocument) (bool, error) {
	was := d.Revision
	d.Revision++
	if was == 0 {
		return in.Insert(ctx, d) //nolint:wrapcheck // it says what it was
	}
	//nolint:wrapcheck // it says what it was
	return in.Update(ctx, in.SinceRead(bson.E{Key: "revision", Value: was}), bson.D{{Key: "$set", Value: d.content()}})
}

func (d *activityDocument) content() bson.D {
	return bson.D{
		{Key: "project_id", Value: d.ProjectID},
		{Key: "revision", Value: d.Revision},
		{Key: "first", Value: d.First},
		{Key: "page", Value: d.Page},
		{Key: "cut", Value: d.Cut},
		{Key: "tail", Value: d.Tail},
		{Key: "counts", Value: d.Counts},
		{Key: "bytes", Value: d.Bytes},
		{Key: "bytes_gone", Value: d.BytesGone},
		{Key: "tail_from", Value: d.TailFrom},
		{Key: "updated_at", Value: d.UpdatedAt},
	}
}

// AppendLog adds attempts of one webhook to its log. Those that are there already
// are left out, so it may be repeated. It looks for them in the newest part alone,
// unless told that they were recorded before: recorded reports whether the attempt
// was in the collection of records before this batch.
func (s *Store) AppendLog(ctx context.Context, projectID, webhookID string,
	entries []*webhooksv1.LogEntry, recorded func(id string) bool,
) error {
	left := slices.SortedFunc(slices.Values(entries), func(a, b *webhooksv1.LogEntry) int { return bytes.Compare(a.GetId(), b.GetId()) })
	left = slices.CompactFunc(left, func(a, b *webhooksv1.LogEntry) bool { return bytes.Equal(a.GetId(), b.GetId()) })
	for len(left) > 0 {
		round := left[:min(len(left), activity.RoundMost)]
		if err := s.appendRound(ctx, projectID, webhookID, round, recorded); err != nil {
			return err
		}
		left = left[len(round):]
	}
	return nil
}

func (s *Store) appendRound(ctx context.Context, projectID, webhookID string,
	entries []*webhooksv1.LogEntry, recorded func(id string) bool,
) error {
	var seen uint64 // the page that the tail began when this round did
	return s.changeActivity(ctx, projectID, webhookID, func(ctx context.Context, a *activity.Activity, contested bool) (bool, error) {
		if !contested {
			seen = a.Page
		}
		add, err := s.missing(ctx, webhookID, a, search{entries, recorded, seen})
		if err != nil || len(add) == 0 {
			return false, err
		}
		for _, page := range a.TakePages() {
			if err := s.insertPage(ctx, webhookID, page); err != nil {
				return false, err
			}
		}
		a.Add(add)
		return true, nil
	})
}

// search says which entries are looked for, and where besides the tail.
type search struct {
	entries []*webhooksv1.LogEntry // oldest first
	// suspected are looked for in every page that is younger than they are.
	suspected func(id string) bool
	// from is the page from which on all are looked for: others have written it
	// meanwhile.
	from uint64
}

// missing leaves out the entries that are in the log.
func (s *Store) missing(ctx context.Context, webhookID string, a *activity.Activity, x search) ([]*webhooksv1.LogEntry, error) {
	there := map[string]bool{}
	for _, e := range a.Tail {
		there[string(e.GetId())] = true
	}
	var oldest time.Time // of those suspected; zero when there are none
	for _, e := range x.entries {
		if !there[string(e.GetId())] && x.suspected(activity.ID(e)) {
			oldest = activity.StartedAt(e)
			break
		}
	}
	for number := a.Page; number > a.First && (number > x.from || !oldest.IsZero()); number-- {
		page, writtenAt, err := s.loadPage(ctx, webhookID, number-1)
		if err != nil {
			return nil, err
		}
		if number <= x.from && writtenAt.Before(oldest.Add(-skew)) {
			break // also one that is not there
		}
		for _, e := range page.Entries {
			there[string(e.GetId())] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(x.entries), func(e *webhooksv1.LogEntry) bool { return there[string(e.GetId())] }), nil
}

// CountExhausted counts the webhook's deliveries that were given up since the
// given time, but no further than limit, or ten.
func (s *Store) CountExhausted(ctx context.Context, webhookID string, since time.Time, limit int64) (int, error) {
	a, err := s.Activity(ctx, webhookID)
	if err != nil {
		return 0, err
	}
	return min(a.ExhaustedSince(since), int(limit)), nil
}
