package replay

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// What was recorded of one delivery of a replay, in this order, and what it counts as.
func TestADeliveryCountsOnce(t *testing.T) {
	const (
		delivered = webhooksv1.Outcome_OUTCOME_DELIVERED
		retry     = webhooksv1.Outcome_OUTCOME_RETRY
		exhausted = webhooksv1.Outcome_OUTCOME_EXHAUSTED
		expired   = webhooksv1.Outcome_OUTCOME_EXPIRED
		erased    = webhooksv1.Outcome_OUTCOME_ERASED
	)
	type outcomes []webhooksv1.Outcome
	for _, row := range []struct {
		name     string
		recorded outcomes
		want     store.Replay
	}{
		{"it waits for its next attempt", outcomes{retry}, store.Replay{}},
		{"it arrived, and is recorded twice", outcomes{retry, delivered, delivered}, store.Replay{Delivered: 1}},
		{"it was given up", outcomes{retry, exhausted, exhausted}, store.Replay{Failed: 1}},
		{"its event is no longer kept", outcomes{expired}, store.Replay{Gone: 1}},
		{"it arrived after it was given up", outcomes{exhausted, delivered, exhausted}, store.Replay{Delivered: 1}},
		{"its event was erased", outcomes{erased, erased}, store.Replay{Gone: 1}},
		{"its event was erased before its next attempt", outcomes{retry, erased}, store.Replay{Gone: 1}},
		{"it arrived while its event was erased", outcomes{erased, delivered, erased}, store.Replay{Delivered: 1}},
		{"it was given up before its event was erased", outcomes{exhausted, erased}, store.Replay{Failed: 1}},
	} {
		p := newProgress()
		for _, outcome := range row.recorded {
			p.add(store.Outcome{Sequence: 7, Outcome: outcome})
		}
		assert.Equal(t, row.want, store.Replay{Delivered: p.delivered, Failed: p.failed, Gone: p.gone}, row.name)
		assert.EqualValues(t, 1, p.tried, row.name)
	}
}

// Once a replay is done, everything that was counted is somewhere.
func TestNothingOfAReplayIsCountedNowhere(t *testing.T) {
	total := int64(20)
	r := store.Replay{State: store.ReplayRunning, Total: &total, Sent: 12, Delivered: 6, Failed: 1, Gone: 2}
	assert.EqualValues(t, 3, r.Open())
	assert.EqualValues(t, 2, r.Skipped(), "what was not looked at may still be sent")
	r.State = store.ReplayCancelled
	assert.EqualValues(t, 2, r.Skipped(), "the rest was cancelled")
	r.State = store.ReplayDone
	assert.EqualValues(t, 10, r.Skipped())
	assert.Equal(t, total, r.Delivered+r.Failed+r.Open()+r.Skipped())
	r.Sent = 25 // it subscribes to more by now
	assert.EqualValues(t, 2, r.Skipped())
}
