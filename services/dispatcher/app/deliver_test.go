package app_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

const (
	delivered = webhooksv1.Outcome_OUTCOME_DELIVERED
	retry     = webhooksv1.Outcome_OUTCOME_RETRY
	exhausted = webhooksv1.Outcome_OUTCOME_EXHAUSTED
	gone      = webhooksv1.Outcome_OUTCOME_GONE
	deleted   = webhooksv1.Outcome_OUTCOME_DELETED
	disabled  = webhooksv1.Outcome_OUTCOME_DISABLED
	expired   = webhooksv1.Outcome_OUTCOME_EXPIRED
)

func TestAnEventIsDeliveredSignedAndSettled(t *testing.T) {
	s := begin(t)
	receiver := s.answers(200)
	const key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	sealed, err := s.box.Seal(secret.New(key), project, "w1")
	require.NoError(t, err)
	s.registers("w1", receiver.URL+"/hook?token=x", func(r *webhooksv1.Registration) {
		r.Secrets = []*webhooksv1.SealedSecret{{Ciphertext: sealed}}
	})
	s.projected()
	s.dispatch()

	s.publishes("evt_1")

	record := s.wantOutcomes(delivered)[0]
	s.wantSettled()
	got := receiver.got()
	require.Len(t, got, 1)
	header := got[0].header
	assert.Equal(t, "application/json", header.Get("Content-Type"))
	assert.Equal(t, "Dembrane-Webhook/1.0", header.Get("User-Agent"))
	assert.Equal(t, event.ConversationStarted, header.Get("X-Dembrane-Event"))
	assert.Equal(t, event.ConversationStarted, header.Get("X-Webhook-Event"))
	assert.Equal(t, "1", header.Get("X-Dembrane-Attempt"))
	assert.Equal(t, record.GetDeliveryId(), header.Get("X-Dembrane-Delivery"))
	assert.Equal(t, "sha256="+header.Get("X-Dembrane-Signature"), header.Get("X-Webhook-Signature"))
	verifier, err := standardwebhooks.NewWebhook(key)
	require.NoError(t, err)
	require.NoError(t, verifier.Verify([]byte(got[0].body), header))

	assert.Equal(t, "evt_1", record.GetEventId())
	assert.Equal(t, "w1", record.GetWebhookId())
	assert.Equal(t, project, record.GetProjectId())
	assert.EqualValues(t, 1, record.GetNumber())
	assert.EqualValues(t, 1, record.GetEventSequence())
	assert.EqualValues(t, 1, record.GetWebhookRevision())
	assert.EqualValues(t, 200, record.GetStatusCode())
	assert.Equal(t, webhooksv1.Trigger_TRIGGER_EVENT, record.GetTrigger())
	assert.EqualValues(t, len(got[0].body), record.GetRequest().GetBodyBytes())
	assert.Positive(t, record.GetDurationUs())
	assert.Nil(t, record.GetNextAttemptAt())
}

func TestAnEventNobodyWantsIsAcknowledged(t *testing.T) {
	s := begin(t)
	receiver := s.answers(200)
	s.registers("w1", receiver.URL, func(r *webhooksv1.Registration) { r.Events = []string{event.ReportGenerated} })
	s.registers("w2", receiver.URL, func(r *webhooksv1.Registration) { r.Enabled = false })
	s.projected()
	s.dispatch()

	s.publishes(ids("evt_", 20)...)

	s.wantSettled()
	s.wantNoMoreRecords()
	assert.Empty(t, receiver.got())
}

func TestAnEventIsAcknowledgedWhenItsLastDeliveryIsSettled(t *testing.T) {
	s := begin(t)
	release := make(chan struct{})
	slow := s.handles(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.WriteHeader(http.StatusNoContent)
	})
	quick := s.answers(200)
	failing := s.answers(500, 200)
	s.registers("w1", quick.URL)
	s.registers("w2", slow.URL)
	s.registers("w3", failing.URL)
	s.projected()
	s.dispatch()

	s.publishes("evt_1")

	s.wantRecords(3) // delivered to w1, and twice to w3
	_, unacknowledged := s.intake()
	assert.Equal(t, 1, unacknowledged, "w2 has not answered yet")
	close(release)
	s.wantOutcomes(delivered)
	s.wantSettled()
}

func TestARetryIsASchedule(t *testing.T) {
	s := begin(t)
	receiver := s.answers(500, 503, 200)
	s.registers("w1", receiver.URL)
	s.projected()
	s.dispatch()

	s.publishes("evt_1")

	records := s.wantOutcomes(retry, retry, delivered)
	s.wantSettled()
	got := receiver.got()
	require.Len(t, got, 3)
	for i, record := range records {
		assert.EqualValues(t, i+1, record.GetNumber())
		assert.Equal(t, records[0].GetDeliveryId(), record.GetDeliveryId())
		assert.Equal(t, got[0].body, got[i].body, "the same bytes on every attempt")
		assert.Equal(t, string('1'+rune(i)), got[i].header.Get("X-Dembrane-Attempt"))
		if i > 0 {
			assert.False(t, got[i].at.Before(records[i-1].GetNextAttemptAt().AsTime()), "earlier than recorded")
		}
	}
}

func TestAfterTheLastAttemptADeliveryIsExhausted(t *testing.T) {
	s := begin(t)
	receiver := s.answers(500)
	s.registers("w1", receiver.URL)
	s.projected()
	s.dispatch()

	s.publishes("evt_1")

	s.wantOutcomes(retry, retry, retry, exhausted)
	s.wantSettled()
	assert.Len(t, receiver.got(), 4)
}

func TestCase18TheWholeEndpointWaitsAndNothingIsCounted(t *testing.T) {
	s := begin(t)
	var once sync.Once
	receiver := s.handles(func(w http.ResponseWriter, _ *http.Request) {
		status := http.StatusOK
		once.Do(func() {
			w.Header().Set("Retry-After", "2")
			status = http.StatusTooManyRequests
		})
		w.WriteHeader(status)
	})
	other := s.answers(200)
	s.registers("w1", receiver.URL)
	s.projected()
	s.dispatch()
	s.publishes("evt_first")
	first := s.wantOutcomes(retry)[0]
	asked := first.GetStartedAt().AsTime().Add(2 * time.Second)
	s.registers("w2", other.URL)
	require.Eventually(t, func() bool {
		s.publishes("evt_probe" + time.Now().Format("150405.000000000")[7:])
		return len(other.got()) > 0
	}, patience, 20*time.Millisecond)

	s.publishes(ids("evt_", 30)...)

	require.Eventually(t, func() bool { return len(receiver.deliveries()) >= 31 && len(other.deliveries()) >= 31 }, patience, tick)
	s.wantSettled()
	numbers := map[string]string{}
	for _, attempt := range receiver.got()[1:] {
		assert.False(t, attempt.at.Before(asked), "%s before %s", attempt.at, asked)
		numbers[attempt.header.Get("X-Dembrane-Delivery")] = attempt.header.Get("X-Dembrane-Attempt")
	}
	assert.Equal(t, "2", numbers[first.GetDeliveryId()])
	delete(numbers, first.GetDeliveryId())
	for delivery, number := range numbers {
		assert.Equal(t, "1", number, "%s: being parked has used up an attempt", delivery)
	}
	for _, attempt := range other.got() {
		assert.True(t, attempt.at.Before(asked), "the other endpoint had to wait too")
	}
}

func TestCase19GoneStopsEverything(t *testing.T) {
	s := begin(t)
	receiver := s.answers(410)
	s.registers("w1", receiver.URL)
	s.projected()
	s.dispatch()

	s.publishes("evt_1")
	record := s.wantOutcomes(gone)[0]
	assert.Contains(t, record.GetDetail(), "410")
	s.publishes("evt_2", "evt_3")
	s.wantSettled()

	assert.Len(t, receiver.got(), 1)
	s.wantNoMoreRecords()

	s.registers("w1", receiver.URL) // enabled again by its host
	require.Eventually(t, func() bool {
		s.publishes("evt_" + time.Now().Format("150405.000000000")[7:])
		return len(receiver.got()) > 1
	}, patience, 20*time.Millisecond)
}

func TestCase26WhatIsDeletedOrDisabledMeanwhileIsNotSent(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*webhooksv1.Registration)
		want   webhooksv1.Outcome
	}{
		"deleted":  {func(r *webhooksv1.Registration) { r.Deleted = true }, deleted},
		"disabled": {func(r *webhooksv1.Registration) { r.Enabled = false }, disabled},
	} {
		t.Run(name, func(t *testing.T) {
			s := begin(t)
			s.config.RetryFirst = time.Second
			receiver := s.answers(500)
			s.registers("w1", receiver.URL)
			s.projected()
			s.dispatch()
			s.publishes("evt_1")
			s.wantOutcomes(retry)

			s.registers("w1", receiver.URL, c.change)

			record := s.wantOutcomes(c.want)[0]
			assert.EqualValues(t, 2, record.GetNumber())
			assert.NotEmpty(t, record.GetDetail())
			assert.Nil(t, record.GetRequest(), "nothing was sent")
			s.wantSettled()
			assert.Len(t, receiver.got(), 1)
		})
	}
}

func TestCase26And27TheNextAttemptUsesTheNewValues(t *testing.T) {
	s := begin(t)
	s.config.RetryFirst = time.Second
	before, after := s.answers(500), s.answers(200)
	s.registers("w1", before.URL)
	s.projected()
	s.dispatch()
	s.publishes("evt_1")
	s.wantOutcomes(retry)

	sealed, err := s.box.Seal(secret.New("a secret set meanwhile"), project, "w1")
	require.NoError(t, err)
	s.registers("w1", after.URL, func(r *webhooksv1.Registration) {
		r.Secrets = []*webhooksv1.SealedSecret{{Ciphertext: sealed}}
	})

	s.wantOutcomes(delivered)
	assert.Len(t, before.got(), 1)
	assert.NotEmpty(t, after.got()[0].header.Get("X-Dembrane-Signature"))
}

func TestAnEventThatIsNoLongerRetainedExpires(t *testing.T) {
	s := begin(t)
	s.config.RetryFirst = time.Second
	receiver := s.answers(500)
	s.registers("w1", receiver.URL)
	s.projected()
	s.dispatch()
	s.publishes("evt_1")
	s.wantOutcomes(retry)

	stream, err := s.js.Stream(t.Context(), topology.StreamEvents)
	require.NoError(t, err)
	require.NoError(t, stream.DeleteMsg(t.Context(), 1))

	s.wantOutcomes(expired)
	s.wantSettled()
}

// A webhook that cannot be signed for is not sent to unsigned: its deliveries wait
// for the keyset to be mended.
func TestAWebhookWithAFaultFailsAndIsRetried(t *testing.T) {
	s := begin(t)
	receiver := s.answers(200)
	s.registers("w1", receiver.URL, func(r *webhooksv1.Registration) {
		r.Secrets = []*webhooksv1.SealedSecret{{Ciphertext: []byte("sealed by another keyset")}}
	})
	s.projected()
	s.dispatch()

	s.publishes("evt_1")

	for _, record := range s.wantOutcomes(retry, retry, retry, exhausted) {
		assert.Equal(t, webhooksv1.Reason_REASON_REGISTRATION, record.GetReason())
	}
	assert.Empty(t, receiver.got())
}

// A receiver whose answer could not be recorded once had every delivery of its
// batch made again, for ever.
func TestAReceiverCannotSpoilTheRecordsOfOthers(t *testing.T) {
	s := begin(t)
	s.config.RetryAttempts = 1
	vicious := s.handles(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "x:\xff\xfe")
		w.WriteHeader(http.StatusFound)
	})
	good := s.answers(200)
	s.registers("w1", vicious.URL)
	s.registers("w2", good.URL)
	s.projected()
	s.dispatch()

	s.publishes(ids("evt_", 4)...) // fewer than make it wait for a probe

	s.wantRecords(8)
	s.wantSettled()
	assert.Len(t, good.got(), 4, "each once")
	assert.Len(t, vicious.got(), 4, "each once")
}

func TestCase22PublishedTwiceIsDeliveredOnce(t *testing.T) {
	s := begin(t)
	receiver := s.answers(200)
	s.registers("w1", receiver.URL)
	s.projected()
	s.dispatch()
	same := make([]string, 50)
	for i := range same {
		same[i] = "evt_same"
	}

	s.publishes(same...)

	s.wantOutcomes(delivered)
	s.wantSettled()
	assert.Len(t, receiver.got(), 1)
}

// A fault of ours on DELIVERIES is dropped, and nothing behind it waits.
func TestUnreadableDeliveriesAreDropped(t *testing.T) {
	s := begin(t)
	receiver := s.answers(200)
	s.registers("w1", receiver.URL)
	s.projected()
	s.dispatch()
	s.publishes("evt_1")
	s.wantOutcomes(delivered)

	good := &webhooksv1.Delivery{
		Id: "dlv_1", EventId: "evt_1", EventType: event.ConversationStarted, ProjectId: project,
		WebhookId: "w1", EventSequence: 1, Attempt: 1, Trigger: webhooksv1.Trigger_TRIGGER_RESEND,
	}
	for _, spoil := range []func(*webhooksv1.Delivery){
		func(d *webhooksv1.Delivery) { d.WebhookId = "" },
		func(d *webhooksv1.Delivery) { d.WebhookId = "a.b" },
		func(d *webhooksv1.Delivery) { d.Id = "" },
		func(d *webhooksv1.Delivery) { d.Id = "dlv 1" },
		func(d *webhooksv1.Delivery) { d.Attempt = 0 },
		func(*webhooksv1.Delivery) {},
	} {
		bad := proto.CloneOf(good)
		spoil(bad)
		data, err := proto.Marshal(bad)
		require.NoError(t, err)
		_, err = s.js.Publish(t.Context(), topology.SubjectDelivery("w1"), data)
		require.NoError(t, err)
	}
	_, err := s.js.Publish(t.Context(), topology.SubjectDelivery("w1"), []byte("\xff"))
	require.NoError(t, err)

	record := s.wantOutcomes(delivered)[0]
	assert.Equal(t, webhooksv1.Trigger_TRIGGER_RESEND, record.GetTrigger())
	s.wantSettled()
	s.wantNoMoreRecords()
	got := receiver.got()
	require.Len(t, got, 2)
	assert.Equal(t, got[0].body, got[1].body)
}
