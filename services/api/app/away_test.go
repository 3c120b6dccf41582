package app_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/services/api/app"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/mongotest/mongoproxy"
)

// wantAway waits until operators are told that these are away, or nothing, and
// checks that the api is ready all the same.
func (w *world) wantAway(names ...string) {
	w.t.Helper()
	require.EventuallyWithT(w.t, func(c *assert.CollectT) {
		request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.app.OpsAddr()+"/readyz", nil)
		require.NoError(c, err)
		status, told := do(request)
		assert.Equal(c, 200, status)
		assert.Equal(c, true, told["ready"])
		away, _ := told["away"].(map[string]any)
		var got []string
		for name, why := range away {
			assert.NotEmpty(c, why)
			got = append(got, name)
		}
		if len(names) == 0 {
			assert.Empty(c, got)
		}
		assert.Subset(c, got, names)
	}, patience, often)
}

const dashboard = "https://dashboard.example.org"

// fetch is a request of the dashboard, from a browser.
func (w *world) fetch(method, path, body string) (status int, header http.Header, answered string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), method, w.app.URL()+path, strings.NewReader(body))
	require.NoError(w.t, err)
	request.Header.Set("Authorization", "Bearer good")
	request.Header.Set("Origin", dashboard)
	response, err := http.DefaultClient.Do(request)
	require.NoError(w.t, err)
	defer response.Body.Close() //nolint:errcheck // it is read to its end
	raw, err := io.ReadAll(response.Body)
	require.NoError(w.t, err)
	return response.StatusCode, response.Header, string(raw)
}

// A16: the api stays where the dashboard finds it, and says what it can.
func TestServesWhileItsServersAreAway(t *testing.T) {
	w := &world{t: t, mongo: mongotest.StartEmbedded(t), nats: natstest.Start(t, natstest.Embedded())}
	config := w.config()
	config.CORSOrigins = []string{dashboard}
	var err error
	w.app, err = app.New(config, zap.NewNop())
	require.NoError(t, err)
	w.run()
	w.wantReady()
	id := w.create()
	w.wantAway()

	w.mongo.Stop()
	w.wantAway("mongodb")
	for _, row := range []struct{ method, path, body string }{
		{"GET", base, ""},
		{"GET", base + "/" + id, ""},
		{"POST", base, minimal},
		{"PATCH", base + "/" + id, `{"enabled":false}`},
		{"DELETE", base + "/" + id, ""},
		{"POST", base + "/" + id + "/test", ""},
	} {
		status, header, body := w.fetch(row.method, row.path, row.body)
		assert.Equal(t, 503, status, row)
		assert.Equal(t, "application/problem+json", header.Get("Content-Type"))
		assert.NotEmpty(t, header.Get("Retry-After"))
		assert.Equal(t, dashboard, header.Get("Access-Control-Allow-Origin"))
		assert.Contains(t, header.Get("Access-Control-Expose-Headers"), "Retry-After")
		assert.NotContains(t, body, "127.0.0.1")
	}
	status, health := w.send("GET", "/api/health", "")
	assert.Equal(t, 200, status)
	assert.Equal(t, "ok", health["status"])
	w.mongo.Restart()
	w.wantAway()

	w.nats.Shutdown()
	w.wantAway("nats")
	status, _ = w.send("GET", base, "")
	assert.Equal(t, 200, status, "nothing of it needs NATS")
	status, header, _ := w.fetch("POST", base+"/"+id+"/test", "")
	assert.Equal(t, 503, status)
	assert.NotEmpty(t, header.Get("Retry-After"))
	assert.Equal(t, 200, w.opsStatus("/livez"))
	w.nats.Restart()
	w.wantAway()
}

// behind puts a proxy before the database of a world that does not run yet.
func behind(t *testing.T) (*world, *mongoproxy.Proxy) {
	t.Helper()
	w := &world{t: t, mongo: mongotest.StartEmbedded(t), nats: natstest.Start(t, natstest.Embedded())}
	proxy := mongoproxy.StartReplicaSet(t, w.mongo.URI())
	config := w.config()
	config.MongoDBURI = proxy.URI()
	var err error
	w.app, err = app.New(config, zap.NewNop())
	require.NoError(t, err)
	return w, proxy
}

// C3: a slow build of an index holds nobody up.
func TestServesWhileIndexesBuild(t *testing.T) {
	w, proxy := behind(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	held := proxy.On(mongoproxy.Rule{Command: "createIndexes", Match: func(document bson.Raw) bool {
		return document.Lookup("indexes", "0", "name").StringValue() != "slot"
	}}, mongoproxy.Hold(release))
	w.run()
	w.wantReady()
	w.create()
	require.Eventually(t, func() bool { return held.Struck() == 1 }, patience, often)
	w.create()
}

// Requests other than a create need no index at all.
func TestServesBeforeTheIndexOnSlots(t *testing.T) {
	w, proxy := behind(t)
	release := make(chan struct{})
	held := proxy.On(mongoproxy.Rule{Command: "createIndexes"}, mongoproxy.Hold(release))
	w.run()
	require.Eventually(t, func() bool { return held.Struck() >= 1 }, patience, often)
	require.Eventually(t, func() bool {
		status, _ := w.send("GET", base, "")
		return status == 200
	}, patience, often)
	status, _ := w.send("POST", base, minimal)
	assert.Equal(t, 503, status)
	w.wantAway("start")
	close(release)
	w.wantReady()
	w.create()
}

// A primary that was replaced and does not know it yet has nobody buried.
func TestLaggingPrimaryBuriesNothing(t *testing.T) {
	w, proxy := behind(t)
	w.run()
	w.wantReady()
	id := w.create()
	js := w.jetstream()
	require.True(t, w.held(js, id).GetEnabled())

	config := w.config()
	config.MongoDBURI = proxy.URI()
	lagging := proxy.On(mongoproxy.Rule{Command: "find", Collection: "webhooks", Match: func(document bson.Raw) bool {
		return document.Lookup("readConcern").Validate() != nil
	}}, mongoproxy.FindNothing(w.mongo.Database()))
	require.NoError(t, app.Project(context.Background(), config, zap.NewNop()))
	assert.GreaterOrEqual(t, lagging.Struck(), 2, "the list and the webhook")
	assert.True(t, w.held(js, id).GetEnabled())
	assert.False(t, w.held(js, id).GetDeleted())
}
