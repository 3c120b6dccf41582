package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/erase"
	"github.com/dembrane/webhooks/services/api/internal/httpapi"
	"github.com/dembrane/webhooks/services/api/internal/ledger"
	"github.com/dembrane/webhooks/services/api/internal/replay"
)

// newStoredAPI is an API whose events are in a broker. Nobody delivers them.
func newStoredAPI(t *testing.T) (*api, jetstream.JetStream) {
	t.Helper()
	js, err := jetstream.New(natstest.Start(t, natstest.Embedded()).Connect(t))
	require.NoError(t, err)
	require.NoError(t, topology.Ensure(t.Context(), js, topology.Settings{
		Replicas: 1, EventsMaxAge: time.Hour, DuplicateWindow: time.Minute,
	}))
	var erasures *erase.Service
	a := newAPIWith(t, func(deps *httpapi.Deps) {
		deps.Replays = replay.New(replay.Deps{Store: deps.Store, JS: js, Log: zap.NewNop()})
		deps.Ledger = ledger.New(ledger.Deps{Store: deps.Store, JS: js})
		erasures = erase.New(erase.Deps{Store: deps.Store, JS: js, Log: deps.Log})
		deps.Erasures = erasures
	}, func(*http.Server) {})
	a.erasures = erasures
	return a, js
}

// publish stores an event, which nobody takes in.
func publish(t *testing.T, js jetstream.JetStream, project, id string) uint64 {
	t.Helper()
	msg := nats.NewMsg(topology.SubjectEvent(project, "report.generated"))
	msg.Header.Set(nats.MsgIdHdr, id)
	msg.Data = fmt.Appendf(nil, `{"id":%q,"type":"report.generated","occurred_at":"2026-01-20T12:00:00Z","project":{"id":%q},"report":{"id":"1"}}`, id, project)
	ack, err := js.PublishMsg(t.Context(), msg)
	require.NoError(t, err)
	return ack.Sequence
}

func ago(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339) }

// Nasty case 40, for everything that this page is about: another project's is one
// that never existed.
func TestAnotherProjectsReplaysAttemptsAndEventsAreOutOfReach(t *testing.T) {
	a, js := newStoredAPI(t)
	mine, theirs := a.create("p1", minimal).id(), a.create("p2", minimal).id()
	sequence := publish(t, js, "p2", "evt_theirs")
	attempt := &webhooksv1.Attempt{
		Id: ulid.Make().String(), EventId: "evt_theirs", EventSequence: sequence, EventType: "report.generated", ProjectId: "p2",
		WebhookId: theirs, Number: 1, StartedAt: timestamppb.Now(), Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED,
	}
	_, err := a.store.InsertAttempts(t.Context(), []*webhooksv1.Attempt{attempt})
	require.NoError(t, err)
	body := `{"since":"` + ago(time.Hour) + `"}`
	started := a.send("POST", "/api/projects/p2/webhooks/"+theirs+"/replay", body)
	require.Equal(t, http.StatusAccepted, started.status, started.raw)

	for _, path := range []string{theirs, "never-there"} {
		a.wantProblem(a.send("POST", base+"/"+path+"/replay", body), http.StatusNotFound, "Webhook not found")
		a.wantProblem(a.send("GET", base+"/"+path+"/replays", ""), http.StatusNotFound, "Webhook not found")
		a.wantProblem(a.send("GET", base+"/"+path+"/ledger", ""), http.StatusNotFound, "Webhook not found")
		a.wantProblem(a.send("POST", base+"/"+path+"/deliveries/"+attempt.GetId()+"/resend", ""), http.StatusNotFound, "Webhook not found")
	}
	for _, id := range []string{started.id(), "never-there", "%00"} {
		a.wantProblem(a.send("GET", base+"/"+mine+"/replays/"+id, ""), http.StatusNotFound, "Replay not found")
		a.wantProblem(a.send("DELETE", base+"/"+mine+"/replays/"+id, ""), http.StatusNotFound, "Replay not found")
	}
	for _, id := range []string{attempt.GetId(), ulid.Make().String(), "x"} {
		a.wantProblem(a.send("POST", base+"/"+mine+"/deliveries/"+id+"/resend", ""), http.StatusNotFound, "Attempt not found")
	}
	assert.Equal(t, "running", a.send("GET", "/api/projects/p2/webhooks/"+theirs+"/replays/"+started.id(), "").body["state"])
	estimate := a.send("POST", base+"/"+mine+"/replay", `{"only":"all","dry_run":true,"since":"`+ago(time.Hour)+`"}`)
	assert.EqualValues(t, 0, estimate.body["count"], "another project's events")
	summary, _ := a.send("GET", base+"/"+mine+"/ledger", "").body["summary"].(map[string]any)
	assert.EqualValues(t, 0, summary["count"])
}

func TestReplaysThatMakeNoSenseAreRefused(t *testing.T) {
	a, _ := newStoredAPI(t)
	path := base + "/" + a.create("p1", minimal).id() + "/replay"
	since := `"since":"` + ago(time.Hour) + `"`
	for body, detail := range map[string]string{
		`{}`:                               "since",
		`{"since":"yesterday"}`:            "such as 2026",
		`{"since":"2999-01-01T00:00:00Z"}`: "future",
		`{` + since + `,"until":"2020-01-01T00:00:00Z"}`:    "after since",
		`{` + since + `,"only":"some"}`:                     "failed, missed or all",
		`{` + since + `,"max_per_second":-1}`:               "max_per_second",
		`{` + since + `,"events":["conversation.started"]}`: "not subscribed",
		`{` + since + `,"dry_run":"yes"}`:                   "dry_run",
		`[]`:                                                "object",
	} {
		a.wantProblem(a.send("POST", path, body), http.StatusUnprocessableEntity, detail)
	}
	a.wantProblem(a.send("POST", path, `{`+since+`,"events":["report.deleted"]}`), http.StatusBadRequest, "does not exist")
	a.wantProblem(a.send("POST", path, `{`+since+`}`, "Authorization", "Bearer low-tier"), http.StatusForbidden, "tier")
	assert.Equal(t, "[]\n", a.send("GET", path+"s", "").raw, "and start nothing")
}

func TestACursorOfTheLedgerIsOfItsWebhookOnly(t *testing.T) {
	a, js := newStoredAPI(t)
	one, other := a.create("p1", minimal).id(), a.create("p1", minimal).id()
	for i := range 5 {
		publish(t, js, "p1", fmt.Sprintf("evt_%d", i))
	}
	first := a.send("GET", base+"/"+one+"/ledger?limit=2", "")
	require.Equal(t, http.StatusOK, first.status, first.raw)
	cursor, _ := first.body["next_cursor"].(string)
	require.NotEmpty(t, cursor)
	assert.Nil(t, first.body["summary"])

	tampered := []byte(cursor)
	tampered[len(tampered)/2] ^= 1
	for _, bad := range []string{string(tampered), cursor[:len(cursor)-4], "x", "%%%", `{"a":0}`} {
		a.wantProblem(a.send("GET", base+"/"+one+"/ledger?cursor="+url.QueryEscape(bad), ""), http.StatusUnprocessableEntity, "not one of ours")
	}
	a.wantProblem(a.send("GET", base+"/"+other+"/ledger?cursor="+cursor, ""), http.StatusUnprocessableEntity, "not one of ours")

	publish(t, js, "p1", "evt_late") // it is not of the span that was asked for
	var seen []any
	page := first
	for {
		data, _ := page.body["data"].([]any)
		for _, line := range data {
			entry, _ := line.(map[string]any)
			seen = append(seen, entry["event_id"])
			assert.Equal(t, "2026-01-20T12:00:00.000Z", entry["occurred_at"])
		}
		next, _ := page.body["next_cursor"].(string)
		if next == "" {
			break
		}
		page = a.send("GET", base+"/"+one+"/ledger?limit=2&cursor="+next, "")
	}
	assert.Equal(t, []any{"evt_0", "evt_1", "evt_2", "evt_3", "evt_4"}, seen)
	summary, _ := page.body["summary"].(map[string]any)
	assert.EqualValues(t, 5, summary["count"])
	want := ledger.Digest("")
	for _, id := range []string{"evt_4", "evt_2", "evt_0", "evt_1", "evt_3"} {
		want = want.Add(id)
	}
	assert.Equal(t, want.String(), summary["digest"])
	a.wantProblem(a.send("GET", base+"/"+one+"/ledger?limit=0", ""), http.StatusUnprocessableEntity, "limit")
	a.wantProblem(a.send("GET", base+"/"+one+"/ledger?since=2999-01-01T00:00:00Z", ""), http.StatusUnprocessableEntity, "since")
}
