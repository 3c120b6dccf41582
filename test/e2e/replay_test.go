package e2e_test

import (
	"net/http"
	"slices"
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
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// replay is what it takes to deliver the project's events to the webhook once
// more, as the contract on NATS describes it.
func (s *system) replay(t *testing.T, w webhook, events int) [][]byte {
	t.Helper()
	consumer, err := s.Streams.OrderedConsumer(t.Context(), topology.StreamEvents, jetstream.OrderedConsumerConfig{
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
	const events = 5000
	s := spawn(t, t.TempDir(), lasting(nil))
	// It takes the replay seconds to get through.
	replayed, calm := crowdDoes(t, receiver.Thinks(20*time.Millisecond)), crowdDoes(t, receiver.Status(http.StatusOK))
	past, live, others := replayed.book("past", 1), replayed.book("live", 1), calm.book("calm", 1)
	past.project, live.project = project, project
	w := s.create(t, project, fields{"url": replayed.URL, "events": event.Types()})
	s.create(t, "calm", fields{"url": calm.URL, "events": event.Types()})
	s.settle(t)
	require.NoError(t, s.floods(t.Context(), past, events))
	eventually(t, "the past is over", func() bool { return replayed.count() == events })
	s.wantSettled(t)

	messages := s.replay(t, w, events)

	began := time.Now()
	for _, message := range messages {
		_, err := s.Streams.PublishAsync(topology.SubjectDelivery(w.ID), message)
		require.NoError(t, err)
	}
	s.paced(t, func() bool { return replayed.posts() >= 2*events }, live, others)
	took := time.Since(began)

	eventually(t, "live events arrive", func() bool {
		return calm.count() == others.Sums().Published && replayed.count() == events+live.Sums().Published
	})
	assert.Less(t, others.slowest(t), took/2, "another project waited for the replay")
	s.wantSettled(t)
	for _, l := range slices.Concat(past.Lines(), live.Lines()) {
		assert.LessOrEqual(t, l.Posts, 2, "%s came more often than it was asked for", l.Delivery)
	}
	assert.Equal(t, events+live.Sums().Published, replayed.count(), "a replay has the ids of the first time")
}
