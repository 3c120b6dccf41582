package erase

import (
	"context"
	"sync"
	"time"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// skew is how far the clocks of the replicas may be apart.
const skew = time.Minute

// erasures is what a [Known] needs of the store.
type erasures interface {
	ErasuresBegun(ctx context.Context) (int64, error)
	ErasuresSince(ctx context.Context, since time.Time) ([]store.Erasure, error)
}

// Known is what was erased, for whoever writes the delivery log. It is safe for
// concurrent use.
type Known struct {
	store erasures

	mu     sync.Mutex
	loaded bool
	begun  int64 // the number of erasures that it was loaded at
	newest time.Time
	read   time.Time // when all of them were read
	// through is up to which sequence, by what [Known.key] says.
	through map[erasedKey]int64
}

// rereadEvery is how often, at most, all erasures are read again: those that the store
// has forgotten are forgotten here, too.
const rereadEvery = time.Hour

// erasedKey is an event of a project, or all of them when there is no event.
type erasedKey struct{ projectID, eventID string }

// NewKnown returns one that knows of nothing yet.
func NewKnown(s erasures) *Known { return &Known{store: s, through: map[erasedKey]int64{}} }

// Apply takes out of records what receivers answered to attempts with erased events,
// and says of those for which the event was gone that it was erased. After an error
// the records must not be written.
func (k *Known) Apply(ctx context.Context, list []*webhooksv1.Attempt) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(ctx); err != nil {
		return err
	}
	if len(k.through) == 0 {
		return nil
	}
	for _, a := range list {
		if k.erased(a) {
			strip(a)
		}
	}
	return nil
}

// refresh learns of erasures that were begun since.
func (k *Known) refresh(ctx context.Context) error {
	begun, err := k.store.ErasuresBegun(ctx)
	if err != nil || k.loaded && begun == k.begun {
		return err //nolint:wrapcheck // it says what it was
	}
	since := time.Time{}
	if k.loaded && !k.newest.IsZero() && time.Since(k.read) < rereadEvery {
		since = k.newest.Add(-skew)
	}
	list, err := k.store.ErasuresSince(ctx, since)
	if err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	if since.IsZero() {
		k.through, k.read = map[erasedKey]int64{}, time.Now()
	}
	for _, e := range list {
		of := erasedKey{e.ProjectID, e.EventID}
		k.through[of] = max(k.through[of], e.Through)
		if e.BegunAt.After(k.newest) {
			k.newest = e.BegunAt
		}
	}
	k.loaded, k.begun = true, begun
	return nil
}

func (k *Known) erased(a *webhooksv1.Attempt) bool {
	sequence := int64(a.GetEventSequence()) //nolint:gosec // a sequence
	if sequence == 0 {
		return false // a test
	}
	return sequence <= k.through[erasedKey{a.GetProjectId(), a.GetEventId()}] ||
		sequence <= k.through[erasedKey{a.GetProjectId(), ""}]
}

func strip(a *webhooksv1.Attempt) {
	a.Response, a.Detail = nil, ""
	if a.GetOutcome() == webhooksv1.Outcome_OUTCOME_EXPIRED {
		a.Outcome = webhooksv1.Outcome_OUTCOME_ERASED
	}
}
