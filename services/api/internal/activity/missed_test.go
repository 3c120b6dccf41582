package activity

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

const (
	isDelivered = webhooksv1.Outcome_OUTCOME_DELIVERED
	isRetried   = webhooksv1.Outcome_OUTCOME_RETRY
	isGivenUp   = webhooksv1.Outcome_OUTCOME_EXHAUSTED
)

// tried is an attempt at a delivery, some minutes after noon.
func tried(delivery string, minutes int, outcome webhooksv1.Outcome, change ...func(*webhooksv1.Attempt)) *webhooksv1.LogEntry {
	return at(noon().Add(time.Duration(minutes)*time.Minute), func(x *webhooksv1.Attempt) {
		x.DeliveryId, x.Outcome = delivery, outcome
		for _, edit := range change {
			edit(x)
		}
	})
}

// What was given up is missed until it arrives, in whatever order the attempts are
// recorded.
func TestWhatWasGivenUpIsMissedUntilItArrives(t *testing.T) {
	isTest := func(x *webhooksv1.Attempt) { x.Trigger = webhooksv1.Trigger_TRIGGER_TEST }
	for name, row := range map[string]struct {
		attempts []*webhooksv1.LogEntry
		want     int // minutes after noon; 0 for nothing
	}{
		"nothing was sent":               {nil, 0},
		"all arrived":                    {[]*webhooksv1.LogEntry{tried("a", 1, isDelivered), tried("b", 2, isDelivered)}, 0},
		"it is tried again":              {[]*webhooksv1.LogEntry{tried("a", 1, isRetried)}, 0},
		"it arrived in the end":          {[]*webhooksv1.LogEntry{tried("a", 1, isRetried), tried("a", 2, isDelivered)}, 0},
		"it was given up":                {[]*webhooksv1.LogEntry{tried("a", 1, isRetried), tried("a", 2, isGivenUp), tried("b", 3, isDelivered)}, 2},
		"the receiver said that it went": {[]*webhooksv1.LogEntry{tried("a", 1, webhooksv1.Outcome_OUTCOME_GONE)}, 1},
		"it waited when that was off":    {[]*webhooksv1.LogEntry{tried("a", 1, webhooksv1.Outcome_OUTCOME_DISABLED)}, 1},
		"its event is gone":              {[]*webhooksv1.LogEntry{tried("a", 1, isGivenUp), tried("a", 2, webhooksv1.Outcome_OUTCOME_EXPIRED)}, 0},
		"its event was erased":           {[]*webhooksv1.LogEntry{tried("a", 1, isGivenUp), tried("a", 2, webhooksv1.Outcome_OUTCOME_ERASED)}, 0},
		"it was sent again":              {[]*webhooksv1.LogEntry{tried("a", 1, isGivenUp), tried("a", 2, isDelivered)}, 0},
		"it is on its way again":         {[]*webhooksv1.LogEntry{tried("a", 1, isGivenUp), tried("a", 2, isRetried)}, 0},
		"it was given up again":          {[]*webhooksv1.LogEntry{tried("a", 1, isGivenUp), tried("a", 2, isRetried), tried("a", 3, isGivenUp)}, 3},
		"one of two was sent again":      {[]*webhooksv1.LogEntry{tried("a", 1, isGivenUp), tried("b", 2, isGivenUp), tried("b", 3, isDelivered)}, 1},
		"a test failed":                  {[]*webhooksv1.LogEntry{tried("a", 1, isGivenUp, isTest)}, 0},
		"that it failed came late":       {[]*webhooksv1.LogEntry{tried("a", 2, isDelivered), tried("a", 1, isGivenUp)}, 0},
		"that it was retried came late":  {[]*webhooksv1.LogEntry{tried("a", 2, isGivenUp), tried("a", 1, isRetried)}, 2},
		"that it arrived came late":      {[]*webhooksv1.LogEntry{tried("a", 2, isGivenUp), tried("a", 1, isDelivered)}, 0},
	} {
		a := &Activity{}
		for _, e := range row.attempts {
			a.Add([]*webhooksv1.LogEntry{e})
		}
		want := time.Time{}
		if row.want > 0 {
			want = noon().Add(time.Duration(row.want) * time.Minute)
		}
		assert.Equal(t, want, a.LastMissed(), name)
		assert.Equal(t, want, a.Lately().LastMissed(), name)
	}
}

// After an outage in which more was given up than is remembered, sending all of it again
// leaves nothing missed; what fails again does.
func TestALongOutageIsPutRight(t *testing.T) {
	const many = 2*missedMost + 1
	a := &Activity{}
	add := func(minute int, outcome func(i int) webhooksv1.Outcome) {
		for i := range many {
			a.TakePages()
			a.Add([]*webhooksv1.LogEntry{tried(fmt.Sprintf("dlv_%d", i), minute+i, outcome(i))})
		}
	}
	add(1, func(int) webhooksv1.Outcome { return isGivenUp })
	assert.Len(t, a.Counts.GetMissed(), missedMost)
	add(many, func(i int) webhooksv1.Outcome {
		if i == 3 {
			return isGivenUp
		}
		return isDelivered
	})
	assert.Len(t, a.Counts.GetMissed(), 1)
	assert.Equal(t, noon().Add((many+3)*time.Minute), a.LastMissed())
	add(2*many, func(int) webhooksv1.Outcome { return isDelivered })
	assert.Zero(t, a.LastMissed())
}
