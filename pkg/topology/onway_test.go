package topology_test

import (
	"encoding/json"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
)

// A nats-server cuts off a client for which it has to buffer too much. What has been
// asked for is bounded, however many read and however large events are, also when
// readers stop in between.
func TestWhatIsReadBackAtOnceIsBounded(t *testing.T) {
	const most, perBatch, readers = 3, 2, 24
	server := natstest.Start(t, natstest.Embedded(), natstest.WithoutJetStream())
	slow := server.Connect(t)
	var mu sync.Mutex
	var now, highest int
	count := func(change int) {
		mu.Lock()
		defer mu.Unlock()
		now += change
		highest = max(highest, now)
	}
	_, err := slow.Subscribe("$JS.API.DIRECT.GET."+topology.StreamEvents, func(msg *nats.Msg) {
		var asked struct{ Seq, Batch uint64 }
		if !assert.NoError(t, json.Unmarshal(msg.Data, &asked)) { //nolint:testifylint // not the test's goroutine
			return
		}
		weight := 1
		if asked.Batch > 0 {
			weight = perBatch
		}
		count(weight)
		time.AfterFunc(5*time.Millisecond, func() {
			count(-weight)
			for sequence := asked.Seq; sequence < asked.Seq+max(asked.Batch, 1); sequence++ {
				event := nats.NewMsg(msg.Reply)
				event.Data = []byte("an event")
				event.Header.Set(jetstream.SequenceHeader, strconv.FormatUint(sequence, 10))
				event.Header.Set(jetstream.TimeStampHeaer, time.Now().Format(time.RFC3339Nano))
				event.Header.Set(jetstream.SubjectHeader, "dembrane.events.0.p1.conversation.started")
				_ = slow.PublishMsg(event) // a reader waits in vain if it fails
			}
			if asked.Batch > 0 {
				end := nats.NewMsg(msg.Reply)
				end.Header.Set("Status", "204")
				_ = slow.PublishMsg(end)
			}
		})
	})
	require.NoError(t, err)
	require.NoError(t, slow.Flush())
	js, err := jetstream.New(server.Connect(t))
	require.NoError(t, err)
	reader := topology.NewEventReader(js)

	var all sync.WaitGroup
	for number := range readers {
		all.Go(func() {
			var dense, sparse []uint64
			for i := range uint64(20) {
				dense, sparse = append(dense, i+1), append(sparse, 100*(i+1))
			}
			for _, sequences := range [][]uint64{dense, sparse} {
				wanted, got := len(sequences), 0
				if number%3 == 0 {
					wanted = 2 // and then no more
				}
				err := reader.Read(t.Context(), "p1", sequences, func(_ uint64, _ *jetstream.RawStreamMsg, err error) bool {
					got++
					return err == nil && got < wanted
				})
				assert.True(t, err == nil && got == wanted, "%d of %d: %v", got, wanted, err)
			}
		})
	}
	all.Wait()

	assert.LessOrEqual(t, highest, most)
	assert.Greater(t, highest, most/2, "more than one after the other")
}
