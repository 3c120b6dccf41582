package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const base = "/api/projects/p1/webhooks"

func TestHealth(t *testing.T) {
	a := newAPI(t)
	r := a.send("GET", "/api/health", "", "Authorization", "")
	assert.Equal(t, http.StatusOK, r.status)
	assert.JSONEq(t, `{"status":"ok"}`, r.raw)
}

func TestCreateAndGet(t *testing.T) {
	a := newAPI(t)
	r := a.create("p1", `{
		"name": "  CRM ", "description": "for sales", "url": "HTTPS://Example.ORG./hook?x=1",
		"events": ["report.generated", "conversation.started"], "secret": "geheim-wörd",
		"future_field": {"a": [1]}, "enabled": null
	}`)
	var keys []string
	for key := range r.body {
		keys = append(keys, key)
	}
	assert.ElementsMatch(t, []string{
		"id", "project_id", "name", "description", "url", "events", "format", "enabled", "status",
		"has_secret", "previous_secret_valid_until", "header_names", "max_per_second", "in_force", "health",
		"created_by", "date_created", "date_updated",
	}, keys)
	assert.Equal(t, "p1", r.body["project_id"])
	assert.Equal(t, "CRM", r.body["name"])
	assert.Equal(t, "for sales", r.body["description"])
	assert.Equal(t, "https://example.org/hook?x=1", r.body["url"])
	assert.Equal(t, []any{"report.generated", "conversation.started"}, r.body["events"])
	assert.Equal(t, true, r.body["enabled"])
	assert.Equal(t, "published", r.body["status"])
	assert.Equal(t, true, r.body["has_secret"])
	assert.Nil(t, r.body["previous_secret_valid_until"])
	assert.Equal(t, map[string]any{
		"state": "ok", "failing_since": nil, "last_success_at": nil, "last_attempt_at": nil,
		"last_status_code": nil, "disabled_reason": nil,
	}, r.body["health"])
	for _, key := range []string{"date_created", "date_updated"} {
		text, _ := r.body[key].(string)
		at, err := time.Parse("2006-01-02T15:04:05.000Z", text)
		require.NoError(t, err, text)
		assert.WithinDuration(t, time.Now(), at, time.Minute)
	}
	assert.NotContains(t, r.raw, "geheim")
	assert.Equal(t, []string{"p1." + r.id()}, a.projected)

	got := a.send("GET", base+"/"+r.id(), "")
	assert.Equal(t, http.StatusOK, got.status)
	assert.JSONEq(t, r.raw, got.raw)

	// The secret is stored sealed, for this webhook alone.
	stored, err := a.store.Get(t.Context(), "p1", r.id())
	require.NoError(t, err)
	require.Len(t, stored.Secrets, 1)
	opened, err := a.box.Open(stored.Secrets[0].Ciphertext, "p1", r.id())
	require.NoError(t, err)
	assert.Equal(t, "geheim-wörd", opened.Reveal())
	for _, line := range a.logs.All() {
		assert.NotContains(t, line.ContextMap(), "geheim")
	}
}

func TestFormat(t *testing.T) {
	a := newAPI(t)
	made := a.create("p1", minimal)
	assert.Equal(t, "json", made.body["format"])
	made = a.create("p1", `{"url":"https://example.org/hook","events":["report.generated"],"format":"slack"}`)
	assert.Equal(t, "slack", made.body["format"])
	path := base + "/" + made.id()
	for _, step := range []struct{ given, want string }{
		{`{"name":"x"}`, "slack"}, {`{"format":null,"name":"y"}`, "slack"}, {`{"format":"google_chat"}`, "google_chat"}, {`{"format":"json"}`, "json"},
	} {
		changed := a.send("PATCH", path, step.given)
		require.Equal(t, http.StatusOK, changed.status, changed.raw)
		assert.Equal(t, step.want, changed.body["format"], step.given)
		stored, err := a.store.Get(t.Context(), "p1", made.id())
		require.NoError(t, err)
		assert.Equal(t, strings.TrimPrefix(step.want, "json"), stored.Registration().GetFormat())
	}
	for _, given := range []string{`{"format":""}`, `{"format":"Slack"}`, `{"format":"xml"}`, `{"format":7}`} {
		assert.Equal(t, http.StatusUnprocessableEntity, a.send("PATCH", path, given).status, given)
	}
}

func TestCreateDefaults(t *testing.T) {
	a := newAPI(t)
	for _, body := range []string{minimal, `{"url":"https://example.org/hook","events":["report.generated"],"name":"","secret":"","description":""}`} {
		r := a.create("p1", body)
		assert.Equal(t, "example.org", r.body["name"])
		assert.Empty(t, r.body["description"])
		assert.Equal(t, false, r.body["has_secret"])
		assert.Equal(t, true, r.body["enabled"])
	}
	for given, want := range map[string][]any{
		`"enabled":false`:                      {false, "draft"},
		`"status":"archived"`:                  {false, "archived"},
		`"status":"published","enabled":true}`: {true, "published"},
	} {
		given = strings.TrimSuffix(given, "}")
		r := a.send("POST", "/api/projects/p2/webhooks/", strings.TrimSuffix(minimal, "}")+","+given+"}")
		require.Equal(t, http.StatusCreated, r.status, r.raw)
		assert.Equal(t, want, []any{r.body["enabled"], r.body["status"]})
	}
}

func TestList(t *testing.T) {
	a := newAPI(t)
	for _, path := range []string{base, base + "/"} {
		r := a.send("GET", path, "")
		assert.Equal(t, http.StatusOK, r.status)
		assert.JSONEq(t, "[]", r.raw)
	}
	first, second := a.create("p1", minimal), a.create("p1", minimal) // two may share a URL
	a.create("p2", minimal)
	var list []struct {
		ID string `json:"id"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.send("GET", base+"/", "").raw), &list))
	require.Len(t, list, 2)
	assert.Equal(t, second.id(), list[0].ID, "newest first")
	assert.Equal(t, first.id(), list[1].ID)
}

func TestPatch(t *testing.T) {
	a := newAPI(t)
	made := a.create("p1", `{"name":"CRM","url":"https://example.org/","events":["report.generated"],"secret":"12345678"}`)
	path := base + "/" + made.id()
	field := func(body, name string) any {
		t.Helper()
		r := a.send("PATCH", path, body)
		require.Equal(t, http.StatusOK, r.status, r.raw)
		return r.body[name]
	}
	assert.Equal(t, "Other", field(`{"name":"Other"}`, "name"))
	assert.Equal(t, "https://example.com/", field(`{"url":"https://EXAMPLE.com/"}`, "url"))
	assert.Equal(t, "text", field(`{"description":"text"}`, "description"))
	assert.Equal(t, []any{"conversation.started"}, field(`{"events":["conversation.started"]}`, "events"))
	assert.Equal(t, true, field(`{"name":null,"secret":null,"events":null,"status":null}`, "has_secret"))
	assert.Equal(t, "Other", field(`{}`, "name"))
	assert.Equal(t, false, field(`{"secret":""}`, "has_secret"))
	assert.Equal(t, true, field(`{"secret":"another one"}`, "has_secret"))
	assert.Equal(t, "draft", field(`{"enabled":false}`, "status"))
	assert.Equal(t, "archived", field(`{"status":"archived"}`, "status"))
	assert.Equal(t, "archived", field(`{"enabled":false}`, "status"))
	assert.Equal(t, "published", field(`{"enabled":true}`, "status"))
	assert.Equal(t, false, field(`{"status":"draft"}`, "enabled"))

	final := a.send("GET", path, "")
	assert.Equal(t, "https://example.com/", final.body["url"])
	assert.Equal(t, made.body["date_created"], final.body["date_created"])
	assert.Len(t, a.projected, 1+11, "every change, and not what changed nothing")
}

func TestMaxPerSecond(t *testing.T) {
	a := newAPI(t)
	assert.Nil(t, a.create("p1", minimal).body["max_per_second"])
	assert.Nil(t, a.create("p1", strings.TrimSuffix(minimal, "}")+`,"max_per_second":0}`).body["max_per_second"])
	made := a.create("p1", strings.TrimSuffix(minimal, "}")+`,"max_per_second":2.5}`)
	assert.InDelta(t, 2.5, made.body["max_per_second"], 0)
	path := base + "/" + made.id()
	for _, row := range []struct {
		body string
		want any
	}{
		{`{"name":"Other"}`, 2.5},
		{`{"max_per_second":null}`, 2.5},
		{`{"max_per_second":1000}`, 1000.0},
		{`{"max_per_second":0.1}`, 0.1},
		{`{"max_per_second":0}`, nil},
	} {
		r := a.send("PATCH", path, row.body)
		require.Equal(t, http.StatusOK, r.status, r.raw)
		assert.Equal(t, row.want, r.body["max_per_second"], row.body)
		stored, err := a.store.Get(t.Context(), "p1", made.id())
		require.NoError(t, err)
		limit, _ := row.want.(float64)
		assert.InDelta(t, limit, stored.Registration().GetMaxPerSecond(), 0, "the dispatcher is told")
	}
}

func TestPatchEnablesAgainWhatWasGone(t *testing.T) {
	a := newAPI(t)
	made := a.create("p1", minimal)
	_, err := a.store.Disable(t.Context(), "p1", made.id(), 1, store.DisabledGone)
	require.NoError(t, err)

	got := a.send("GET", base+"/"+made.id(), "")
	assert.Equal(t, false, got.body["enabled"])
	health, _ := got.body["health"].(map[string]any)
	assert.Equal(t, "disabled", health["state"])
	assert.Contains(t, health["disabled_reason"], "gone")

	got = a.send("PATCH", base+"/"+made.id(), `{"enabled":true}`)
	health, _ = got.body["health"].(map[string]any)
	assert.Equal(t, "ok", health["state"])
	assert.Nil(t, health["disabled_reason"])
}

func TestHealthIsShown(t *testing.T) {
	a := newAPI(t)
	made := a.create("p1", minimal)
	at := time.Date(2026, 1, 20, 12, 0, 0, 123e6, time.UTC)
	_, err := a.store.MergeHealth(t.Context(), made.id(), store.Health{FailingSince: &at, LastAttemptAt: &at, LastStatusCode: 503})
	require.NoError(t, err)
	got := a.send("GET", base+"/"+made.id(), "")
	assert.Equal(t, map[string]any{
		"state": "failing", "failing_since": "2026-01-20T12:00:00.123Z", "last_success_at": nil,
		"last_attempt_at": "2026-01-20T12:00:00.123Z", "last_status_code": 503.0, "disabled_reason": nil,
	}, got.body["health"])
}

func TestDelete(t *testing.T) {
	a := newAPI(t)
	made := a.create("p1", minimal)
	r := a.send("DELETE", base+"/"+made.id(), "")
	assert.Equal(t, http.StatusNoContent, r.status)
	assert.Empty(t, r.raw)
	assert.Equal(t, []string{"p1." + made.id(), "p1." + made.id()}, a.projected)
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		a.wantProblem(a.send(method, base+"/"+made.id(), `{}`), 404, "Webhook not found")
	}
	assert.JSONEq(t, "[]", a.send("GET", base, "").raw)
}

// Nasty case 40: an id of another project is the same as one that never existed.
func TestForeignAndUnknownIDs(t *testing.T) {
	a := newAPI(t)
	foreign := a.create("p2", minimal).id()
	for _, id := range []string{foreign, "01JHZ0A1B2C3D4E5F6G7H8J9K0", "a.b", "%2e%2e", strings.Repeat("x", 300), "%00"} {
		for _, row := range []struct{ method, path string }{
			{"GET", base + "/" + id},
			{"PATCH", base + "/" + id},
			{"DELETE", base + "/" + id},
			{"POST", base + "/" + id + "/test"},
			{"POST", base + "/" + id + "/secret/rotate"},
			{"DELETE", base + "/" + id + "/secret/previous"},
			{"GET", base + "/" + id + "/copyable"},
			{"GET", base + "/" + id + "/deliveries"},
			{"GET", base + "/" + id + "/deliveries/01JHZ0A1B2C3D4E5F6G7H8J9K0"},
			{"GET", base + "/" + id + "/statistics"},
		} {
			body := ""
			if row.method == "PATCH" {
				body = `{"name":"mine now"}`
			}
			a.wantProblem(a.send(row.method, row.path, body), 404, "Webhook not found")
		}
	}
	assert.Equal(t, "example.org", a.send("GET", "/api/projects/p2/webhooks/"+foreign, "").body["name"])
}

func TestLimit(t *testing.T) {
	a := newAPI(t)
	for range limit {
		a.create("p1", minimal)
	}
	a.wantProblem(a.send("POST", base, minimal), 409, "This project has 4 webhooks")
	a.create("p2", minimal)
}

func TestActions(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	for _, row := range []struct {
		method, path, body string
		want               access.Action
	}{
		{"GET", "", "", access.Read},
		{"GET", "/" + id, "", access.Read},
		{"GET", "/" + id + "/copyable", "", access.Read},
		{"GET", "/" + id + "/deliveries", "", access.Read},
		{"GET", "/" + id + "/statistics", "", access.Read},
		{"GET", "/copyable", "", access.Read},
		{"GET", "/statistics", "", access.Read},
		{"PATCH", "/" + id, `{"name":"x"}`, access.Change},
		{"PATCH", "/" + id, `{"enabled":true}`, access.Change},
		{"PATCH", "/" + id, `{"enabled":false,"name":"x"}`, access.Change},
		{"PATCH", "/" + id, `{"enabled":false,"max_per_second":1}`, access.Change},
		{"PATCH", "/" + id, `{"status":"published"}`, access.Change},
		{"PATCH", "/" + id, `{"status":"draft"}`, access.Withdraw},
		{"PATCH", "/" + id, `{"enabled":false}`, access.Withdraw},
		{"PATCH", "/" + id, `{"enabled":false,"status":"archived"}`, access.Withdraw},
		{"PATCH", "/" + id, `{"enabled":"no"}`, access.Change},
		{"DELETE", "/" + id, "", access.Withdraw},
	} {
		a.actions = nil
		a.send(row.method, base+row.path, row.body)
		assert.Equal(t, []access.Action{row.want}, a.actions, "%s %s %s", row.method, row.path, row.body)
	}
}
