package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Streams that are deleted while all runs are consumed again when the api has made
// them again, and so are consumers (A2). Nothing is sent a second time (A8).
func TestWhatVanishesIsConsumedAgain(t *testing.T) {
	s := begin(t)
	r := s.answers(http.StatusOK)
	s.registers("w1", r.URL)
	s.projected()
	s.dispatch()
	s.publishes("e1", "e2", "e3")
	s.wantRecords(3)
	s.wantSettled()

	for _, part := range topology.Intake(topology.Consumption{}) {
		s.eventually(func() bool { return s.checkpointed(part.Durable) }, "checkpoint of "+part.Durable)
		require.NoError(t, s.js.DeleteConsumer(t.Context(), topology.StreamEvents, part.Durable))
	}
	s.publishes("e4", "e5")
	s.wantRecords(2)
	s.wantNoMoreRecords()

	for _, name := range []string{topology.StreamEvents, topology.StreamDeliveries, topology.StreamRanges} {
		require.NoError(t, s.js.DeleteStream(t.Context(), name))
	}
	owner := topology.NewOwner(s.js, streams(), zaptest.NewLogger(t))
	require.NoError(t, owner.Ensure(t.Context()))
	s.publishes("e6", "e7", "e8")
	s.wantRecords(3)
	s.wantNoMoreRecords()
}

// checkpointed reports whether it is written down how far a consumer has settled.
func (s *story) checkpointed(consumer string) bool {
	s.t.Helper()
	found, err := s.js.Consumer(s.t.Context(), topology.StreamEvents, consumer)
	require.NoError(s.t, err)
	if found.CachedInfo().AckFloor.Stream == 0 {
		return true // nothing to lose
	}
	bucket, err := s.js.KeyValue(s.t.Context(), topology.BucketCheckpoints)
	require.NoError(s.t, err)
	entry, err := bucket.Get(s.t.Context(), consumer)
	return err == nil && strings.Contains(string(entry.Value()), fmt.Sprintf(`"sequence":%d,`, found.CachedInfo().AckFloor.Stream))
}

// A stream of what is owed that is nearly full holds up what would add to it, not
// what is due already, so that there is room again.
func TestNearlyFullStreamsHoldUpNewEvents(t *testing.T) {
	s := begin(t)
	config := topology.Streams(streams())[1]
	require.Equal(t, topology.StreamDeliveries, config.Name)
	config.MaxBytes = 1 << 20
	_, err := s.js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
	for range 60 {
		_, err := s.js.Publish(t.Context(), topology.SubjectScheduled("w9", "dlv_1"), make([]byte, 10<<10))
		require.NoError(t, err)
	}
	r := s.answers(http.StatusOK)
	s.registers("w1", r.URL)
	s.projected()
	d := s.dispatch()
	s.eventually(func() bool { return !s.ready(d) }, "not ready while full")
	s.publishes("e1")
	s.wantNoMoreRecords()
	stream, err := s.js.Stream(t.Context(), topology.StreamDeliveries)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	s.wantOutcomes(webhooksv1.Outcome_OUTCOME_DELIVERED)
	s.eventually(func() bool { return s.ready(d) }, "ready again")
}

func (s *story) ready(d *dispatcher) bool {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+d.OpsAddr()+"/readyz", nil)
	require.NoError(s.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	require.NoError(s.t, response.Body.Close())
	return response.StatusCode == http.StatusOK
}

// JetStream gives out again what is under way, as it does after an outage in which
// nobody could tell it so: the receiver gets it once, and what was given out last is
// settled.
func TestWhatIsGivenOutAgainWhileItIsUnderWayIsMadeOnce(t *testing.T) {
	s := begin(t)
	r, letGo := s.holding()
	s.registers("w1", r.URL)
	s.projected()
	s.dispatch()
	for _, part := range topology.Intake(topology.Consumption{}) {
		found, err := s.js.Consumer(t.Context(), topology.StreamEvents, part.Durable)
		require.NoError(t, err)
		config := found.CachedInfo().Config
		config.AckWait = 300 * time.Millisecond
		_, err = s.js.UpdateConsumer(t.Context(), topology.StreamEvents, config)
		require.NoError(t, err)
	}
	s.publishes("e1")
	s.eventually(func() bool { return len(r.got()) == 1 }, "it is under way")
	s.eventually(func() bool { return s.redelivered() > 0 }, "it was given out again")
	close(letGo)

	s.wantRecords(1)
	s.wantSettled()
	s.wantNoMoreRecords()
	require.Len(t, r.got(), 1)
}

// redelivered is how many messages were given out more than once and are not settled.
func (s *story) redelivered() (count int) {
	for _, part := range topology.Intake(topology.Consumption{}) {
		found, err := s.js.Consumer(s.t.Context(), topology.StreamEvents, part.Durable)
		require.NoError(s.t, err)
		count += found.CachedInfo().NumRedelivered
	}
	return count
}
