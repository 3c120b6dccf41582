package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// keyed is a body with headers, on top of minimal.
func keyed(headers string) string {
	return strings.TrimSuffix(minimal, "}") + `,"headers":` + headers + "}"
}

// wantHeaders opens what is stored.
func (a *api) wantHeaders(id string, want map[string]string) {
	a.t.Helper()
	stored, err := a.store.Load(a.t.Context(), id)
	require.NoError(a.t, err)
	got := map[string]string{}
	for _, header := range stored.Headers {
		text, err := a.box.Open(header.Ciphertext, "p1", secret.ForHeader(id, header.Name))
		require.NoError(a.t, err)
		got[header.Name] = text.Reveal()
	}
	assert.Equal(a.t, want, got)
}

func TestHeadersAreWriteOnly(t *testing.T) {
	a := newAPI(t)
	r := a.create("p1", keyed(`{"X-Api-Key":"hunter2-a","authorization":"Bearer hunter2-b","X-Gone":null}`))
	assert.Equal(t, []any{"authorization", "X-Api-Key"}, r.body["header_names"])
	a.wantHeaders(r.id(), map[string]string{"X-Api-Key": "hunter2-a", "authorization": "Bearer hunter2-b"})
	a.reply = &webhooksv1.Attempt{Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: 200}
	path := base + "/" + r.id()
	for _, answer := range []reply{
		r, a.send("GET", path, ""), a.send("GET", base, ""), a.send("GET", path+"/copyable", ""), a.send("POST", path+"/test", ""),
		a.send("GET", base+"/copyable", "", "Authorization", "Bearer all"), a.send("PATCH", path, `{"name":"CRM"}`),
	} {
		assert.Less(t, answer.status, 300, answer.raw)
		assert.NotContains(t, answer.raw, "hunter2")
	}
	assert.Len(t, a.tried.GetRegistration().GetHeaders(), 2, "a test has them, sealed as they are stored")
	assert.NotContains(t, fmt.Sprint(a.tried), "hunter2")
	assert.Equal(t, []any{}, a.create("p1", minimal).body["header_names"])
	assert.Equal(t, []any{}, a.create("p1", keyed("null")).body["header_names"])
}

func TestPatchingHeaders(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", keyed(`{"X-Api-Key":"one","Authorization":"two"}`)).id()
	for _, step := range []struct {
		patch string
		want  map[string]string
	}{
		{`{"name":"CRM"}`, map[string]string{"X-Api-Key": "one", "Authorization": "two"}},
		{`{"headers":null}`, map[string]string{"X-Api-Key": "one", "Authorization": "two"}},
		{`{"headers":{}}`, map[string]string{"X-Api-Key": "one", "Authorization": "two"}},
		{`{"headers":{"x-api-key":"three"}}`, map[string]string{"x-api-key": "three", "Authorization": "two"}},
		{`{"headers":{"X-More":"four","AUTHORIZATION":null}}`, map[string]string{"x-api-key": "three", "X-More": "four"}},
		{`{"headers":{"X-Never-Was":null}}`, map[string]string{"x-api-key": "three", "X-More": "four"}},
		{`{"url":"https://elsewhere.example/"}`, map[string]string{"x-api-key": "three", "X-More": "four"}},
		{`{"headers":{"X-Api-Key":null,"X-More":null}}`, map[string]string{}},
	} {
		r := a.send("PATCH", base+"/"+id, step.patch)
		require.Equal(t, http.StatusOK, r.status, r.raw)
		names, _ := r.body["header_names"].([]any)
		assert.Len(t, names, len(step.want), step.patch)
		a.wantHeaders(id, step.want)
	}
	a.wantProblem(a.send("PATCH", base+"/"+id, `{"headers":{"X-Key":"v"}}`, "Authorization", "Bearer low-tier"),
		http.StatusForbidden, "changemaker")
}

func TestAWebhookHasEightHeadersAtMost(t *testing.T) {
	a := newAPI(t)
	headers := func(from, to int, value any) string {
		all := map[string]any{}
		for i := from; i < to; i++ {
			all[fmt.Sprintf("X-Key-%d", i)] = value
		}
		raw, err := json.Marshal(all)
		require.NoError(t, err)
		return string(raw)
	}
	a.wantProblem(a.send("POST", base, keyed(headers(0, 9, "v"))), http.StatusUnprocessableEntity, "at most 8 headers")
	id := a.create("p1", keyed(headers(0, 8, strings.Repeat("v", 1024)))).id()
	a.wantProblem(a.send("PATCH", base+"/"+id, `{"headers":{"X-More":"v"}}`), http.StatusUnprocessableEntity, "at most 8 headers")
	r := a.send("PATCH", base+"/"+id, `{"headers":{"X-More":"v","x-key-0":null}}`)
	assert.Equal(t, http.StatusOK, r.status, r.raw)
	assert.Len(t, r.body["header_names"], 8)
}

func TestRefusedHeaders(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	for given, want := range map[string]string{
		`"Authorization: x"`:            "headers must be an object of texts.",
		`["Authorization"]`:             "headers must be an object of texts.",
		`{"X-Api-Key":7}`:               "headers must be an object of texts.",
		`{"X-Api-Key":["a"]}`:           "headers must be an object of texts.",
		`{"Host":"hunter2"}`:            "Host cannot be set",
		`{"X-Api-Key: hunter2":"v"}`:    "The name of a header must consist of",
		`{"X-Api-Key":"hunter2\u000a"}`: "printable characters",
		`{"X-Api-Key":""}`:              "must have a value",
		`{"A":"hunter2","a":"v"}`:       "given twice",
	} {
		for _, r := range []reply{a.send("POST", base, keyed(given)), a.send("PATCH", base+"/"+id, `{"headers":`+given+`}`)} {
			a.wantProblem(r, http.StatusUnprocessableEntity, want)
			errors, _ := r.body["errors"].([]any)
			require.Len(t, errors, 1)
			first, _ := errors[0].(map[string]any)
			assert.Equal(t, "headers", first["field"])
			assert.NotContains(t, r.raw, "hunter2")
		}
	}
	a.wantHeaders(id, map[string]string{})
}

// The names of what was sent are shown, with a mask in the place of each value.
func TestAnAttemptShowsTheNamesOfItsHeaders(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", keyed(`{"X-Api-Key":"hunter2"}`)).id()
	x, _ := a.sent(id, 7)
	x.Request.HeaderNames = []string{"X-Api-Key", "authorization"}
	x.Id = ""
	a.record("p1", id, x)
	r := a.send("GET", base+"/"+id+"/deliveries/"+x.GetId(), "")
	require.Equal(t, http.StatusOK, r.status, r.raw)
	request, _ := r.body["request"].(map[string]any)
	assert.Contains(t, request["headers"], map[string]any{"name": "X-Api-Key", "value": "***"})
	assert.Contains(t, request["headers"], map[string]any{"name": "authorization", "value": "***"})

	r = a.send("GET", base+"/"+id+"/copyable", "")
	assert.Equal(t, []any{"X-Api-Key"}, r.body["header_names"])
	headers, _ := r.body["headers"].([]any)
	last, _ := headers[len(headers)-1].(map[string]any)
	assert.Equal(t, "X-Api-Key", last["name"])
	assert.Equal(t, "***", last["example"])
}
