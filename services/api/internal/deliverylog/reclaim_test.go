package deliverylog_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// A process that is killed settles nothing and hands nothing back. The one after it
// does not wait a minute for that.
func TestWhatAKilledProcessHeldIsRecordedSoon(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	w.publish(attemptOf(made, webhooksv1.Outcome_OUTCOME_DELIVERED, 200))
	config := topology.Record(topology.Consumption{AckWait: time.Minute, MaxAckPending: 256})
	consumer, err := w.js.CreateConsumer(t.Context(), topology.StreamAttempts, config)
	require.NoError(t, err)
	_, err = consumer.Next()
	require.NoError(t, err)

	w.run(w.store)

	w.wantRecords(made.ID, 1)
	info, err := consumer.Info(t.Context())
	require.NoError(t, err)
	assert.Equal(t, time.Minute, info.Config.AckWait, "and it has its time again")
}
