package app_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
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

// An older dispatcher splits EVENTS into six parts and takes its limit away. The api
// puts the limit back at its next look, and splits again when it finds a dispatcher
// that takes in all parts.
func TestThePartsAreBackWithANewDispatcher(t *testing.T) {
	s := begin(t)
	owner := topology.NewOwner(s.js, streams(), zaptest.NewLogger(t))
	require.NoError(t, owner.Ensure(t.Context()))
	s.projected()
	s.dispatch().stopped(t)
	events := func() jetstream.StreamConfig {
		stream, err := s.js.Stream(t.Context(), topology.StreamEvents)
		require.NoError(t, err)
		return stream.CachedInfo().Config
	}
	want := events()
	older := want
	older.SubjectTransform = &jetstream.SubjectTransformConfig{
		Source: want.SubjectTransform.Source, Destination: strings.Replace(want.SubjectTransform.Destination, "16", "6", 1),
	}
	older.MaxBytes, older.Metadata = -1, nil
	_, err := s.js.UpdateStream(t.Context(), older)
	require.NoError(t, err)

	require.NoError(t, owner.Ensure(t.Context()))
	assert.Equal(t, want.MaxBytes, events().MaxBytes)
	assert.Equal(t, older.SubjectTransform, events().SubjectTransform, "nobody takes the parts in")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- owner.Run(ctx) }()
	began := time.Now()
	s.dispatch()
	s.eventually(func() bool { return events().SubjectTransform.Destination == want.SubjectTransform.Destination }, "all parts are back")
	assert.Less(t, time.Since(began), 10*time.Second, "two looks of the api and one of the dispatcher")
	stop()
	require.NoError(t, <-ended)
}
