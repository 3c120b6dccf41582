package intake

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheLastDeliverySettlesTheEvent(t *testing.T) {
	const deliveries = 50
	for _, failing := range []int{0, 1, deliveries} {
		ends := make(chan bool, deliveries)
		shared := newTaken([]byte("{}"), deliveries, func(durable bool) { ends <- durable })
		for range deliveries - 1 - min(failing, deliveries-1) {
			shared.Settle(true)
		}
		var all sync.WaitGroup
		for range min(failing, deliveries-1) {
			all.Go(func() { shared.Settle(false) })
		}
		all.Wait()
		require.Empty(t, ends, "settled before its last delivery")

		shared.Settle(failing < deliveries)

		assert.Equal(t, failing == 0, <-ends, "%d of %d not durable", failing, deliveries)
		assert.Empty(t, ends, "settled twice")
	}
}

// An event that makes us panic comes back with every redelivery: it has to leave
// the stream, with the reason.
func TestCase32AnEventThatPanicsIsRejected(t *testing.T) {
	js, err := jetstream.New(natstest.Start(t).Connect(t))
	require.NoError(t, err)
	require.NoError(t, topology.Ensure(t.Context(), js, topology.Settings{
		Replicas: 1, EventsMaxAge: time.Hour, DuplicateWindow: time.Minute,
	}))
	consumer, err := js.CreateOrUpdateConsumer(t.Context(), topology.StreamEvents, jetstream.ConsumerConfig{Durable: "all"})
	require.NoError(t, err)
	e := payload.Sample(event.ConversationStarted, &webhooksv1.Project{Id: "p1"}, "evt_1", time.Now())
	data, err := event.Encode(event.JSON, e)
	require.NoError(t, err)
	_, err = js.PublishMsg(t.Context(), &nats.Msg{Subject: topology.SubjectEvent("p1", e.GetType()), Data: data})
	require.NoError(t, err)
	msg, err := consumer.Next()
	require.NoError(t, err)
	broken := New(Parts{ // no registry: what a mistake of ours looks like
		JetStream: js, MaxBytes: 1 << 20, Log: zaptest.NewLogger(t), Metrics: prometheus.NewRegistry(),
	})

	broken.take(t.Context(), msg)

	rejected, err := js.Stream(t.Context(), topology.StreamRejected)
	require.NoError(t, err)
	stored, err := rejected.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	var rejection webhooksv1.Rejection
	require.NoError(t, protojson.Unmarshal(stored.Data, &rejection))
	assert.Contains(t, rejection.GetReason(), "panic")
	assert.EqualValues(t, 1, rejection.GetEventSequence())
	require.Eventually(t, func() bool {
		info, err := consumer.Info(context.WithoutCancel(t.Context()))
		return err == nil && info.NumAckPending == 0
	}, 20*time.Second, time.Millisecond, "it does not come back")
}
