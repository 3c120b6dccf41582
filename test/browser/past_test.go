package browser_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/inside"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// notKept is the sequence of an event that is not there.
const notKept = 1 << 40

func ulidAt(at time.Time) string {
	return ulid.MustNew(ulid.Timestamp(at), ulid.DefaultEntropy()).String()
}

// made is an attempt as a dispatcher would have written it down some time ago: the
// first one of a delivery.
func made(w apiclient.Webhook, ago time.Duration, outcome webhooksv1.Outcome, status uint32) *webhooksv1.Attempt {
	at := time.Now().Add(-ago)
	a := &webhooksv1.Attempt{
		Id: ulidAt(at), ProjectId: w.ProjectID, WebhookId: w.ID, DeliveryId: "dlv_" + ulidAt(at), EventId: "evt_" + ulidAt(at),
		EventType: "conversation.summarized", EventSequence: notKept, Number: 1, Trigger: webhooksv1.Trigger_TRIGGER_EVENT,
		StartedAt: timestamppb.New(at), OccurredAt: timestamppb.New(at.Add(-time.Second)), DurationUs: 84_000, Outcome: outcome, StatusCode: status,
		Request: &webhooksv1.Request{Url: w.URL, BodyBytes: 2048, Signed: true, HeaderNames: []string{"X-Api-Key"}},
		Timing:  &webhooksv1.Timing{DnsUs: 3000, ConnectUs: 11_000, TlsUs: 25_000, WaitUs: 45_000},
		Response: &webhooksv1.Response{
			Headers: []*webhooksv1.Header{{Name: "Content-Type", Value: "application/json"}}, Body: []byte(`{"ok":true,"id":4711}`),
		},
	}
	if outcome != webhooksv1.Outcome_OUTCOME_DELIVERED {
		a.Reason, a.Response.Body = webhooksv1.Reason_REASON_STATUS, []byte(`{"error":"no such hook"}`)
	}
	return a
}

// after is the next attempt of the same delivery.
func after(a *webhooksv1.Attempt, later time.Duration, outcome webhooksv1.Outcome, status uint32) *webhooksv1.Attempt {
	next := made(apiclient.Webhook{ID: a.GetWebhookId(), ProjectID: a.GetProjectId(), URL: a.GetRequest().GetUrl()},
		time.Since(a.GetStartedAt().AsTime())-later, outcome, status)
	next.DeliveryId, next.EventId, next.Number = a.GetDeliveryId(), a.GetEventId(), a.GetNumber()+1
	next.EventType, next.OccurredAt = a.GetEventType(), a.GetOccurredAt()
	return next
}

// unanswered makes an attempt one that got no answer.
func unanswered(a *webhooksv1.Attempt, reason webhooksv1.Reason, cause webhooksv1.Cause, endedIn webhooksv1.Phase) *webhooksv1.Attempt {
	a.Reason, a.Cause, a.StatusCode, a.Response = reason, cause, 0, nil
	a.Timing = &webhooksv1.Timing{DnsUs: 3000, EndedIn: endedIn}
	return a
}

// record has a system write attempts into its log.
func record(t *testing.T, in inside.System, attempts ...*webhooksv1.Attempt) {
	t.Helper()
	data, err := proto.Marshal(&webhooksv1.AttemptBatch{Attempts: attempts})
	require.NoError(t, err)
	_, err = in.Streams.Publish(t.Context(), topology.SubjectAttempts, data)
	require.NoError(t, err)
}

// addLog adds a webhook whose log has everything that can become of a delivery.
func (g gallery) addLog(t *testing.T) {
	t.Helper()
	const (
		delivered = webhooksv1.Outcome_OUTCOME_DELIVERED
		retried   = webhooksv1.Outcome_OUTCOME_RETRY
		givenUp   = webhooksv1.Outcome_OUTCOME_EXHAUSTED
	)
	w := g.add(t, "log", "-log", receiver.Hook{}, apiclient.Fields{"name": "Civil registry archive", "events": []string{"report.generated"}})
	all := map[string]*webhooksv1.Attempt{}
	late := made(w, 50*time.Minute, retried, http.StatusServiceUnavailable)
	late.Reason = webhooksv1.Reason_REASON_THROTTLED
	late2 := unanswered(after(late, 5*time.Second, retried, 0), webhooksv1.Reason_REASON_TIMEOUT, 0, webhooksv1.Phase_PHASE_WAIT)
	late3 := unanswered(after(late2, time.Minute, retried, 0), webhooksv1.Reason_REASON_CONNECT, webhooksv1.Cause_CAUSE_REFUSED, webhooksv1.Phase_PHASE_CONNECT)
	all["late-1"], all["late-2"], all["late-3"], all["late"] = late, late2, late3, after(late3, 20*time.Minute, delivered, http.StatusOK)
	first := made(w, 10*time.Minute, retried, http.StatusNotFound)
	waiting := after(first, 6*time.Minute, retried, http.StatusBadGateway)
	waiting.NextAttemptAt = timestamppb.New(time.Now().Add(2 * time.Hour))
	soon := made(w, 2*time.Minute, retried, http.StatusBadGateway)
	soon.NextAttemptAt = timestamppb.New(time.Now().Add(20 * time.Minute))
	due := made(w, 3*time.Minute, retried, http.StatusBadGateway)
	due.NextAttemptAt = timestamppb.New(time.Now().Add(-time.Minute))
	all["first"], all["waiting"], all["waiting-soon"], all["due"] = first, waiting, soon, due
	tried := unanswered(made(w, 3*time.Hour, retried, 0), webhooksv1.Reason_REASON_CERTIFICATE, webhooksv1.Cause_CAUSE_CERTIFICATE_EXPIRED, webhooksv1.Phase_PHASE_TLS)
	all["given-up-1"] = tried
	for n := 2; n <= 10; n++ {
		tried = unanswered(after(tried, 10*time.Minute, retried, 0), webhooksv1.Reason_REASON_CERTIFICATE, webhooksv1.Cause_CAUSE_CERTIFICATE_EXPIRED, webhooksv1.Phase_PHASE_TLS)
		all[fmt.Sprintf("given-up-%d", n)] = tried
	}
	tried.Outcome = givenUp
	all["given-up"] = tried
	notSent := made(w, 2*time.Hour, webhooksv1.Outcome_OUTCOME_DISABLED, 0)
	notSent.Reason, notSent.Request, notSent.Response, notSent.Timing, notSent.DurationUs = 0, nil, nil, nil, 0
	all["not-sent"] = notSent
	long := made(w, 4*time.Hour, givenUp, http.StatusInternalServerError)
	long.Response.Body, long.Response.Truncated = []byte(strings.Repeat("x", 16<<10)), true
	binary := made(w, 5*time.Hour, delivered, http.StatusOK)
	binary.Response.Body = []byte{0xff, 0xd8, 0xff, 0xe0, 0, 16, 'J', 'F', 'I', 'F'}
	empty := made(w, 6*time.Hour, delivered, http.StatusNoContent)
	empty.Response.Body, empty.Response.Headers = nil, nil
	test := made(w, 7*time.Hour, delivered, http.StatusOK)
	test.Trigger, test.EventType, test.EventSequence = webhooksv1.Trigger_TRIGGER_TEST, "webhook.test", 0
	again := made(w, 8*time.Hour, delivered, http.StatusOK)
	again.Trigger = webhooksv1.Trigger_TRIGGER_REPLAY
	byHand := made(w, 9*time.Hour, delivered, http.StatusOK)
	byHand.Trigger = webhooksv1.Trigger_TRIGGER_RESEND
	all["long"], all["binary"], all["empty"], all["test"], all["again"], all["by-hand"] = long, binary, empty, test, again, byHand
	var batch []*webhooksv1.Attempt
	for name, a := range all {
		g.attempts[name] = a.GetId()
		if name != "given-up-10" { // it is there as given-up
			batch = append(batch, a)
		}
	}
	for i := range 30 {
		batch = append(batch, made(w, time.Duration(10+i)*time.Hour, delivered, http.StatusOK))
	}
	record(t, shared.system, batch...)
}

// addMany adds as many webhooks to a project as it can have, in every state.
func (g gallery) addMany(t *testing.T) {
	t.Helper()
	const most = 50
	var batch []*webhooksv1.Attempt
	for i := range most {
		state := fmt.Sprintf("many-%02d", i)
		w := g.add(t, state, "-many", receiver.Hook{}, apiclient.Fields{
			"name": fmt.Sprintf("%s, district %d", []string{"Archive", "Slack of the team", "Zapier", "Newsletter", "Open data portal"}[i%5], i+1),
		})
		switch i % 5 {
		case 0, 1, 2:
			batch = append(batch, made(w, 3*time.Hour, webhooksv1.Outcome_OUTCOME_DELIVERED, http.StatusOK))
		case 3:
			batch = append(batch, made(w, 2*time.Hour, webhooksv1.Outcome_OUTCOME_EXHAUSTED, http.StatusInternalServerError))
		}
		if i%7 == 6 {
			g.change(t, state, apiclient.Fields{"enabled": false})
		}
	}
	batch = append(batch, made(g.webhooks["many-20"], time.Hour, webhooksv1.Outcome_OUTCOME_GONE, http.StatusGone))
	record(t, shared.system, batch...)
}
