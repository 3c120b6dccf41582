package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhoMayNot(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	a.projected = nil
	for _, row := range []struct {
		token, project string
		status         int
		detail         string
	}{
		{"", "p1", 401, "Invalid session"},
		{"bad", "p1", 401, "Invalid session"},
		{"bad", "p9", 401, "Invalid session"},
		{"unknown-user", "p1", 403, "User not onboarded"},
		{"good", "p9", 404, "Project not found"},
		{"good", "a.b", 404, "Project not found"},
		{"no-permission", "p1", 403, "Not allowed"},
		{"away", "p1", 503, "Permissions cannot be checked"},
		{"broken", "p1", 500, "Something went wrong on our side"},
		{"panic", "p1", 500, "Something went wrong on our side"},
	} {
		path := "/api/projects/" + row.project + "/webhooks"
		for _, request := range []struct{ method, path, body string }{
			{"GET", path, ""},
			{"POST", path, minimal},
			{"POST", path, `{"url":`}, // who may not is told nothing else
			{"GET", path + "/" + id, ""},
			{"PATCH", path + "/" + id, `{"enabled":false}`},
			{"PATCH", path + "/" + id, `{"enabled":`},
			{"DELETE", path + "/" + id, ""},
			{"POST", path + "/" + id + "/test", ""},
			{"POST", path + "/" + id + "/secret/rotate", ""},
			{"DELETE", path + "/" + id + "/secret/previous", ""},
			{"GET", path + "/" + id + "/copyable", ""},
			{"GET", path + "/" + id + "/deliveries", ""},
			{"GET", path + "/" + id + "/deliveries?cursor=x", ""},
			{"GET", path + "/" + id + "/deliveries/" + id, ""},
			{"GET", path + "/" + id + "/statistics", ""},
			{"GET", path + "/copyable", ""},
		} {
			t.Run(fmt.Sprint(row.token, " ", row.project, " ", request), func(t *testing.T) {
				r := a.send(request.method, request.path, request.body, "Authorization", "Bearer "+row.token)
				a.wantProblem(r, row.status, row.detail)
				if row.status == http.StatusUnauthorized {
					assert.Contains(t, r.header.Get("WWW-Authenticate"), "Bearer")
				}
			})
		}
	}
	assert.Empty(t, a.projected, "a rejected write has no effect")
	assert.Equal(t, true, a.send("GET", base+"/"+id, "").body["enabled"])
}

// Whoever is refused, for whatever reason, a panic included: what they sent is in
// no answer and in no log.
func TestARefusalRepeatsNoSecret(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	const canary = "canary-hunter2"
	for _, token := range []string{"", canary, "unknown-user", "no-permission", "low-tier", "away", "broken", "panic"} {
		for _, to := range [][2]string{{"POST", base}, {"PATCH", base + "/" + id}, {"POST", base + "/" + id + "/secret/rotate"}} {
			r := a.send(to[0], to[1]+"?access_token="+canary, `{"secret":"`+canary+`","url":"https://x:`+canary+`@example.org"}`,
				"Authorization", "Bearer "+token, "X-Request-Id", canary, "User-Agent", canary)
			assert.GreaterOrEqual(t, r.status, 400)
			assert.NotContains(t, r.raw+fmt.Sprint(r.header), canary)
		}
	}
	for _, line := range a.logs.All() {
		assert.NotContains(t, fmt.Sprint(line.Message, line.Stack, line.ContextMap()), canary)
	}
}

// Freeze on downgrade: looking, disabling and deleting stay possible.
func TestLowTier(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	low := func(method, path, body string) reply {
		return a.send(method, base+path, body, "Authorization", "Bearer low-tier")
	}
	const sentence = "This action requires the changemaker tier (currently innovator)."
	a.wantProblem(low("POST", "", minimal), 403, sentence)
	a.wantProblem(low("PATCH", "/"+id, `{"name":"x"}`), 403, sentence)
	a.wantProblem(low("PATCH", "/"+id, `{"enabled":true}`), 403, sentence)
	a.wantProblem(low("POST", "/"+id+"/test", ""), 403, sentence)
	assert.Equal(t, 200, low("GET", "", "").status)
	assert.Equal(t, 200, low("PATCH", "/"+id, `{"enabled":false}`).status)
	assert.Equal(t, 204, low("DELETE", "/"+id, "").status)
}

func TestTokens(t *testing.T) {
	a := newAPI(t)
	for name, row := range map[string]struct {
		cookie, authorization string
		status                int
	}{
		"bearer":                            {"", "Bearer good", 200},
		"bearer in lower case":              {"", "bearer good", 200},
		"cookie":                            {"good", "", 200},
		"the cookie wins":                   {"good", "Bearer bad", 200},
		"a bad cookie is not retried":       {"bad", "Bearer good", 401},
		"a blank cookie is none":            {"   ", "Bearer good", 200},
		"no token":                          {"", "", 401},
		"bearer without a token":            {"", "Bearer ", 401},
		"another scheme":                    {"", "Basic Z29vZA==", 401},
		"a token without a scheme":          {"", "good", 401},
		"another token":                     {"", "Bearer goo", 401},
		"a token with something behind it":  {"", "Bearer good x", 401},
		"a token that is a header's limits": {"", "Bearer " + strings.Repeat("x", 5000), 401},
	} {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+base, nil)
			require.NoError(t, err)
			if row.cookie != "" {
				request.Header.Set("Cookie", cookieName+"="+row.cookie)
			}
			if row.authorization != "" {
				request.Header.Set("Authorization", row.authorization)
			}
			assert.Equal(t, row.status, a.do(request).status)
		})
	}
}

// Another site's page cannot use the cookie; the dashboard's can, and so can
// whoever sends no cookie.
func TestCrossSiteRequests(t *testing.T) {
	a := newAPI(t)
	for _, row := range []struct {
		method, site, from, cookie string
		status                     int
	}{
		{"POST", "cross-site", "https://evil.example", "good", 403},
		{"POST", "same-site", "https://other.example.org", "good", 403},
		{"POST", "cross-site", origin, "good", 201},
		{"POST", "same-origin", a.url, "good", 201},
		{"POST", "", "", "good", 201},
		{"POST", "cross-site", "https://evil.example", "", 201},
		{"GET", "cross-site", "https://evil.example", "good", 200},
	} {
		headers := []string{"Sec-Fetch-Site", row.site, "Origin", row.from}
		if row.cookie != "" {
			headers = append(headers, "Cookie", cookieName+"="+row.cookie)
		}
		body := ""
		if row.method == "POST" {
			body = minimal
		}
		r := a.send(row.method, base, body, headers...)
		assert.Equal(t, row.status, r.status, "%+v %s", row, r.raw)
	}
}

func TestCORS(t *testing.T) {
	a := newAPI(t)
	r := a.send("OPTIONS", base, "", "Origin", origin, "Access-Control-Request-Method", "PATCH", "Access-Control-Request-Headers", "content-type")
	assert.Equal(t, 204, r.status)
	assert.Equal(t, origin, r.header.Get("Access-Control-Allow-Origin"))
	assert.Equal(t, "true", r.header.Get("Access-Control-Allow-Credentials"))
	assert.Contains(t, r.header.Get("Access-Control-Allow-Methods"), "PATCH")
	assert.Contains(t, r.header.Get("Vary"), "Origin")

	for _, method := range []string{"OPTIONS", "GET"} {
		r = a.send(method, base, "", "Origin", "https://evil.example", "Access-Control-Request-Method", "GET")
		assert.Empty(t, r.header.Get("Access-Control-Allow-Origin"))
	}
	r = a.send("GET", base+"/unknown", "", "Origin", origin)
	assert.Equal(t, origin, r.header.Get("Access-Control-Allow-Origin"), "problems can be read, too")
}

func TestRouting(t *testing.T) {
	a := newAPI(t)
	a.wantProblem(a.send("GET", "/", ""), 404, "nothing at this address")
	a.wantProblem(a.send("GET", "/api/projects/p1/nothing", ""), 404, "nothing at this address")
	a.wantProblem(a.send("POST", base+"/x/secret/nothing", "{}"), 404, "nothing at this address")
	r := a.send("PUT", base, "{}")
	a.wantProblem(r, 405, "not allowed")
	assert.Contains(t, r.header.Get("Allow"), "POST")
	a.wantProblem(a.send("GET", base+"/x/test", ""), 405, "not allowed")
	a.wantProblem(a.send("DELETE", "/api/health", ""), 405, "not allowed")
}

func TestSecurityHeaders(t *testing.T) {
	a := newAPI(t)
	for _, path := range []string{base, "/nothing"} {
		header := a.send("GET", path, "").header
		assert.Equal(t, "no-store", header.Get("Cache-Control"))
		assert.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
		assert.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'")
	}
}

// Bodies that POST and PATCH refuse alike.
func TestMalformedBodies(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	const (
		invalid = "The request body is not valid JSON."
		object  = "The request body must be a JSON object."
	)
	for given, detail := range map[string]string{
		`{"url":`:                           invalid,
		`{"url":"x"} trailing`:              invalid,
		`{'url':'x'}`:                       invalid,
		"{\"name\":\"\xff\"}":               invalid,
		`{"name":"a` + "\n" + `b"}`:         invalid,
		`null`:                              object,
		`[]`:                                object,
		`"text"`:                            object,
		`1`:                                 object,
		`{"name":1}`:                        "name must be text.",
		`{"description":[]}`:                "description must be text.",
		`{"url":{}}`:                        "url must be text.",
		`{"secret":12345678}`:               "secret must be text.",
		`{"events":"x"}`:                    "events must be a list of texts.",
		`{"events":[1]}`:                    "events must be a list of texts.",
		`{"events":[null]}`:                 "events must be a list of texts.",
		`{"events":{}}`:                     "events must be a list of texts.",
		`{"enabled":"true"}`:                "enabled must be true or false.",
		`{"enabled":1}`:                     "enabled must be true or false.",
		`{"status":true}`:                   "status must be text.",
		`{"max_per_second":"1"}`:            "max_per_second must be a number.",
		`{"max_per_second":1e999}`:          "max_per_second must be a number.",
		`{"max_per_second":-1}`:             "0.1 to 1000 attempts a second, or 0 for no limit",
		`{"max_per_second":0.01}`:           "0.1 to 1000 attempts a second, or 0 for no limit",
		`{"max_per_second":1001}`:           "0.1 to 1000 attempts a second, or 0 for no limit",
		`{"status":"deleted"}`:              "The status must be published, draft or archived.",
		`{"enabled":true,"status":"draft"}`: "contradict",
		`{"name":"   "}`:                    "The name must not be empty.",
		`{"name":"` + strings.Repeat("x", 201) + `"}`:                     "at most 200 characters",
		`{"description":"` + strings.Repeat("x", 2001) + `"}`:             "at most 2000 characters",
		`{"secret":"1234567"}`:                                            "8 to 255 bytes",
		`{"secret":"` + strings.Repeat("é", 128) + `"}`:                   "8 to 255 bytes",
		`{"secret":"1234\n5678"}`:                                         "printable",
		`{"secret":"12345678\n"}`:                                         "begin or end with a blank or a line break",
		`{"secret":"12345678\ud800"}`:                                     "printable",
		`{"secret":"whsec_???"}`:                                          "base64",
		`{"events":[]}`:                                                   "at least one event",
		`{"events":["report.generated","report.generated"]}`:              "only once",
		`{"url":"https://example.org/` + strings.Repeat("x", 2048) + `"}`: "at most 2048 bytes",
	} {
		for _, request := range []struct{ method, path string }{{"POST", base}, {"PATCH", base + "/" + id}} {
			a.wantProblem(a.send(request.method, request.path, given), 422, detail)
		}
	}
	a.wantProblem(a.send("POST", base, ""), 422, "not valid JSON")
	a.wantProblem(a.send("PATCH", base+"/"+id, `{"name":""}`), 422, "The name must not be empty.")
	assert.Len(t, a.projected, 1)
}

func TestFieldErrors(t *testing.T) {
	a := newAPI(t)
	r := a.send("POST", base, `{"name":7,"enabled":"x"}`)
	a.wantProblem(r, 422, "name must be text. enabled must be true or false.")
	assert.Equal(t, []any{
		map[string]any{"field": "name", "message": "name must be text."},
		map[string]any{"field": "enabled", "message": "enabled must be true or false."},
	}, r.body["errors"])

	r = a.send("POST", base, `{}`)
	a.wantProblem(r, 422, "The URL is missing. The events are missing.")
	r = a.send("POST", base, `{"url":"ftp://x","events":["nope"],"name":"`+strings.Repeat("x", 201)+`"}`)
	a.wantProblem(r, 400, "does not exist")
	assert.Len(t, r.body["errors"], 3)
}

func TestUnknownEventsAndBadURLs(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	for given, detail := range map[string]string{
		`{"events":["conversation.deleted"]}`:            `"conversation.deleted" does not exist; use conversation.started, conversation.transcribed, conversation.summarized, report.generated, webhook.failing, webhook.disabled or webhook.recovered.`,
		`{"events":["report.generated","webhook.test"]}`: `"webhook.test" does not exist`,
		`{"url":""}`:                                 "must not be empty",
		`{"url":"ftp://example.org"}`:                "https:// or http://",
		`{"url":"https:///x"}`:                       "name a host",
		`{"url":"https://example.org:99999"}`:        "port",
		`{"url":"https://user:hunter2@example.org"}`: "user name or a password",
		`{"url":"https://example.org/#x"}`:           "fragment",
		`{"url":"https://10.0.0.1/"}`:                "not allowed to go",
		`{"url":"https://[::1]/"}`:                   "not allowed to go",
		`{"url":"http://localhost."}`:                "localhost",
		`{"url":"http://2130706433/"}`:               "four decimal numbers",
		`{"url":"https://example.org/\nx"}`:          "control characters",
	} {
		post := strings.TrimSuffix(given, "}") + `,"secret":"12345678"` + missingFrom(given) + "}"
		a.wantProblem(a.send("POST", base, post), 400, detail)
		r := a.send("PATCH", base+"/"+id, given)
		a.wantProblem(r, 400, detail)
		assert.NotContains(t, r.raw, "hunter2")
		assert.Len(t, r.body["errors"], 1)
	}
	for _, line := range a.logs.All() {
		assert.NotContains(t, fmt.Sprint(line.ContextMap()), "hunter2")
	}
}

func missingFrom(body string) string {
	if strings.Contains(body, `"url"`) {
		return `,"events":["report.generated"]`
	}
	return `,"url":"https://example.org"`
}

func TestBodyLimit(t *testing.T) {
	a := newAPI(t)
	fill := func(size int) string {
		body := strings.TrimSuffix(minimal, "}") + `,"x":"`
		return body + strings.Repeat("x", size-len(body)-2) + `"}`
	}
	assert.Equal(t, 201, a.send("POST", base, fill(64<<10)).status)
	a.wantProblem(a.send("POST", base, fill(64<<10+1)), 413, "65536 bytes (64 KiB)")

	// Without a length: only reading tells.
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url+base, struct{ *strings.Reader }{strings.NewReader(fill(1 << 20))})
	require.NoError(t, err)
	request.ContentLength = -1
	request.Header.Set("Authorization", "Bearer good")
	a.wantProblem(a.do(request), 413, "64 KiB")
}

func TestContentType(t *testing.T) {
	a := newAPI(t)
	for given, status := range map[string]int{
		"application/json":                  201,
		"application/json; charset=utf-8":   201,
		"application/merge-patch+json":      201,
		"":                                  201,
		"text/plain":                        415,
		"application/x-www-form-urlencoded": 415,
		"nonsense;;":                        415,
	} {
		r := a.send("POST", "/api/projects/p1/webhooks", minimal, "Content-Type", given)
		if status == 415 {
			a.wantProblem(r, 415, "must be JSON")
			continue
		}
		assert.Equal(t, status, r.status, given)
	}
}

func TestStoreAway(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	a.mongo.Stop()
	for _, row := range []struct{ method, path, body string }{
		{"GET", base, ""},
		{"POST", base, minimal},
		{"PATCH", base + "/" + id, `{"enabled":false}`},
		{"GET", base + "/copyable", ""},
	} {
		began := time.Now()
		a.wantProblem(a.send(row.method, row.path, row.body), 503, "cannot be read or changed at the moment")
		assert.Less(t, time.Since(began), 6*time.Second)
	}
	assert.Equal(t, 200, a.send("GET", "/api/health", "").status)
	a.mongo.Restart()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Equal(c, 200, a.send("GET", base+"/"+id, "").status)
	}, 20*time.Second, 50*time.Millisecond)
}

func TestOneLineARequest(t *testing.T) {
	a := newAPI(t)
	id := a.create("p1", minimal).id()
	a.logs.TakeAll()
	r := a.send("GET", base+"/"+id+"?access_token=hunter2", "")
	lines := a.logs.FilterMessage("request").All()
	require.Len(t, lines, 1)
	fields := lines[0].ContextMap()
	assert.Equal(t, "/api/projects/:pid/webhooks/:id", fields["route"])
	assert.Equal(t, "GET", fields["method"])
	assert.EqualValues(t, 200, fields["status_code"])
	assert.Equal(t, "p1", fields["project_id"])
	assert.Equal(t, id, fields["webhook_id"])
	assert.Equal(t, "good", fields["caller"])
	assert.Equal(t, r.header.Get("X-Request-Id"), fields["request_id"])
	assert.NotContains(t, fmt.Sprint(fields), "hunter2")

	a.logs.TakeAll()
	a.send("GET", "/nothing/"+strings.Repeat("x", 500), "")
	assert.Equal(t, "none", a.logs.FilterMessage("request").All()[0].ContextMap()["route"])
}
