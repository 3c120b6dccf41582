package app_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/topology"
)

// Half of a surrogate pair in what a participant typed costs no event; a time
// without a zone is refused with what to add.
func TestCase29AHalfSurrogateIsDeliveredAndATimeWithoutAZoneRefused(t *testing.T) {
	s := begin(t)
	receiver := s.answers(200)
	s.registers("w1", receiver.URL)
	s.projected()
	s.dispatch()
	const body = `{"id":"ID","type":"conversation.started","occurred_at":"2026-01-20T12:00:00.123456Z","project":{"id":"PROJECT"},` +
		`"conversation":{"id":"c1","participant_name":"Zoë \ud83d"}}`
	publish := func(id, body string) {
		msg := nats.NewMsg(topology.SubjectEvent(project, event.ConversationStarted))
		msg.Header.Set(nats.MsgIdHdr, id)
		msg.Data = []byte(strings.NewReplacer("ID", id, "PROJECT", project).Replace(body))
		_, err := s.js.PublishMsg(t.Context(), msg)
		require.NoError(t, err)
	}

	publish("evt_zoneless", strings.Replace(body, "123456Z", "123456", 1))
	publish("evt_half", body)

	s.wantOutcomes(delivered)
	s.wantSettled()
	require.Len(t, receiver.got(), 1)
	assert.Contains(t, receiver.got()[0].body, `"participant_name":"Zo\u00eb \ufffd"`)
	assert.Contains(t, s.rejections()[1].GetReason(), "occurred_at has no time zone: add Z for UTC, or an offset such as +01:00")
}
