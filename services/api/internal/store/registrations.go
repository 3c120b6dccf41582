package store

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/services/api/internal/store/documents"
)

// changeAttempts is how often a change is tried against concurrent ones, and
// changePause how long it waits in between, times the number of tries.
const (
	changeAttempts = 10
	changePause    = 10 * time.Millisecond
)

// newestFirst is the order of every list.
func newestFirst() bson.D { return bson.D{{Key: "created_at", Value: -1}, {Key: "_id", Value: -1}} }

// live selects what is not deleted.
func live(filter bson.D) bson.D { return append(filter, bson.E{Key: "deleted_at", Value: nil}) }

// Get returns a webhook of the project, or [ErrNotFound].
func (s *Store) Get(ctx context.Context, projectID, id string) (Webhook, error) {
	w, err := s.Load(ctx, id)
	if err != nil {
		return Webhook{}, err
	}
	if w.ProjectID != projectID || w.Deleted() {
		return Webhook{}, ErrNotFound
	}
	return w, nil
}

// Load returns a webhook of whatever project, tombstones included, or
// [ErrNotFound] when there is no trace of it: a primary that was replaced and does
// not know it yet may lack what is there, so that is said only with proof.
func (s *Store) Load(ctx context.Context, id string) (Webhook, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	w, err := decoded(s.webhooks.FindOne(ctx, bson.D{{Key: "_id", Value: id}}))
	if errors.Is(err, ErrNotFound) {
		return s.LoadLinearizable(ctx, id)
	}
	return w, err
}

// LoadLinearizable is [Store.Load] by a server that makes sure first that it is
// the primary, and that what it found stays. It takes a round trip between servers
// more.
func (s *Store) LoadLinearizable(ctx context.Context, id string) (Webhook, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	byID := bson.D{{Key: "_id", Value: id}}
	w, err := decoded(s.webhooks.FindOneLinearizable(ctx, byID))
	if refused(err, notAReplicaSet, notImplemented) {
		return decoded(s.webhooks.FindOne(ctx, byID)) // there is only one server
	}
	return w, err
}

func decoded(found *mongo.SingleResult) (Webhook, error) {
	var w Webhook
	err := found.Decode(&w)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return Webhook{}, ErrNotFound
	}
	return w, unavailable("load webhook", err)
}

// Elsewhere selects webhooks outside of one project.
type Elsewhere struct {
	// Except is the project left out.
	Except string
	// All selects every other project, else Projects lists them.
	All      bool
	Projects []string
	// Offset and Limit cut a page out of the list; a limit of 0 means all.
	Offset, Limit int64
}

// ListElsewhere returns webhooks of other projects, newest first.
func (s *Store) ListElsewhere(ctx context.Context, e Elsewhere) ([]Webhook, error) {
	filter := bson.D{{Key: "project_id", Value: bson.D{{Key: "$ne", Value: e.Except}}}}
	if !e.All {
		others := slices.DeleteFunc(slices.Clone(e.Projects), func(id string) bool { return id == e.Except })
		if len(others) == 0 {
			return nil, nil
		}
		filter = bson.D{{Key: "project_id", Value: bson.D{{Key: "$in", Value: others}}}}
	}
	return s.find(ctx, live(filter), options.Find().SetSort(newestFirst()).SetSkip(e.Offset).SetLimit(e.Limit))
}

func (s *Store) find(ctx context.Context, filter bson.D, opts *options.FindOptions) ([]Webhook, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return findAll[Webhook](ctx, s.webhooks, filter, opts)
}

// Change applies edit to the current state of a webhook and stores the result as
// its next revision, pending. When others change it at the same time, edit is
// called again with what they left; it must not keep anything. An error of edit
// is returned as it is, and nothing is stored. Errors: [ErrNotFound],
// [ErrConflict].
func (s *Store) Change(ctx context.Context, projectID, id string, edit func(*Webhook) error) (Webhook, error) {
	return s.revise(ctx, projectID, id, func(w *Webhook) error {
		was, wanted := w.Status, slices.Clone(w.wanted())
		if err := edit(w); err != nil {
			return err
		}
		w.UpdatedAt = later(w.UpdatedAt, now())
		w.owe(wanted, w.UpdatedAt)
		if w.Status.Enabled() && !was.Enabled() {
			enabled := w.UpdatedAt
			w.EnabledAt = &enabled
		}
		return nil
	})
}

// revise is [Store.Change] without the date of the change. Secrets that sign no
// more are gone before edit sees them.
func (s *Store) revise(ctx context.Context, projectID, id string, edit func(*Webhook) error) (Webhook, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for try := range changeAttempts {
		next, stored, err := s.tryRevise(ctx, projectID, id, edit)
		if err != nil || stored {
			return next, err
		}
		// Another replica was faster. A pause by chance lets both go on.
		retry.Pause(ctx, time.Duration(rand.Int64N(int64(try+1)*int64(changePause)))) //nolint:gosec // it only has to spread
	}
	return Webhook{}, ErrConflict
}

// tryRevise reports false when the webhook changed between reading and writing
// it. Within this process that cannot happen.
func (s *Store) tryRevise(ctx context.Context, projectID, id string, edit func(*Webhook) error) (next Webhook, stored bool, err error) {
	err = s.webhooks.Change(ctx, id, func(ctx context.Context, d *documents.Document) error {
		current, err := s.Get(ctx, projectID, id)
		if err != nil {
			return err
		}
		next = current
		next.Events, next.Secrets = slices.Clone(current.Events), slices.Clone(current.Secrets)
		next.Headers = slices.Clone(current.Headers)
		next.Owed, next.WantedFrom = slices.Clone(current.Owed), slices.Clone(current.WantedFrom)
		next.dropExpired(now())
		if err := edit(&next); err != nil {
			return err
		}
		stored, err = s.replaceSurely(ctx, d, current.Revision, &next)
		return err
	})
	if err != nil {
		return Webhook{}, false, err //nolint:wrapcheck // it says what it was
	}
	return next, stored, nil
}

// replaceSurely is [replace], tried again for as long as ctx lasts when it
// is not known whether it has happened: the revision lets it happen once only.
func (s *Store) replaceSurely(ctx context.Context, d *documents.Document, from int64, w *Webhook) (stored bool, err error) {
	doubted := false
	err = retry.Until(ctx, doubtPace(), nil, func(ctx context.Context) error {
		var err error
		if stored, err = replace(ctx, d, from, w); err != nil {
			if finalError(err) {
				return permanent(err)
			}
			doubted = true
			return err
		}
		if stored {
			return nil
		}
		// It has changed: by another one, or by this very write, which the driver
		// also repeats.
		there, err := s.LoadLinearizable(ctx, w.ID)
		switch {
		case err == nil && there.Revision == w.Revision:
			stored = there.sameAs(w)
			return nil
		case err != nil && !errors.Is(err, ErrNotFound):
			return err
		case doubted: // and several times since
			return permanent(inDoubt("update webhook", ErrConflict))
		default:
			return nil
		}
	})
	return stored, orUnavailable("update webhook", err)
}

// sameAs reports whether a webhook that was read is the one that was written.
func (w *Webhook) sameAs(written *Webhook) bool {
	read, wrote := w.content(), written.content()
	was, err := bson.Marshal(read)
	if err != nil {
		return false
	}
	is, err := bson.Marshal(wrote)
	return err == nil && bytes.Equal(was, is)
}

// Delete turns a webhook into a tombstone: its secrets, its headers and its URL are
// gone, its id and revision stay until [Store.Purge], so that the bucket is told.
func (s *Store) Delete(ctx context.Context, projectID, id string) error {
	_, err := s.Change(ctx, projectID, id, func(w *Webhook) error {
		deleted := now()
		w.DeletedAt = &deleted
		w.Name, w.Description, w.URL, w.Slot = "", "", "", w.ID
		w.Secrets, w.Headers, w.Events = nil, nil, nil
		return nil
	})
	return err
}

// Raise gives a webhook a revision above the one that the bucket holds, without
// any other change, unless it has changed since it was at revision from. It is
// for a database that was put back in time.
func (s *Store) Raise(ctx context.Context, id string, from, above int64) error {
	w, err := s.Load(ctx, id)
	if err != nil || w.Revision != from {
		return err
	}
	_, err = update(ctx, s.webhooks, id, bson.D{{Key: "revision", Value: from}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "revision", Value: above + 1}, {Key: "pending", Value: true}}}})
	return err
}

// replace writes the next revision of w and reports false when the stored one is
// not from any more. Health is left alone: it has another writer.
func replace(ctx context.Context, d *documents.Document, from int64, w *Webhook) (bool, error) {
	w.Revision, w.Pending = from+1, true
	set := append(w.content(), bson.E{Key: "revision", Value: w.Revision}, bson.E{Key: "pending", Value: true},
		bson.E{Key: "owed", Value: w.Owed}, bson.E{Key: "wanted_from", Value: w.WantedFrom})
	//nolint:wrapcheck // it says what it was
	return d.Update(ctx, d.SinceRead(bson.E{Key: "revision", Value: from}), bson.D{{Key: "$set", Value: set}})
}

// content is what a change of a webhook writes.
func (w *Webhook) content() bson.D {
	return bson.D{
		{Key: "name", Value: w.Name},
		{Key: "description", Value: w.Description},
		{Key: "url", Value: w.URL},
		{Key: "events", Value: w.Events},
		{Key: "status", Value: w.Status},
		{Key: "secrets", Value: w.Secrets},
		{Key: "headers", Value: w.Headers},
		{Key: "format", Value: w.Format},
		{Key: "max_per_second", Value: w.MaxPerSecond},
		{Key: "disabled_reason", Value: w.DisabledReason},
		{Key: "slot", Value: w.Slot},
		{Key: "updated_at", Value: w.UpdatedAt},
		{Key: "enabled_at", Value: w.EnabledAt},
		{Key: "deleted_at", Value: w.DeletedAt},
	}
}

// now is the time as the database keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// later keeps a time from going back with the clock.
func later(before, after time.Time) time.Time {
	if after.Before(before) {
		return before
	}
	return after
}
