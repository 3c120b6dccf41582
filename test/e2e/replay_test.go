package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/topology"
	hook "github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// replay is what it takes to deliver the project's events to the webhook once
// more, as the contract on NATS describes it.
func (s *system) replay(t *testing.T, w webhook, events int) [][]byte {
	t.Helper()
	consumer, err := s.streams.OrderedConsumer(t.Context(), topology.StreamEvents, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"dembrane.events.*." + w.ProjectID + ".>"}, HeadersOnly: true,
	})
	require.NoError(t, err)
	messages := make([][]byte, events)
	for i := range messages {
		msg, err := consumer.Next(jetstream.FetchMaxWait(patience))
		require.NoError(t, err)
		meta, err := msg.Metadata()
		require.NoError(t, err)
		id := msg.Headers().Get(nats.MsgIdHdr)
		messages[i], err = proto.Marshal(&webhooksv1.Delivery{
			Id: hook.DeliveryID(id, w.ID), EventId: id, EventType: event.ConversationStarted, ProjectId: w.ProjectID, WebhookId: w.ID,
			EventSequence: meta.Sequence.Stream, Attempt: 1, Trigger: webhooksv1.Trigger_TRIGGER_REPLAY, OwedSince: timestamppb.Now(),
		})
		require.NoError(t, err)
	}
	return messages
}

func TestCase39AReplayDelaysNoOtherWebhook(t *testing.T) {
	const past = 5000
	s := spawn(t, t.TempDir(), lasting(nil))
	// It takes the replay seconds to get through.
	replayed, calm := crowdDoes(t, thinks(20*time.Millisecond)), crowdDoes(t, status(http.StatusOK))
	w := s.create(t, project, fields{"url": replayed.url, "events": event.Types()})
	s.create(t, "calm", fields{"url": calm.url, "events": event.Types()})
	s.settle(t)
	require.NoError(t, s.floods(t.Context(), project, past))
	eventually(t, "the past is over", func() bool { return replayed.count() == past })
	s.wantSettled(t)

	messages := s.replay(t, w, past)

	began := time.Now()
	for _, message := range messages {
		_, err := s.streams.PublishAsync(topology.SubjectDelivery(w.ID), message)
		require.NoError(t, err)
	}
	published := s.paced(t, func() bool { return replayed.posts() >= 2*past }, project, "calm")
	took := time.Since(began)

	same, others := published[0], published[1]
	eventually(t, "live events arrive", func() bool { return calm.count() == len(others) && replayed.count() == past+len(same) })
	assert.Less(t, calm.slowest(t, "/", others), took/2, "another project waited for the replay")
	s.wantSettled(t)
	replayed.mu.Lock()
	defer replayed.mu.Unlock()
	for key, attempts := range replayed.numbers {
		assert.LessOrEqual(t, len(attempts), 2, "%s came more often than it was asked for", key)
	}
	assert.Len(t, replayed.numbers, past+len(same), "a replay has the ids of the first time")
}
