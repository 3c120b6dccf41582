package e2e_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

func TestAnEventPublishedManyTimesIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	r := receiverAnswers(t)
	w := s.register(t, r)

	e := started()
	var publishers sync.WaitGroup
	for range 50 {
		publishers.Go(func() { assert.NoError(t, s.Publisher.Publish(t.Context(), e)) })
	}
	publishers.Wait()
	s.publish(t, e)
	last := started()
	s.publish(t, last)

	s.wantAttempts(t, w, delivered, delivered)
	assert.ElementsMatch(t, []string{e.GetId(), last.GetId()}, []string{r.next(t).Event, r.next(t).Event})
	r.wantNothingMore(t)
}

func TestAnUnreadableEventIsSetAsideAndBlocksNothing(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	r := receiverAnswers(t)
	w := s.register(t, r)
	subject := topology.SubjectEvent(project, event.ConversationStarted)
	elsewhere := started()
	elsewhere.Project.Id = "another-project"
	body, err := event.Encode(event.JSON, elsewhere)
	require.NoError(t, err)

	s.publishRaw(t, subject, []byte(`{"id": "evt_1", "type": `))
	s.publishRaw(t, subject, []byte("\xff\x00"))
	s.publishRaw(t, subject, body)
	good := started()
	s.publish(t, good)

	assert.Equal(t, good.GetId(), r.next(t).Event)
	s.wantAttempts(t, w, delivered)
	rejections := s.rejections(t, 3)
	for _, rejected := range rejections {
		assert.Equal(t, subject, rejected.Subject)
		assert.NotEmpty(t, rejected.Reason)
	}
	assert.Contains(t, rejections[2].Reason, "disagree")
}

type rejection struct {
	Subject string `json:"subject"`
	Reason  string `json:"reason"`
}

// rejections waits for as many in the stream of rejected events.
func (s *system) rejections(t *testing.T, count int) []rejection {
	t.Helper()
	consumer, err := s.Streams.OrderedConsumer(t.Context(), topology.StreamRejected, jetstream.OrderedConsumerConfig{})
	require.NoError(t, err)
	list := make([]rejection, count)
	for i := range list {
		msg, err := consumer.Next(jetstream.FetchMaxWait(patience))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(msg.Data(), &list[i]))
	}
	return list
}

// publishRaw stores whatever it is given.
func (s *system) publishRaw(t *testing.T, subject string, data []byte) {
	t.Helper()
	_, err := s.Streams.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: data})
	require.NoError(t, err)
}

func TestTheLargestEventArrivesWhole(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	r := receiverAnswers(t, 500)
	w := s.register(t, r)

	e := sampleOf(event.ConversationTranscribed)
	e.GetConversation().Transcript = new("")
	room := topology.MaxEventBytes - size(t, e)
	// Two bytes a letter as published, six as delivered.
	transcript := strings.Repeat("щ", room/2)
	e.GetConversation().Transcript = new(transcript)
	require.InDelta(t, topology.MaxEventBytes, size(t, e), 2)
	s.publish(t, e)

	s.wantAttempts(t, w, retry, delivered) // the second one is made from what is stored
	first, second := r.next(t), r.next(t)
	require.Len(t, second.Body, len(first.Body))
	for _, a := range []receiver.Arrival{first, second} {
		assert.True(t, signature.VerifyBody(secret, a.Header.Get("X-Dembrane-Signature"), a.Body))
	}
	var got struct {
		Conversation struct {
			Transcript string `json:"transcript"`
		} `json:"conversation"`
	}
	require.NoError(t, json.Unmarshal(second.Body, &got))
	assert.True(t, transcript == got.Conversation.Transcript, "the transcript is not what was published") //nolint:testifylint // 8 MiB of difference would be printed
}

func size(t *testing.T, e *webhooksv1.Event) int {
	t.Helper()
	body, err := event.Encode(event.JSON, e)
	require.NoError(t, err)
	return len(body)
}

func TestAnEventForThreeWebhooksReachesEach(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	receivers := []*story{receiverAnswers(t), receiverAnswers(t, 500, 503), receiverAnswers(t)}
	webhooks := make([]webhook, len(receivers))
	for i, r := range receivers {
		webhooks[i] = s.create(t, project, fields{"url": r.url, "secret": secret, "events": event.Types()})
	}
	s.settle(t)

	e := started()
	s.publish(t, e)

	s.wantAttempts(t, webhooks[0], delivered)
	s.wantAttempts(t, webhooks[1], retry, retry, delivered)
	s.wantAttempts(t, webhooks[2], delivered)
	deliveries := map[string]bool{}
	for i, r := range receivers {
		a := r.next(t)
		assert.Equal(t, e.GetId(), a.Event, "receiver %d", i)
		deliveries[a.Delivery] = true
	}
	assert.Len(t, deliveries, 3, "each webhook has a delivery of its own")
	receivers[0].wantNothingMore(t)
	receivers[2].wantNothingMore(t)
}
