package record

import (
	"slices"
	"time"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// counts reports whether an attempt says something about the receiver: a POST
// was made, and not because a person pressed "test".
func counts(a *webhooksv1.Attempt) bool {
	if a.GetTrigger() == webhooksv1.Trigger_TRIGGER_TEST {
		return false
	}
	switch a.GetOutcome() {
	case webhooksv1.Outcome_OUTCOME_DELIVERED, webhooksv1.Outcome_OUTCOME_RETRY,
		webhooksv1.Outcome_OUTCOME_EXHAUSTED, webhooksv1.Outcome_OUTCOME_GONE:
		return true
	case webhooksv1.Outcome_OUTCOME_UNSPECIFIED, webhooksv1.Outcome_OUTCOME_DELETED,
		webhooksv1.Outcome_OUTCOME_DISABLED, webhooksv1.Outcome_OUTCOME_EXPIRED:
		return false
	}
	return false
}

// after is the health of a webhook when these attempts are taken into account.
// They may come late, twice, and in any order: an attempt that is older than
// what is known changes nothing that the newer one has decided.
func after(h store.Health, attempts []*webhooksv1.Attempt) store.Health {
	inOrder := slices.SortedStableFunc(slices.Values(attempts), func(a, b *webhooksv1.Attempt) int {
		return a.GetStartedAt().AsTime().Compare(b.GetStartedAt().AsTime())
	})
	for _, a := range inOrder {
		if !counts(a) {
			continue
		}
		at := a.GetStartedAt().AsTime().Truncate(time.Millisecond)
		if h.LastAttemptAt == nil || !at.Before(*h.LastAttemptAt) {
			h.LastAttemptAt, h.LastStatusCode = &at, int(a.GetStatusCode())
		}
		if a.GetOutcome() == webhooksv1.Outcome_OUTCOME_DELIVERED {
			h = succeeded(h, at)
		} else {
			h = failed(h, at)
		}
	}
	return h
}

func succeeded(h store.Health, at time.Time) store.Health {
	if h.LastSuccessAt == nil || at.After(*h.LastSuccessAt) {
		h.LastSuccessAt = &at
	}
	if h.FailingSince != nil && !h.FailingSince.After(at) {
		h.FailingSince = nil
	}
	return h
}

func failed(h store.Health, at time.Time) store.Health {
	overtaken := h.LastSuccessAt != nil && !h.LastSuccessAt.Before(at)
	if !overtaken && (h.FailingSince == nil || at.Before(*h.FailingSince)) {
		h.FailingSince = &at
	}
	return h
}
