package httpapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// sent is an attempt at an event that is kept at a sequence.
func (a *api) sent(id string, sequence uint64) (*webhooksv1.Attempt, string) {
	a.t.Helper()
	e := payload.Sample(event.ConversationSummarized, &webhooksv1.Project{Id: "p1"}, "evt1", time.Now())
	body := a.kept(sequence, e)
	x := &webhooksv1.Attempt{
		EventId: "evt1", EventType: event.ConversationSummarized, EventSequence: sequence, DeliveryId: "dlv1", Number: 3,
		Outcome: webhooksv1.Outcome_OUTCOME_RETRY, Reason: webhooksv1.Reason_REASON_REDIRECT, StatusCode: 302,
		OccurredAt: e.GetOccurredAt(), NextAttemptAt: timestamppb.Now(), Detail: "The receiver answered 302 Found to somewhere.",
		Timing: &webhooksv1.Timing{DnsUs: 1500, ConnectUs: 2000, TlsUs: 3000, WaitUs: 4250},
		Request: &webhooksv1.Request{
			Url: "https://example.org/hook?token=hunter2&empty=&hunter2#f", BodyBytes: int64(len(body)), Signed: true,
		},
		Response: &webhooksv1.Response{
			Headers: []*webhooksv1.Header{
				{Name: "Location", Value: "https://new.example/hook?token=hunter2"}, {Name: "Set-Cookie", Value: "s=hunter2"}, {Name: "Server", Value: "x"},
			},
			Body: []byte("moved"),
		},
	}
	a.record("p1", id, x)
	return x, string(body)
}

func TestOneAttemptHasRequestAndResponse(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	x, body := a.sent(id, 7)
	path := base + "/" + id + "/deliveries/" + x.GetId()
	r := a.send("GET", path, "")
	require.Equal(t, http.StatusOK, r.status, r.raw)
	assert.NotContains(t, r.raw, "hunter2")
	assert.Equal(t, "https://new.example/hook", between(fmt.Sprint(r.body["message"]), "redirects to ", ","))
	assert.Equal(t, map[string]any{"dns_ms": 1.5, "connect_ms": 2.0, "tls_ms": 3.0, "wait_ms": 4.25}, r.body["timing"])
	request, _ := r.body["request"].(map[string]any)
	assert.Equal(t, "https://example.org/hook?token=***&empty=&***#f", request["url"])
	assert.Equal(t, body, request["body"], "byte for byte")
	assert.Equal(t, "shown", request["body_state"])
	headers := map[string]any{}
	lines, _ := request["headers"].([]any)
	for _, h := range lines {
		header, _ := h.(map[string]any)
		headers[fmt.Sprint(header["name"])] = header["value"]
	}
	assert.Equal(t, map[string]any{
		"Accept": "*/*", "Content-Type": "application/json", "User-Agent": "Dembrane-Webhook/1.0",
		"X-Dembrane-Event": "conversation.summarized", "X-Webhook-Event": "conversation.summarized",
		"X-Dembrane-Delivery": "dlv1", "X-Dembrane-Attempt": "3", "X-Dembrane-Signature": nil, "X-Webhook-Signature": nil,
		"Webhook-Id": "evt1", "Webhook-Timestamp": headers["Webhook-Timestamp"], "Webhook-Signature": nil,
	}, headers)
	assert.NotNil(t, headers["Webhook-Timestamp"])
	response, _ := r.body["response"].(map[string]any)
	assert.Equal(t, "moved", response["body"])
	assert.Equal(t, "utf-8", response["body_encoding"])
	assert.Equal(t, http.StatusOK, a.send("HEAD", path, "").status)
}

func between(s, after, before string) string {
	_, s, _ = strings.Cut(s, after)
	s, _, _ = strings.Cut(s, before)
	return s
}

// The body is what was sent, or there is none and a word why.
func TestABodyThatCannotBeShownSaysWhy(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	x, _ := a.sent(id, 7)
	path := base + "/" + id + "/deliveries/"
	state := func(attempt *webhooksv1.Attempt) string {
		r := a.send("GET", path+attempt.GetId(), "", "Accept-Language", "nl")
		require.Equal(t, http.StatusOK, r.status, r.raw)
		request, _ := r.body["request"].(map[string]any)
		assert.Equal(t, request["body_state"] == "shown", request["body"] != nil)
		assert.Equal(t, request["body_state"] == "shown", request["body_note"] == "")
		return fmt.Sprint(request["body_state"])
	}
	assert.Equal(t, "shown", state(x))
	a.events.err = errors.New("nats: timeout at 10.0.0.1")
	assert.Equal(t, "unavailable", state(x))
	a.events.err = nil
	longer := payload.Sample(event.ReportGenerated, &webhooksv1.Project{Id: "p1"}, "evt1", time.Now())
	a.kept(7, longer)
	assert.Equal(t, "changed", state(x))
	longer.Id = "evt2"
	a.kept(7, longer)
	assert.Equal(t, "gone", state(x), "another event has its place: the stream was made again")
	a.events.kept[7].Data = []byte("{")
	assert.Equal(t, "changed", state(x))
	delete(a.events.kept, 7)
	assert.Equal(t, "gone", state(x))
	test := failure(webhooksv1.Reason_REASON_STATUS, 500, webhooksv1.Outcome_OUTCOME_EXHAUSTED)
	test.Trigger = webhooksv1.Trigger_TRIGGER_TEST
	a.record("p1", id, test)
	assert.Equal(t, "test", state(test))
}

func TestAnAttemptWithoutRequestOrText(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	expired := &webhooksv1.Attempt{Outcome: webhooksv1.Outcome_OUTCOME_EXPIRED, EventId: "e1"}
	binary := failure(webhooksv1.Reason_REASON_STATUS, 500, webhooksv1.Outcome_OUTCOME_RETRY)
	binary.Response = &webhooksv1.Response{Body: []byte{0xff, 0xfe, 0}}
	cut := failure(webhooksv1.Reason_REASON_STATUS, 500, webhooksv1.Outcome_OUTCOME_RETRY)
	cut.Response = &webhooksv1.Response{Body: []byte("caf\xc3"), Truncated: true}
	a.record("p1", id, expired, binary, cut)
	get := func(x *webhooksv1.Attempt) map[string]any {
		r := a.send("GET", base+"/"+id+"/deliveries/"+x.GetId(), "")
		require.Equal(t, http.StatusOK, r.status, r.raw)
		return r.body
	}
	r := get(expired)
	assert.Nil(t, r["request"])
	assert.Nil(t, r["response"])
	assert.Contains(t, r["message"], "no longer kept")
	response, _ := get(binary)["response"].(map[string]any)
	assert.Equal(t, "//4A", response["body"])
	assert.Equal(t, "base64", response["body_encoding"])
	response, _ = get(cut)["response"].(map[string]any)
	assert.Equal(t, "caf", response["body"])
	assert.Equal(t, "utf-8", response["body_encoding"])
}

// An attempt that an earlier version recorded reads as it did, where it said more.
func TestAnAttemptOfAnEarlierVersionStaysReadable(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	old := failure(webhooksv1.Reason_REASON_CERTIFICATE, 0, webhooksv1.Outcome_OUTCOME_RETRY)
	old.Timing, old.Detail = nil, "The receiver's certificate expired at 2026-01-01 00:00:00 UTC."
	a.record("p1", id, old)
	path := base + "/" + id + "/deliveries/" + old.GetId()
	assert.Equal(t, old.GetDetail(), a.send("GET", path, "").body["message"])
	assert.Contains(t, a.send("GET", path, "", "Accept-Language", "nl").body["message"], "niet geldig")
}

func TestStatisticsOfAWebhook(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	path := base + "/" + id + "/statistics"
	a.record("p1", id, &webhooksv1.Attempt{DurationUs: 10_000}, &webhooksv1.Attempt{DurationUs: 10_000},
		failure(webhooksv1.Reason_REASON_TIMEOUT, 0, webhooksv1.Outcome_OUTCOME_RETRY))
	r := a.send("GET", path, "")
	require.Equal(t, http.StatusOK, r.status, r.raw)
	assert.Len(t, r.body["hours"], 168)
	day, _ := r.body["last_24_hours"].(map[string]any)
	assert.EqualValues(t, 3, day["attempts"])
	assert.EqualValues(t, 2, day["delivered"])
	assert.EqualValues(t, 1, day["failed"])
	assert.Equal(t, map[string]any{"timeout": 1.0}, day["failed_by_reason"])
	assert.InEpsilon(t, 10, day["p50_ms"], 0.1)
	first, _ := r.body["hours"].([]any)[0].(map[string]any)
	assert.Nil(t, first["p50_ms"])
	last, _ := r.body["last_failure"].(map[string]any)
	assert.Equal(t, "timeout", last["reason"])
	assert.Equal(t, http.StatusOK, a.send("HEAD", path, "").status)
	a.record("p1", id, &webhooksv1.Attempt{DurationUs: 10_000})
	assert.Nil(t, a.send("GET", path, "").body["last_failure"], "it works again")
}

// What was given up is missed until it arrives, for one webhook and for all.
func TestStatisticsSayWhetherAnythingIsMissed(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	missed := func() any {
		one := a.send("GET", base+"/"+id+"/statistics", "").body["last_missed_at"]
		all, _ := a.send("GET", base+"/statistics", "").body["webhooks"].([]any)
		require.Len(t, all, 1)
		among, _ := all[0].(map[string]any)
		assert.Equal(t, one, among["last_missed_at"])
		return one
	}
	assert.Nil(t, missed())
	given := failure(webhooksv1.Reason_REASON_TIMEOUT, 0, webhooksv1.Outcome_OUTCOME_EXHAUSTED)
	given.DeliveryId = "dlv_missed"
	a.record("p1", id, given, &webhooksv1.Attempt{})
	assert.Equal(t, given.GetStartedAt().AsTime().Format("2006-01-02T15:04:05.000Z"), missed())
	a.record("p1", id, &webhooksv1.Attempt{DeliveryId: "dlv_missed", Trigger: webhooksv1.Trigger_TRIGGER_REPLAY})
	assert.Nil(t, missed())
}

// What an overview shows of all webhooks, in one request.
func TestStatisticsOfAProject(t *testing.T) {
	a := newAPI(t)
	a.create("p2", minimal) // of others
	quiet, busy := a.create("p1", minimal).id(), a.create("p1", minimal).id()
	a.record("p1", busy, &webhooksv1.Attempt{DurationUs: 10_000}, &webhooksv1.Attempt{DurationUs: 10_000},
		failure(webhooksv1.Reason_REASON_TIMEOUT, 0, webhooksv1.Outcome_OUTCOME_RETRY))
	r := a.send("GET", base+"/statistics", "", "Accept-Language", "nl")
	require.Equal(t, http.StatusOK, r.status, r.raw)
	webhooks, _ := r.body["webhooks"].([]any)
	require.Len(t, webhooks, 2)
	newest, _ := webhooks[0].(map[string]any)
	oldest, _ := webhooks[1].(map[string]any)
	assert.Equal(t, []any{busy, quiet}, []any{newest["webhook_id"], oldest["webhook_id"]})
	hours, _ := newest["hours"].([]any)
	require.Len(t, hours, 24)
	var delivered, failed float64
	for _, h := range hours {
		hour, _ := h.(map[string]any)
		up, _ := hour["delivered"].(float64)
		down, _ := hour["failed"].(float64)
		delivered, failed = delivered+up, failed+down
	}
	assert.Equal(t, []float64{2, 1}, []float64{delivered, failed})
	attempt, _ := newest["last_failure"].(map[string]any)
	require.NotNil(t, attempt, r.raw)
	assert.Contains(t, attempt["message"], "niet op tijd")
	assert.Len(t, oldest["hours"], 24)
	assert.Nil(t, oldest["last_failure"])
}
