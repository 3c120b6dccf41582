package httpapi_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
)

// record puts attempts into the log as the recorder does. What is left out is that
// of a delivery that went well.
func (a *api) record(project, webhookID string, list ...*webhooksv1.Attempt) {
	a.t.Helper()
	var entries []*webhooksv1.LogEntry
	for _, x := range list {
		if x.GetStartedAt() == nil {
			x.StartedAt = timestamppb.Now()
		}
		id := ulid.MustNew(ulid.Timestamp(x.GetStartedAt().AsTime()), ulid.DefaultEntropy())
		x.Id, x.ProjectId, x.WebhookId = id.String(), project, webhookID
		if x.GetOutcome() == 0 {
			x.Outcome, x.StatusCode = webhooksv1.Outcome_OUTCOME_DELIVERED, 200
		}
		if x.GetTrigger() == 0 {
			x.Trigger = webhooksv1.Trigger_TRIGGER_EVENT
		}
		entries = append(entries, activity.Entry(x, id))
	}
	_, err := a.store.InsertAttempts(a.t.Context(), list)
	require.NoError(a.t, err)
	require.NoError(a.t, a.store.AppendLog(a.t.Context(), project, webhookID, entries, func(string) bool { return false }))
}

// attemptList is what a list says.
type attemptList struct {
	Data []struct {
		ID, EventID, Event, Status, Message, Advice string
		StatusCode                                  *int `json:"status_code"`
		StartedAt                                   time.Time
	} `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

func (a *api) listed(path string) attemptList {
	a.t.Helper()
	r := a.send("GET", path, "")
	require.Equal(a.t, http.StatusOK, r.status, r.raw)
	var list attemptList
	require.NoError(a.t, json.Unmarshal([]byte(r.raw), &list))
	return list
}

func (l attemptList) ids() []string {
	ids := make([]string, len(l.Data))
	for i, x := range l.Data {
		ids[i] = x.ID
	}
	return ids
}

func failure(reason webhooksv1.Reason, status uint32, outcome webhooksv1.Outcome) *webhooksv1.Attempt {
	return &webhooksv1.Attempt{
		Outcome: outcome, Reason: reason, StatusCode: status, EventType: event.ReportGenerated, EventId: "e-failed", DeliveryId: "d-failed",
		Timing: &webhooksv1.Timing{WaitUs: 1}, Request: &webhooksv1.Request{Url: "https://example.org/hook", BodyBytes: 2},
	}
}

func TestDeliveriesAreListedInWords(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	path := base + "/" + id + "/deliveries"
	assert.Empty(t, a.listed(path).Data)
	const retry, exhausted = webhooksv1.Outcome_OUTCOME_RETRY, webhooksv1.Outcome_OUTCOME_EXHAUSTED
	late := failure(webhooksv1.Reason_REASON_TIMEOUT, 0, exhausted)
	late.Timing.EndedIn, late.DurationUs = webhooksv1.Phase_PHASE_WAIT, 15_000_000
	a.record("p1", id, failure(webhooksv1.Reason_REASON_STATUS, 404, retry))
	a.record("p1", id, late)
	a.record("p1", id, &webhooksv1.Attempt{DurationUs: 12_000})

	list := a.listed(path)
	require.Len(t, list.Data, 3)
	assert.Nil(t, list.NextCursor)
	assert.Contains(t, list.Data[0].Message, "Delivered: the receiver answered 200 OK in 12 ms.")
	assert.Contains(t, list.Data[1].Message, "Timed out after 15.0 s: the receiver took the request and did not answer.")
	assert.Contains(t, list.Data[1].Advice, "Send it again")
	assert.Contains(t, list.Data[2].Message, "404 Not Found: nothing is listening at this URL.")
	assert.NotContains(t, a.send("GET", path, "").raw, "example.org", "lists have no URL")

	dutch := a.send("GET", path, "", "Accept-Language", "nl-NL,nl;q=0.9,en;q=0.8")
	assert.Equal(t, "nl", dutch.header.Get("Content-Language"))
	assert.Contains(t, dutch.raw, "bestaat daar niet")
	assert.Equal(t, http.StatusOK, a.send("HEAD", path, "").status)
}

func TestDeliveriesAreFiltered(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	path := base + "/" + id + "/deliveries"
	began := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	gone := failure(webhooksv1.Reason_REASON_STATUS, 410, webhooksv1.Outcome_OUTCOME_GONE)
	gone.StartedAt = timestamppb.New(began)
	expired := &webhooksv1.Attempt{Outcome: webhooksv1.Outcome_OUTCOME_EXPIRED, EventId: "e-expired", Trigger: webhooksv1.Trigger_TRIGGER_REPLAY, ReplayId: "r-1"}
	a.record("p1", id, &webhooksv1.Attempt{EventId: "e-good", DeliveryId: "d-good", EventType: event.ConversationStarted})
	a.record("p1", id, failure(webhooksv1.Reason_REASON_THROTTLED, 429, webhooksv1.Outcome_OUTCOME_RETRY), gone, expired)
	for query, want := range map[string]int{
		"":                                 4,
		"status=delivered":                 1,
		"status=failed":                    1,
		"status=pending":                   1,
		"status=ended":                     1,
		"outcome=gone":                     1,
		"outcome=exhausted":                0,
		"trigger=replay":                   1,
		"trigger=test":                     0,
		"event=conversation.started":       1,
		"event_id=e-failed":                2,
		"delivery_id=d-good":               1,
		"replay_id=r-1":                    1,
		"replay_id=r-2":                    0,
		"status_code=429":                  1,
		"status_code=4xx":                  2,
		"status_code=2xx":                  1,
		"status_code=4XX&status=pending":   1,
		"since=" + stamp(began):            4,
		"since=" + stamp(began.Add(1e9)):   3,
		"until=" + stamp(began):            0,
		"until=" + stamp(began.Add(1e9)):   1,
		"limit=2":                          2,
		"event_id=e-good&status=delivered": 1,
		"unknown=1":                        4,
	} {
		assert.Len(t, a.listed(path+"?"+query).Data, want, query)
	}
	for query, names := range map[string]string{
		"status=good": "status", "outcome=fine": "outcome", "trigger=me": "trigger", "event=a.b": "event", "event_id=a%20b": "event_id",
		"delivery_id=" + strings.Repeat("d", 65): "delivery_id", "replay_id=": "replay_id", "status_code=6xx": "status_code", "status_code=99": "status_code",
		"since=yesterday": "since", "until=2026-01-20": "until", "limit=0": "limit", "limit=251": "limit", "limit=x": "limit",
		"order=newer": "order", "order=": "order",
	} {
		r := a.send("GET", path+"?"+query, "")
		a.wantProblem(r, http.StatusUnprocessableEntity, names+" must be")
	}
}

func stamp(at time.Time) string { return url.QueryEscape(at.Format(time.RFC3339)) }

// Walking the cursor shows what was there at the start once, whatever comes.
func TestTheCursorIsStable(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	path := base + "/" + id + "/deliveries?limit=30"
	few := func(n int) []*webhooksv1.Attempt {
		list := make([]*webhooksv1.Attempt, n)
		for i := range list {
			list[i] = &webhooksv1.Attempt{EventId: fmt.Sprint("e", i)}
		}
		return list
	}
	before := few(333)
	a.record("p1", id, before...)
	var want, got []string
	for _, x := range before {
		want = append(want, x.GetId())
	}
	for list := a.listed(path); ; list = a.listed(path + "&cursor=" + *list.NextCursor) {
		got = append(got, list.ids()...)
		assert.True(t, slices.IsSortedFunc(list.ids(), func(a, b string) int { return strings.Compare(b, a) }), "newest first")
		if list.NextCursor == nil {
			break
		}
		a.record("p1", id, few(7)...)
	}
	slices.Sort(want)
	slices.Sort(got)
	assert.Equal(t, want, got)
}

// From the oldest on, it is the same the other way round, with cursors of its own.
func TestDeliveriesFromTheOldest(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	path := base + "/" + id + "/deliveries?limit=30&order="
	list := make([]*webhooksv1.Attempt, 333)
	for i := range list {
		list[i] = &webhooksv1.Attempt{EventId: fmt.Sprint("e", i)}
	}
	a.record("p1", id, list...)
	var got, want []string
	for page := a.listed(path + "oldest"); ; page = a.listed(path + "oldest&cursor=" + *page.NextCursor) {
		assert.True(t, slices.IsSorted(page.ids()))
		if got = append(got, page.ids()...); page.NextCursor == nil {
			break
		}
		a.wantProblem(a.send("GET", path+"newest&cursor="+*page.NextCursor, ""), http.StatusUnprocessableEntity, "cursor must be")
	}
	for _, x := range list {
		want = append(want, x.GetId())
	}
	slices.Sort(want)
	assert.ElementsMatch(t, want, got)
	first := a.listed(path + "newest")
	assert.Equal(t, a.listed(base+"/"+id+"/deliveries?limit=30").ids(), first.ids())
	a.wantProblem(a.send("GET", path+"oldest&cursor="+*first.NextCursor, ""), http.StatusUnprocessableEntity, "cursor must be")
}

// A filter that finds nothing looks through a part of the log, and the cursor goes
// on.
func TestAFilterGoesOnWithTheCursor(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	path := base + "/" + id + "/deliveries?event_id=needle"
	a.record("p1", id, &webhooksv1.Attempt{EventId: "needle"})
	for range 30 { // some 60 pages
		list := make([]*webhooksv1.Attempt, 200)
		for i := range list {
			list[i] = &webhooksv1.Attempt{EventId: "hay"}
		}
		a.record("p1", id, list...)
	}
	first := a.listed(path)
	assert.Empty(t, first.Data)
	require.NotNil(t, first.NextCursor)
	second := a.listed(path + "&cursor=" + *first.NextCursor)
	assert.Len(t, second.Data, 1)
	assert.Nil(t, second.NextCursor)
}

// A cursor is ours and this webhook's, or it is none.
func TestCursorsCannotBeMade(t *testing.T) {
	a := newAPI(t)
	id, other, foreign := a.create("p1", minimal).id(), a.create("p1", minimal).id(), a.create("p2", minimal).id()
	cursorOf := func(project, id string) string {
		for range 3 {
			a.record(project, id, &webhooksv1.Attempt{})
		}
		list := a.listed("/api/projects/" + project + "/webhooks/" + id + "/deliveries?limit=1")
		require.NotNil(t, list.NextCursor)
		return *list.NextCursor
	}
	good := cursorOf("p1", id)
	path := base + "/" + id + "/deliveries?cursor="
	assert.Len(t, a.listed(path+good).Data, 2)
	raw, err := base64.RawURLEncoding.DecodeString(good)
	require.NoError(t, err)
	bad := []string{
		cursorOf("p1", other), cursorOf("p2", foreign), good + "A", good[1:], good + "=", strings.ToUpper(good), "1", "0", "-1", "null",
		base64.RawURLEncoding.EncodeToString([]byte("log1:2")), strings.Repeat("A", 300), "%00", "..%2f..",
	}
	for i := range raw {
		changed := slices.Clone(raw)
		changed[i] ^= 1
		bad = append(bad, base64.RawURLEncoding.EncodeToString(changed))
	}
	// A secret of the webhook is sealed with the same keys and is no cursor.
	signed := a.create("p1", `{"url":"https://example.org/hook","events":["report.generated"],"secret":"log1:2222"}`).id()
	w, err := a.store.Load(t.Context(), signed)
	require.NoError(t, err)
	a.wantProblem(a.send("GET", base+"/"+signed+"/deliveries?cursor="+base64.RawURLEncoding.EncodeToString(w.Secrets[0].Ciphertext), ""),
		http.StatusUnprocessableEntity, "cursor must be")
	for _, cursor := range bad {
		a.wantProblem(a.send("GET", path+cursor, ""), http.StatusUnprocessableEntity, "cursor must be")
	}
}

// Ids of attempts say nothing to whoever may not see their webhook.
func TestForeignAttempts(t *testing.T) {
	a := newAPI(t)
	id, other, foreign := a.create("p1", minimal).id(), a.create("p1", minimal).id(), a.create("p2", minimal).id()
	own, stranger := &webhooksv1.Attempt{}, &webhooksv1.Attempt{}
	a.record("p1", id, own)
	a.record("p2", foreign, stranger)
	require.Equal(t, http.StatusOK, a.send("GET", base+"/"+id+"/deliveries/"+own.GetId(), "").status)
	for _, path := range []string{
		id + "/deliveries/" + stranger.GetId(), other + "/deliveries/" + own.GetId(), id + "/deliveries/" + ulid.Make().String(),
		id + "/deliveries/x", id + "/deliveries/%00", id + "/deliveries/" + strings.Repeat("x", 300),
		id + "/deliveries/" + own.GetId()[1:],
	} {
		a.wantProblem(a.send("GET", base+"/"+path, ""), http.StatusNotFound, "Attempt not found")
	}
	for _, path := range []string{foreign + "/deliveries/" + stranger.GetId(), foreign + "/deliveries", foreign + "/statistics"} {
		a.wantProblem(a.send("GET", base+"/"+path, ""), http.StatusNotFound, "Webhook not found")
	}
	require.Equal(t, http.StatusNoContent, a.send("DELETE", base+"/"+id, "").status)
	a.wantProblem(a.send("GET", base+"/"+id+"/deliveries/"+own.GetId(), ""), http.StatusNotFound, "Webhook not found")
}

// kept stores an event where attempts find it, and returns what was sent of it.
func (a *api) kept(sequence uint64, e *webhooksv1.Event) []byte {
	a.t.Helper()
	data, err := protojson.Marshal(e)
	require.NoError(a.t, err)
	if a.events.kept == nil {
		a.events.kept = map[uint64]*jetstream.RawStreamMsg{}
	}
	a.events.kept[sequence] = &jetstream.RawStreamMsg{Header: nats.Header{"Content-Type": {"application/json"}}, Data: data}
	return payload.Renderer{AdminBaseURL: "https://dashboard.example.org"}.Append(nil, e)
}

// An answer says how far it looked, also where it found nothing.
func TestAListSaysHowFarItLooked(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	path := base + "/" + id + "/deliveries"
	assert.Nil(t, a.send("GET", path, "").body["searched_to"], "there is nothing to look at")
	oldest, newest := &webhooksv1.Attempt{DeliveryId: "dlv_1"}, &webhooksv1.Attempt{DeliveryId: "dlv_2"}
	a.record("p1", id, oldest, newest)
	at := func(x *webhooksv1.Attempt) string {
		return x.GetStartedAt().AsTime().Format("2006-01-02T15:04:05.000Z")
	}
	for query, want := range map[string]*webhooksv1.Attempt{
		"?limit=1": newest, "": oldest, "?status=failed": oldest, "?order=oldest&limit=1": oldest, "?order=oldest&status=failed": newest,
	} {
		assert.Equal(t, at(want), a.send("GET", path+query, "").body["searched_to"], query)
	}
}
