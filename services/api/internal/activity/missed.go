package activity

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// missedMost is how many deliveries that were given up are remembered. Of more, the
// oldest are forgotten: they are the first that are sent again, so when those that are
// remembered have arrived, the others have, or were given up anew.
const missedMost = 300

// LastMissed is when the newest delivery was given up that has not arrived since; zero
// when there is none. Tests do not count.
func (a *Activity) LastMissed() time.Time {
	missed := a.Counts.GetMissed()
	if len(missed) == 0 {
		return time.Time{}
	}
	return time.UnixMilli(missed[len(missed)-1].GetAtMs()).UTC()
}

// noteMissed keeps track of what was given up, when an attempt was added.
func (a *Activity) noteMissed(e *webhooksv1.LogEntry) {
	if e.GetTrigger() == webhooksv1.Trigger_TRIGGER_TEST {
		return
	}
	missed, at := a.Counts.GetMissed(), StartedAt(e).UnixMilli()
	delivery := hashOf(e.GetDeliveryId())
	isDelivered, isMissed := e.GetOutcome() == webhooksv1.Outcome_OUTCOME_DELIVERED, isMissed(e.GetOutcome())
	i := slices.IndexFunc(missed, func(m *webhooksv1.MissedDelivery) bool { return m.GetDelivery() == delivery })
	if i >= 0 {
		if !isDelivered && at < missed[i].GetAtMs() {
			return // it was recorded late
		}
		missed = slices.Delete(missed, i, i+1)
	} else if isMissed && a.hasNewer(e) {
		return
	}
	if isMissed {
		place, _ := slices.BinarySearchFunc(missed, at, func(m *webhooksv1.MissedDelivery, at int64) int { return cmp.Compare(m.GetAtMs(), at) })
		missed = slices.Insert(missed, place, &webhooksv1.MissedDelivery{Delivery: delivery, AtMs: at})
	}
	a.Counts.Missed = missed[max(0, len(missed)-missedMost):]
}

// isMissed reports whether the event has not arrived, will not by itself, and can be
// sent again.
func isMissed(outcome webhooksv1.Outcome) bool {
	switch outcome {
	case webhooksv1.Outcome_OUTCOME_EXHAUSTED, webhooksv1.Outcome_OUTCOME_GONE, webhooksv1.Outcome_OUTCOME_DISABLED:
		return true
	case webhooksv1.Outcome_OUTCOME_UNSPECIFIED, webhooksv1.Outcome_OUTCOME_DELIVERED, webhooksv1.Outcome_OUTCOME_RETRY,
		webhooksv1.Outcome_OUTCOME_DELETED, webhooksv1.Outcome_OUTCOME_EXPIRED, webhooksv1.Outcome_OUTCOME_ERASED:
		return false
	}
	return false
}

// hasNewer reports whether a later attempt of the same delivery is among the newest:
// one that was recorded earlier.
func (a *Activity) hasNewer(e *webhooksv1.LogEntry) bool {
	return slices.ContainsFunc(a.Tail, func(other *webhooksv1.LogEntry) bool {
		return other.GetDeliveryId() == e.GetDeliveryId() && StartedAt(other).After(StartedAt(e))
	})
}

func hashOf(id string) uint64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(id)) // it never fails
	return hash.Sum64()
}
