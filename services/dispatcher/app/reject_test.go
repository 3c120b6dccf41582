package app_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func TestCase29UnreadableEventsAreRejectedWithTheReason(t *testing.T) {
	s := begin(t)
	receiver := s.answers(200)
	s.registers("w1", receiver.URL)
	s.projected()
	s.dispatch()
	subject := topology.SubjectEvent(project, event.ConversationStarted)
	good, err := event.Encode(event.JSON, sample("evt_good"))
	require.NoError(t, err)
	cases := []struct {
		subject, contentType, id string
		body                     []byte
		reason                   string
	}{
		{subject: subject, body: nil, reason: "empty"},
		{subject: subject, body: []byte("null"), reason: "event"},
		{subject: subject, body: []byte("[]"), reason: "event"},
		{subject: subject, body: []byte("{}"), reason: "id"},
		{subject: subject, body: []byte("{\"id\":\"\xff\"}"), reason: "event"},
		{subject: subject, body: []byte(`{"id":7}`), reason: "event"},
		{subject: subject, body: []byte(`{"id":"a` + "\x00" + `"}`), reason: "event"},
		{subject: subject, body: good, contentType: "text/plain", reason: "content type"},
		{subject: subject, body: []byte("\xff\xff"), contentType: event.Protobuf, reason: "event"},
		{subject: topology.SubjectEvent(project, event.ReportGenerated), body: good, reason: "subject and its body disagree"},
		{subject: topology.SubjectEvent(project, "conversation.unknown"), body: good, reason: "subject and its body disagree"},
		{subject: topology.SubjectEvent("p2", "conversation.\xff\xfe"), body: good, reason: "subject and its body disagree"},
		{subject: "dembrane.events.deep.er.conversation.started", body: good, reason: "subject and its body disagree"},
		{subject: "dembrane.events.p1", body: good, reason: "subject and its body disagree"},
		{subject: subject, body: good, id: "evt_other", reason: nats.MsgIdHdr},
	}

	for _, c := range cases {
		msg := nats.NewMsg(c.subject)
		msg.Data = c.body
		if c.contentType != "" {
			msg.Header.Set("Content-Type", c.contentType)
		}
		if c.id != "" {
			msg.Header.Set(nats.MsgIdHdr, c.id)
		}
		_, err := s.js.PublishMsg(t.Context(), msg)
		require.NoError(t, err)
	}
	s.publishes("evt_behind")

	s.wantOutcomes(delivered)
	s.wantSettled()
	assert.Len(t, receiver.got(), 1, "only what can be read")
	rejections := s.rejections()
	require.Len(t, rejections, len(cases))
	for i, c := range cases {
		rejection := rejections[uint64(i+1)]
		require.NotNil(t, rejection, "sequence %d", i+1)
		assert.Contains(t, rejection.GetReason(), c.reason, "%q on %q", c.body, c.subject)
		assert.NotNil(t, rejection.GetRejectedAt())
	}
}

// rejections reads REJECTED, by the sequence of the event.
func (s *story) rejections() map[uint64]*webhooksv1.Rejection {
	s.t.Helper()
	consumer, err := s.js.OrderedConsumer(s.t.Context(), topology.StreamRejected, jetstream.OrderedConsumerConfig{})
	require.NoError(s.t, err)
	all := map[uint64]*webhooksv1.Rejection{}
	batch, err := consumer.FetchNoWait(1000)
	require.NoError(s.t, err)
	for msg := range batch.Messages() {
		var rejection webhooksv1.Rejection
		require.NoError(s.t, protojson.Unmarshal(msg.Data(), &rejection))
		all[rejection.GetEventSequence()] = &rejection
	}
	require.NoError(s.t, batch.Error())
	return all
}
