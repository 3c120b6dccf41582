package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Owed is an event type that a webhook came to want by a change that is not known
// to be in the bucket: what is published meanwhile is owed to it.
type Owed struct {
	Event string `bson:"event"`
	// Since is when it was stored, by this service's clock.
	Since time.Time `bson:"since"`
}

// WantedFrom is from when on dispatchers deliver events of a type as they take
// them in, because what was published before is owed and written down as due.
type WantedFrom struct {
	Event string `bson:"event"`
	// From is by the clock that stamps what is stored in EVENTS.
	From time.Time `bson:"from"`
}

// wanted are the event types that are delivered to a webhook.
func (w *Webhook) wanted() []string {
	if w.Deleted() || !w.Status.Enabled() {
		return nil
	}
	return w.Events
}

// owe notes which types a change has made wanted that were not before.
func (w *Webhook) owe(before []string, at time.Time) {
	var owed []Owed
	for _, event := range w.wanted() {
		known := slices.IndexFunc(w.Owed, func(o Owed) bool { return o.Event == event })
		switch {
		case !slices.Contains(before, event):
			owed = append(owed, Owed{Event: event, Since: at})
		case known >= 0:
			owed = append(owed, w.Owed[known])
		}
	}
	w.Owed = owed
	w.WantedFrom = slices.DeleteFunc(w.WantedFrom, func(f WantedFrom) bool {
		return !slices.Contains(w.wanted(), f.Event)
	})
}

// From is from when on events of a type that is owed are delivered as they are
// taken in; false when that was not said since it has been owed.
func (w Webhook) From(owed Owed) (time.Time, bool) {
	for _, wanted := range w.WantedFrom {
		if wanted.Event == owed.Event {
			return wanted.From, true
		}
	}
	return time.Time{}, false
}

// StartFrom says from when on the types that are owed are delivered as they are
// taken in, where that is not said yet. It is another revision, though for its
// host nothing has changed. It does nothing when the webhook is not at the given
// revision any more.
func (s *Store) StartFrom(ctx context.Context, projectID, id string, revision int64, from time.Time) error {
	_, err := s.revise(ctx, projectID, id, func(w *Webhook) error {
		if w.Revision != revision {
			return errUnchanged
		}
		for _, owed := range w.Owed {
			if _, said := w.From(owed); !said {
				w.WantedFrom = append(w.WantedFrom, WantedFrom{Event: owed.Event, From: from})
			}
		}
		return nil
	})
	if errors.Is(err, errUnchanged) || errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func wantedFrom(list []WantedFrom) []*webhooksv1.WantedFrom {
	var all []*webhooksv1.WantedFrom
	for _, wanted := range list {
		all = append(all, &webhooksv1.WantedFrom{Event: wanted.Event, From: timestamppb.New(wanted.From)})
	}
	return all
}
