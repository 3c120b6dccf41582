package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/api/internal/httpapi"
)

const keyHeader = "Idempotency-Key"

func (a *api) count() int {
	a.t.Helper()
	list, err := a.store.List(a.t.Context(), "p1")
	require.NoError(a.t, err)
	return len(list)
}

// B18: the answer was lost, so the request is sent again.
func TestTheSameKeyMakesOneWebhook(t *testing.T) {
	var deps httpapi.Deps
	a := newAPIWith(t, func(d *httpapi.Deps) { deps = *d }, func(*http.Server) {})
	body := strings.TrimSuffix(minimal, "}") + `,"secret":"12345678"}`
	first := a.send("POST", base, body, keyHeader, "k-1")
	require.Equal(t, 201, first.status, first.raw)
	assert.Empty(t, first.header.Get("Idempotent-Replayed"))
	assert.Equal(t, "good", first.body["created_by"])

	again := a.send("POST", base+"/", "\ufeff"+body, keyHeader, "k-1")
	assert.Equal(t, 201, again.status)
	assert.Equal(t, first.raw, again.raw)
	assert.Equal(t, "true", again.header.Get("Idempotent-Replayed"))
	assert.Equal(t, 1, a.count())

	// Also of another replica, and of one that was started since.
	deps.Metrics = httpapi.NewMetrics(prometheus.NewRegistry())
	server, err := httpapi.New(deps)
	require.NoError(t, err)
	other := httptest.NewServer(server.Handler)
	t.Cleanup(other.Close)
	replica := &api{t: t, url: other.URL}
	assert.Equal(t, first.raw, replica.send("POST", base, body, keyHeader, "k-1").raw)

	// It stays the same answer, whatever has become of the webhook.
	a.send("PATCH", base+"/"+first.id(), `{"name":"another"}`)
	assert.Equal(t, first.raw, a.send("POST", base, body, keyHeader, "k-1").raw)
	a.send("DELETE", base+"/"+first.id(), "")
	assert.Equal(t, first.raw, a.send("POST", base, body, keyHeader, "k-1").raw)
	assert.Equal(t, 0, a.count())
}

func TestAKeyIsForOneBodyOneCallerAndOnePath(t *testing.T) {
	a := newAPI(t)
	require.Equal(t, 201, a.send("POST", base, minimal, keyHeader, "k").status)
	a.wantProblem(a.send("POST", base, strings.Replace(minimal, "hook", "other", 1), keyHeader, "k"), 422, "used with another body")
	assert.Equal(t, 1, a.count())
	assert.Equal(t, 201, a.send("POST", base, minimal, keyHeader, "k", "Authorization", "Bearer all").status)
	assert.Equal(t, 201, a.send("POST", base, minimal, keyHeader, "l").status)
	assert.Equal(t, 3, a.count())
	r := a.send("POST", "/api/projects/p2/webhooks", minimal, keyHeader, "k")
	assert.Equal(t, 201, r.status)
	assert.Equal(t, "p2", r.body["project_id"])
	assert.Equal(t, 201, a.send("POST", base, minimal).status, "without a key, each one makes one")
	assert.Equal(t, 4, a.count())
}

func TestKeysThatAreNone(t *testing.T) {
	a := newAPI(t)
	for _, key := range []string{"", "two words", "tab\tx", "é", strings.Repeat("x", 256)} {
		r := a.send("POST", base, minimal, keyHeader, key)
		a.wantProblem(r, 422, "1 to 255 visible ASCII characters")
		assert.Contains(t, r.raw, `"field":"Idempotency-Key"`)
	}
	assert.Equal(t, 0, a.count())
	assert.Equal(t, 201, a.send("POST", base, minimal, keyHeader, strings.Repeat("~", 255)).status)
}

// What had no effect may be tried again with the same key.
func TestAKeyIsGivenBackWithARefusal(t *testing.T) {
	a := newAPI(t)
	var last string
	for range limit {
		last = a.create("p1", minimal).id()
	}
	a.wantProblem(a.send("POST", base, minimal, keyHeader, "k"), 409, "the most it can have")
	a.wantProblem(a.send("POST", base, `{}`, keyHeader, "l"), 422, "The URL is missing")
	a.send("DELETE", base+"/"+last, "")
	assert.Equal(t, 201, a.send("POST", base, minimal, keyHeader, "l").status)
	a.wantProblem(a.send("POST", base, minimal, keyHeader, "k"), 409, "the most it can have")
}

func TestTheSameKeyAtTheSameMoment(t *testing.T) {
	a := newAPI(t)
	var group sync.WaitGroup
	ids := make([]string, 12)
	for i := range ids {
		group.Go(func() { ids[i] = a.send("POST", base, minimal, keyHeader, "k").id() })
	}
	group.Wait()
	for _, id := range ids {
		assert.NotEmpty(t, id)
		assert.Equal(t, ids[0], id)
	}
	assert.Equal(t, 1, a.count())
}
