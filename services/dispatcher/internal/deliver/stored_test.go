package deliver

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/eventbody"
	"github.com/dembrane/webhooks/services/dispatcher/internal/registry"
)

// Response headers once were not counted, so that a few receivers could make a
// batch larger than any message may be.
func TestBatchesStayFarBelowTheLargestMessage(t *testing.T) {
	f := start(t, answers(200))
	var all sync.WaitGroup
	for range 300 {
		record := &webhooksv1.Attempt{Id: "a", Response: &webhooksv1.Response{Body: make([]byte, 16<<10)}}
		for range maxRecordedHeaders {
			record.Response.Headers = append(record.Response.Headers, &webhooksv1.Header{Name: "X", Value: string(make([]byte, maxRecordedValue))})
		}
		all.Go(func() { assert.NoError(t, f.journal.Append(record)) })
	}
	all.Wait()
	f.drain()
	assert.Len(t, f.records(), 300)
	stream, err := f.js.Stream(t.Context(), topology.StreamAttempts)
	require.NoError(t, err)
	assert.Less(t, stream.CachedInfo().State.Bytes/stream.CachedInfo().State.Msgs, uint64(1<<20))
}

// One record that cannot be encoded would take its whole batch with it, and come
// back for ever: so there is none, whatever a receiver answers.
func TestARecordOfAnythingCanBeEncoded(t *testing.T) {
	const noText = "\xff\x00\xed\xa0\x80"
	record := newRecord(&Delivery{ID: "dlv_1"}, verdict{detail: noText}, time.Now())
	describeExchange(record, &registry.Webhook{URLText: "https://example.org/" + noText}, &eventbody.Body{}, egress.Result{
		StatusCode: 200, Header: http.Header{noText: {noText}}, Body: []byte(noText),
	})
	_, err := proto.Marshal(&webhooksv1.AttemptBatch{Attempts: []*webhooksv1.Attempt{record}})
	require.NoError(t, err)
}

// What is parked at about the same time is one message, and nothing of it is lost.
func TestWhatIsParkedTogetherIsOneRange(t *testing.T) {
	f := start(t, answers(200))
	later := time.Now().Add(time.Hour)
	var all sync.WaitGroup
	for number := range 1000 {
		x := owed(text, number+1, 1)
		if number%3 == 0 {
			x.EventType = "report.generated"
		}
		all.Go(func() { assert.NoError(t, f.Deliverer.ranges.Append(x, later.Add(time.Duration(number)*time.Second))) })
	}
	all.Wait()
	f.drain()
	ranges := f.ranges()
	assert.LessOrEqual(t, len(ranges), 8, "few messages")
	seen := map[uint64]string{}
	for _, r := range ranges {
		sequence := uint64(0)
		for i, step := range r.GetSequenceSteps() {
			sequence += step
			assert.Equal(t, "evt_"+strconv.FormatUint(sequence, 10), r.GetEventIds()[i])
			kind := r.GetEventTypes()[0]
			if len(r.GetEventTypeIndex()) > 0 {
				kind = r.GetEventTypes()[r.GetEventTypeIndex()[i]]
			}
			seen[sequence] = kind
		}
	}
	require.Len(t, seen, 1000)
	assert.Equal(t, "report.generated", seen[1])
	assert.Equal(t, "conversation.started", seen[2])
}

// A schedule is fired by the server's clock, which may be minutes away from ours: it
// must be neither early nor late.
func TestSchedulesFollowTheServersClock(t *testing.T) {
	for _, ahead := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		f := start(t, answers(500))
		f.ahead = ahead
		began := time.Now()
		require.NoError(t, f.Deliver(t.Context(), owed(text, 1, 1)))
		require.NoError(t, f.Deliverer.ranges.Append(owed(text, 2, 1), began.Add(time.Hour)))
		f.drain()
		for _, name := range []string{topology.StreamDeliveries, topology.StreamRanges} {
			stream, err := f.js.Stream(t.Context(), name)
			require.NoError(t, err)
			msg, err := stream.GetMsg(t.Context(), 1)
			require.NoError(t, err)
			at, err := time.Parse("@at "+time.RFC3339Nano, msg.Header.Get(jetstream.ScheduleHeader))
			require.NoError(t, err)
			wait := at.Add(-ahead).Sub(began)
			assert.GreaterOrEqual(t, wait, time.Hour, "%s: early by a clock that is %s ahead", name, ahead)
			assert.Less(t, wait, 75*time.Minute, "%s: late by a clock that is %s ahead", name, ahead)
		}
	}
}
