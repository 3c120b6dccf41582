package app_test

import (
	"net/http"
	"strconv"
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
	"github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Versions before there were ranges wrote each parked delivery as a message of its
// own on DELIVERIES: the first attempt, not due yet, with or without the time since
// when it is owed.
func TestParkedDeliveriesOfOlderVersionsAreMade(t *testing.T) {
	s := begin(t)
	r := s.answers(http.StatusOK)
	s.registers("w1", r.URL)
	s.projected()
	s.dispatch()
	s.publishes("e1", "e2")
	s.wantRecords(2)
	s.wantSettled()
	late := s.answers(http.StatusOK)
	s.registers("w2", late.URL)
	due := time.Now().Add(time.Second)
	for i, id := range []string{"e1", "e2"} {
		owed := &webhooksv1.Delivery{
			Id: webhook.DeliveryID(id, "w2"), EventId: id, EventType: event.ConversationStarted, ProjectId: project,
			WebhookId: "w2", EventSequence: uint64(i + 1), Attempt: 1, Trigger: webhooksv1.Trigger_TRIGGER_EVENT,
		}
		if i == 0 {
			owed.OwedSince = timestamppb.Now()
		}
		data, err := proto.Marshal(owed)
		require.NoError(t, err)
		msg := nats.NewMsg(topology.SubjectScheduled("w2", owed.GetId()))
		msg.Data = data
		msg.Header.Set(jetstream.ScheduleHeader, "@at "+due.UTC().Format(time.RFC3339Nano))
		msg.Header.Set(jetstream.ScheduleTargetHeader, topology.SubjectDelivery("w2"))
		_, err = s.js.PublishMsg(t.Context(), msg)
		require.NoError(t, err)
	}

	for _, record := range s.wantRecords(2) {
		assert.Equal(t, delivered, record.GetOutcome())
		assert.EqualValues(t, 1, record.GetNumber())
		assert.Equal(t, webhook.DeliveryID(record.GetEventId(), "w2"), record.GetDeliveryId())
	}
	s.wantSettled()
	require.Len(t, late.got(), 2)
	for _, attempt := range late.got() {
		assert.False(t, attempt.at.Before(due), "it was not due yet")
	}
}

// A dispatcher of such a version consumes DELIVERIES only, where no range ever is.
func TestWhatIsParkedIsNeverSeenByOlderVersions(t *testing.T) {
	s := begin(t)
	r := s.handles(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", strconv.Itoa(3))
		w.WriteHeader(http.StatusTooManyRequests)
	})
	s.registers("w1", r.URL)
	s.projected()
	s.dispatch()
	s.publishes(ids("e", 50)...)

	s.eventually(func() bool {
		pending, unacknowledged := s.intake()
		return pending == 0 && unacknowledged == 0 && s.messages(topology.StreamRanges) > 0
	}, "all of it is parked")
	older, err := s.js.Stream(t.Context(), topology.StreamDeliveries)
	require.NoError(t, err)
	for sequence := older.CachedInfo().State.FirstSeq; sequence <= older.CachedInfo().State.LastSeq; sequence++ {
		msg, err := older.GetMsg(t.Context(), sequence)
		if err != nil {
			continue // settled
		}
		var owed webhooksv1.Delivery
		require.NoError(t, proto.Unmarshal(msg.Data, &owed))
		assert.NotEmpty(t, owed.GetId())
		assert.NotZero(t, owed.GetEventSequence())
	}
	assert.NotContains(t, older.CachedInfo().Config.Subjects, topology.SubjectRange("w1"))
}
