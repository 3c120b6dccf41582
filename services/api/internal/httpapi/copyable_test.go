package httpapi_test

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
	"github.com/dembrane/webhooks/services/api/internal/testdelivery"
)

type copyable struct {
	ID        string   `json:"id"`
	ProjectID string   `json:"project_id"`
	Name      string   `json:"name"`
	URL       string   `json:"url"`
	Events    []string `json:"events"`
	HasSecret bool     `json:"has_secret"`
	Headers   []struct {
		Name       string `json:"name"`
		Value      string `json:"value"`
		Example    string `json:"example"`
		NeedSecret bool   `json:"only_with_secret"`
	} `json:"headers"`
	Samples []struct {
		Event     string `json:"event"`
		Body      string `json:"body"`
		Signature string `json:"signature_with_example_secret"`
	} `json:"samples"`
	Verification []struct {
		Language string `json:"language"`
		Code     string `json:"code"`
	} `json:"verification"`
}

func TestCopyable(t *testing.T) {
	a := newAPI(t)
	made := a.create("p1", `{"name":"CRM","url":"https://example.org/","events":["report.generated"],"secret":"my-very-own-secret"}`)
	r := a.send("GET", base+"/"+made.id()+"/copyable", "")
	require.Equal(t, 200, r.status, r.raw)
	assert.NotContains(t, r.raw, "my-very-own-secret")
	var got copyable
	require.NoError(t, json.Unmarshal([]byte(r.raw), &got))
	assert.Equal(t, "CRM", got.Name)
	assert.Equal(t, "https://example.org/", got.URL)
	assert.Equal(t, []string{"report.generated"}, got.Events)
	assert.True(t, got.HasSecret)

	names := map[string]bool{}
	for _, h := range got.Headers {
		names[h.Name] = h.NeedSecret
		assert.NotEmpty(t, h.Value, h.Name)
		assert.NotEmpty(t, h.Example, h.Name)
	}
	assert.Equal(t, map[string]bool{
		"Content-Type": false, "User-Agent": false, "X-Dembrane-Event": false, "X-Webhook-Event": false,
		"X-Dembrane-Delivery": false, "X-Dembrane-Attempt": false, "X-Dembrane-Signature": true, "X-Webhook-Signature": true,
		"webhook-id": true, "webhook-timestamp": true, "webhook-signature": true,
	}, names)

	var events []string
	for _, s := range got.Samples {
		events = append(events, s.Event)
		var body struct {
			Event   string `json:"event"`
			Project struct {
				ID   string `json:"id"`
				Name string `json:"name"`
			} `json:"project"`
		}
		require.NoError(t, json.Unmarshal([]byte(s.Body), &body))
		assert.Equal(t, s.Event, body.Event)
		assert.Equal(t, "p1", body.Project.ID)
		assert.Equal(t, "Town talks", body.Project.Name)
		assert.True(t, signature.VerifyBody("example-secret", s.Signature, []byte(s.Body)))
	}
	assert.Equal(t, append(event.Subscribable(), event.Test), events)
	again := a.send("GET", base+"/"+made.id()+"/copyable", "")
	assert.Equal(t, r.raw, again.raw, "the same every time")
}

// Who sets up a webhook for a chat sees the messages that it gets.
func TestCopyableInAFormat(t *testing.T) {
	a := newAPI(t)
	made := a.create("p1", `{"url":"https://example.org/","events":["report.generated"],"format":"discord"}`)
	r := a.send("GET", base+"/"+made.id()+"/copyable", "")
	require.Equal(t, 200, r.status, r.raw)
	assert.Equal(t, "discord", r.body["format"])
	var got copyable
	require.NoError(t, json.Unmarshal([]byte(r.raw), &got))
	for _, s := range got.Samples {
		assert.Contains(t, s.Body, `"allowed_mentions":{"parse":[]}`, s.Event)
	}
	// Samples of another format can be had; the webhook's own stays what it is.
	r = a.send("GET", base+"/"+made.id()+"/copyable?format=slack", "")
	require.Equal(t, 200, r.status, r.raw)
	assert.Equal(t, "discord", r.body["format"])
	require.NoError(t, json.Unmarshal([]byte(r.raw), &got))
	assert.Contains(t, got.Samples[0].Body, `"blocks":[`)
	r = a.send("GET", base+"/"+made.id()+"/copyable?format=json", "")
	require.NoError(t, json.Unmarshal([]byte(r.raw), &got))
	assert.Contains(t, got.Samples[0].Body, `"project":{"id":"p1"`)
	a.wantProblem(a.send("GET", base+"/"+made.id()+"/copyable?format=fax", ""), 422, "no such format")
}

func TestSnippets(t *testing.T) {
	a := newAPI(t)
	made := a.create("p1", minimal)
	var got copyable
	require.NoError(t, json.Unmarshal([]byte(a.send("GET", base+"/"+made.id()+"/copyable", "").raw), &got))
	code := map[string]string{}
	for _, v := range got.Verification {
		code[v.Language] = v.Code
	}
	assert.Contains(t, code["python"], "    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()\n")
	assert.Contains(t, code["python"], "    return hmac.compare_digest(expected, signature_header)\n")
	assert.Contains(t, code["node"], "timingSafeEqual")
	_, err := parser.ParseFile(token.NewFileSet(), "verify.go", code["go"], parser.SkipObjectResolution)
	require.NoError(t, err)
}

func TestCopyableElsewhere(t *testing.T) {
	a := newAPI(t)
	a.create("p1", minimal)
	older, newer := a.create("p2", minimal), a.create("p2", `{"name":"New","url":"https://example.org/","events":["report.generated"]}`)
	foreign := a.sendAll("POST", "/api/projects/p3/webhooks", minimal)
	list := func(r reply) []string {
		t.Helper()
		require.Equal(t, 200, r.status, r.raw)
		var found []map[string]any
		require.NoError(t, json.Unmarshal([]byte(r.raw), &found))
		ids := []string{}
		for _, w := range found {
			ids = append(ids, fmt.Sprint(w["id"]))
			assert.Len(t, w, 7)
		}
		return ids
	}
	r := a.send("GET", base+"/copyable", "")
	assert.Equal(t, []string{newer.id(), older.id()}, list(r))
	assert.JSONEq(t, fmt.Sprintf(`{"id":%q,"name":"New","url":"https://example.org/","events":["report.generated"],"format":"json","project_id":"p2","project_name":"Second"}`,
		newer.id()), firstOf(t, r.raw))
	// Access first, then the page: what is not the caller's takes no room in it.
	assert.Equal(t, []string{newer.id()}, list(a.send("GET", base+"/copyable?limit=1", "")))
	assert.Equal(t, []string{older.id()}, list(a.send("GET", base+"/copyable?limit=1&offset=1", "")))
	assert.Empty(t, list(a.send("GET", base+"/copyable?offset=2", "")))
	r = a.sendAll("GET", base+"/copyable", "")
	assert.Equal(t, []string{foreign.id(), newer.id(), older.id()}, list(r))
	assert.Equal(t, 2, strings.Count(r.raw, `"project_name":"Second"`))
	assert.Equal(t, 1, strings.Count(r.raw, `"project_name":null`), "nobody knows what it is called")
	for _, query := range []string{"limit=0", "limit=251", "limit=x", "offset=-1"} {
		a.wantProblem(a.send("GET", base+"/copyable?"+query, ""), 422, "must be a number")
	}
	// A list without its names would not say that anything is missing.
	require.Equal(t, 201, a.sendAll("POST", "/api/projects/p-unnameable/webhooks", minimal).status)
	a.wantProblem(a.sendAll("GET", base+"/copyable", ""), 503, "")
}

// sendAll is send by somebody who manages every project.
func (a *api) sendAll(method, path, body string) reply {
	a.t.Helper()
	return a.send(method, path, body, "Authorization", "Bearer all")
}

func firstOf(t *testing.T, raw string) string {
	t.Helper()
	var list []json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(raw), &list))
	require.NotEmpty(t, list)
	return string(list[0])
}

func TestTestDelivery(t *testing.T) {
	a := newAPI(t)
	made := a.create("p1", `{"url":"https://example.org/","events":["report.generated"],"secret":"12345678","enabled":false}`)
	path := base + "/" + made.id() + "/test"
	at := time.Date(2026, 1, 20, 12, 0, 0, 0, time.UTC)
	a.reply = &webhooksv1.Attempt{
		Id: "att", DeliveryId: "dlv", EventId: "evt", WebhookId: made.id(), StartedAt: timestamppb.New(at), DurationUs: 12345,
		Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: 202, Response: &webhooksv1.Response{Body: []byte("ok \xff")},
	}
	r := a.send("POST", path, "")
	require.Equal(t, 200, r.status, r.raw)
	assert.JSONEq(t, fmt.Sprintf(`{
		"success": true, "status_code": 202, "message": "Delivered: the receiver answered 202 Accepted in 12 ms. The webhook is off: no events are sent to it.",
		"advice": "Switch the webhook on to have them sent.", "timing": null,
		"outcome": "delivered", "reason": "none", "detail": "", "duration_ms": 12, "response_body": "ok \ufffd", "response_truncated": false,
		"webhook_id": %q, "event_id": "evt", "delivery_id": "dlv", "attempt_id": "att", "started_at": "2026-01-20T12:00:00.000Z"
	}`, made.id()), r.raw)

	stored, err := a.store.Get(t.Context(), "p1", made.id())
	require.NoError(t, err)
	assert.Equal(t, stored.Secrets[0].Ciphertext, a.tried.GetRegistration().GetSecrets()[0].GetCiphertext(), "sealed as it is stored")
	assert.Equal(t, "Town talks", a.tried.GetProjectName())
	assert.Equal(t, "nl", a.tried.GetProjectLanguage())

	for _, row := range []struct {
		attempt *webhooksv1.Attempt
		message string
		code    any
	}{
		{failure(webhooksv1.Reason_REASON_STATUS, 404, 0), "The receiver answered 404 Not Found: nothing is listening at this URL.", 404.0},
		{failure(webhooksv1.Reason_REASON_ADDRESS_FORBIDDEN, 0, 0), "The URL leads to an address where deliveries are not allowed to go.", nil},
		{ // what a product says in its own way
			&webhooksv1.Attempt{Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 404, Cause: webhooksv1.Cause_CAUSE_CHAT_GONE},
			"The receiver answered 404 Not Found: the chat's webhook no longer exists or was switched off.", 404.0,
		},
	} {
		row.attempt.Outcome = webhooksv1.Outcome_OUTCOME_EXHAUSTED
		a.reply = row.attempt
		r := a.send("POST", path, "")
		assert.Equal(t, 200, r.status)
		assert.Equal(t, false, r.body["success"])
		assert.Equal(t, row.message, r.body["message"])
		assert.Equal(t, row.code, r.body["status_code"])
	}
}

func TestTestDeliveryNotMade(t *testing.T) {
	a := newAPI(t)
	path := base + "/" + a.create("p1", minimal).id() + "/test"
	for err, detail := range map[error]string{
		testdelivery.ErrNoDispatcher: "the part that makes deliveries is not running",
		testdelivery.ErrTimeout:      "took too long",
		testdelivery.ErrRefused:      "a fault on our side",
	} {
		a.replyErr = fmt.Errorf("ask dispatcher at internal: %w", err)
		a.wantProblem(a.send("POST", path, ""), 503, detail)
	}
	require.NoError(t, a.store.Delete(t.Context(), "p1", a.lastID()))
	a.wantProblem(a.send("POST", path, ""), 404, "Webhook not found")
}

func (a *api) lastID() string {
	a.t.Helper()
	var list []store.Webhook
	list, err := a.store.List(a.t.Context(), "p1")
	require.NoError(a.t, err)
	return list[0].ID
}

// A test can be of any event and in any format, whatever the webhook has.
func TestATestSendsTheSampleThatIsAskedFor(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	path := "/api/projects/p1/webhooks/" + id + "/test"
	a.reply = &webhooksv1.Attempt{
		Outcome: webhooksv1.Outcome_OUTCOME_RETRY, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 404, DurationUs: 12_000,
		StartedAt: timestamppb.Now(), Timing: &webhooksv1.Timing{DnsUs: 1500, WaitUs: 9000},
	}
	r := a.send("POST", path, `{"event":"report.generated","format":"slack"}`)
	require.Equal(t, 200, r.status, r.raw)
	assert.Equal(t, "report.generated", a.tried.GetEventType())
	assert.Equal(t, "slack", a.tried.GetRegistration().GetFormat())
	assert.Equal(t, map[string]any{"dns_ms": 1.5, "connect_ms": 0.0, "tls_ms": 0.0, "wait_ms": 9.0}, r.body["timing"])

	for _, nothing := range []string{"", "null", "\ufeff null\n", "{}"} {
		r = a.send("POST", path, nothing)
		require.Equal(t, 200, r.status, r.raw)
		assert.Equal(t, "webhook.test", a.tried.GetEventType())
		assert.Empty(t, a.tried.GetRegistration().GetFormat())
	}

	a.wantProblem(a.send("POST", path, `{"event":"no.such"}`), 400, "does not exist")
	a.wantProblem(a.send("POST", path, `{"format":"fax"}`), 422, "no such format")
	a.wantProblem(a.send("POST", path, `[]`), 422, "JSON object")
}
