package app_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/app"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 30 * time.Second
	often    = 10 * time.Millisecond
	base     = "/api/projects/p1/webhooks"
	minimal  = `{"url":"https://example.org/hook","events":["report.generated"],"secret":"12345678"}`
)

// world is an api with everything real around it but the dispatcher.
type world struct {
	t     *testing.T
	mongo *mongotest.Server
	nats  *natstest.Server
	app   *app.App
	stop  func() error
}

// prepare starts the servers, and makes an app that is not running yet.
func prepare(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, mongo: mongotest.StartEmbedded(t), nats: natstest.Start(t, natstest.Embedded())}
	w.app = w.newApp()
	return w
}

func (w *world) newApp() *app.App {
	w.t.Helper()
	made, err := app.New(w.config(), zap.NewNop())
	require.NoError(w.t, err)
	return made
}

func (w *world) config() app.Config {
	w.t.Helper()
	dir := w.t.TempDir()
	keyset, err := secret.NewKeyset()
	require.NoError(w.t, err)
	tokens := "tokens:\n  - {name: test, sha256: " + app.HashToken("good") + ", projects: [p1]}\n"
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, "keyset.json"), keyset, 0o600))
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, "tokens.yaml"), []byte(tokens), 0o600))
	c, err := app.LoadConfigFrom(map[string]string{
		"HTTP_ADDR": "127.0.0.1:0", "OPS_ADDR": "127.0.0.1:0", "ADMIN_BASE_URL": "https://dashboard.example.org",
		"MONGODB_URI": w.mongo.URI(), "MONGODB_DATABASE": w.mongo.Database(), "NATS_URL": w.nats.URL(),
		"SECRETS_KEYSET_FILE": filepath.Join(dir, "keyset.json"), "STATIC_TOKENS_FILE": filepath.Join(dir, "tokens.yaml"),
	})
	require.NoError(w.t, err)
	return c
}

// run runs the app until the test ends, or stop is called.
func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.app.Run(ctx) }()
	w.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	w.t.Cleanup(func() {
		assert.NoError(w.t, w.stop())
		http.DefaultClient.CloseIdleConnections()
	})
}

func start(t *testing.T) *world {
	t.Helper()
	w := prepare(t)
	w.run()
	w.wantReady()
	return w
}

func (w *world) wantReady() {
	w.t.Helper()
	select {
	case <-w.app.Ready():
	case <-time.After(patience):
		w.t.Fatal("not ready")
	}
}

func (w *world) send(method, path, body string) (int, map[string]any) {
	request, err := http.NewRequestWithContext(context.Background(), method, w.app.URL()+path, strings.NewReader(body))
	if err != nil {
		return 0, nil
	}
	request.Header.Set("Authorization", "Bearer good")
	return do(request)
}

func do(request *http.Request) (int, map[string]any) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close() //nolint:errcheck // it is read to its end
	raw, _ := io.ReadAll(response.Body)
	var decoded map[string]any
	_ = json.Unmarshal(raw, &decoded)
	return response.StatusCode, decoded
}

func (w *world) create() string {
	w.t.Helper()
	status, made := w.send("POST", base, minimal)
	require.Equal(w.t, http.StatusCreated, status, made)
	id, _ := made["id"].(string)
	return id
}

func (w *world) opsStatus(path string) int {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+w.app.OpsAddr()+path, nil)
	if err != nil {
		return 0
	}
	status, _ := do(request)
	return status
}

// bucket reads a registration; nil when it is not there.
func (w *world) held(js jetstream.JetStream, id string) *webhooksv1.Registration {
	kv, err := js.KeyValue(w.t.Context(), topology.BucketWebhooks)
	if err != nil {
		return nil
	}
	entry, err := kv.Get(w.t.Context(), topology.KeyRegistration("p1", id))
	if err != nil {
		return nil
	}
	r := &webhooksv1.Registration{}
	if proto.Unmarshal(entry.Value(), r) != nil {
		return nil
	}
	return r
}

func (w *world) jetstream() jetstream.JetStream {
	w.t.Helper()
	js, err := jetstream.New(w.nats.Connect(w.t))
	require.NoError(w.t, err)
	return js
}

func TestLifeOfARegistration(t *testing.T) {
	w := start(t)
	js := w.jetstream()
	assert.Equal(t, 200, w.opsStatus("/readyz"))
	assert.Equal(t, 200, w.opsStatus("/livez"))
	assert.Equal(t, 200, w.opsStatus("/metrics"))

	id := w.create()
	r := w.held(js, id)
	require.NotNil(t, r, "in the bucket when the request is answered")
	assert.True(t, r.GetEnabled())
	assert.NotContains(t, string(r.GetSecrets()[0].GetCiphertext()), "12345678")

	status, _ := w.send("PATCH", base+"/"+id, `{"enabled":false}`)
	require.Equal(t, 200, status)
	assert.False(t, w.held(js, id).GetEnabled())
	status, _ = w.send("PATCH", base+"/"+id, `{"enabled":true}`)
	require.Equal(t, 200, status)

	// The receiver answered 410.
	batch, err := proto.Marshal(&webhooksv1.AttemptBatch{Attempts: []*webhooksv1.Attempt{{
		Id: ulid.Make().String(), ProjectId: "p1", WebhookId: id, WebhookRevision: 3, StartedAt: timestamppb.Now(),
		Outcome: webhooksv1.Outcome_OUTCOME_GONE, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 410,
	}}})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), topology.SubjectAttempts, batch)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !w.held(js, id).GetEnabled() }, patience, often)
	_, got := w.send("GET", base+"/"+id, "")
	assert.Equal(t, false, got["enabled"])
	health, _ := got["health"].(map[string]any)
	assert.Equal(t, "disabled", health["state"])
	assert.EqualValues(t, 410, health["last_status_code"])

	status, _ = w.send("DELETE", base+"/"+id, "")
	require.Equal(t, 204, status)
	assert.True(t, w.held(js, id).GetDeleted())
}

// Both servers come up long after the api.
func TestStartsBeforeItsServers(t *testing.T) {
	w := prepare(t)
	w.mongo.Stop()
	w.nats.Shutdown()
	w.run()
	require.Eventually(t, func() bool {
		status, _ := w.send("GET", "/api/health", "")
		return status == 200
	}, patience, often)
	status, problem := w.send("POST", base, minimal)
	assert.Equal(t, 503, status)
	assert.Contains(t, problem["detail"], "cannot be read or changed")
	w.wantAway("mongodb", "nats", "start")
	assert.Equal(t, 200, w.opsStatus("/livez"))

	w.mongo.Restart()
	w.nats.Restart()
	w.wantReady()
	w.create()
	w.wantAway()
}

// Killed between the write and the projection: the next process finds it.
func TestRestartProjectsWhatWasLeft(t *testing.T) {
	w := start(t)
	w.nats.Shutdown()
	id := w.create() // MongoDB has it, the bucket cannot
	require.NoError(t, w.stop())
	w.nats.Restart()

	w.app = w.newApp()
	w.run()
	w.wantReady()
	js := w.jetstream()
	require.Eventually(t, func() bool { return w.held(js, id).GetEnabled() }, patience, often)
}

// dispatcher answers test requests as the real one does.
func (w *world) dispatcher(answer func(micro.Request)) {
	w.t.Helper()
	nc := w.nats.Connect(w.t)
	service, err := micro.AddService(nc, micro.Config{Name: "dispatcher", Version: "1.0.0"})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = service.Stop() })
	require.NoError(w.t, service.AddEndpoint("test", micro.HandlerFunc(answer), micro.WithEndpointSubject(topology.SubjectTest)))
	require.NoError(w.t, nc.Flush())
}

func TestTestDelivery(t *testing.T) {
	w := start(t)
	id := w.create()
	status, problem := w.send("POST", base+"/"+id+"/test", "")
	assert.Equal(t, 503, status)
	assert.Contains(t, problem["detail"], "not running")

	fail := true
	w.dispatcher(func(request micro.Request) {
		if fail {
			_ = request.Error("500", "cannot open secret", nil)
			return
		}
		given := &webhooksv1.TestRequest{}
		if err := proto.Unmarshal(request.Data(), given); err != nil {
			return
		}
		reply, _ := proto.Marshal(&webhooksv1.TestReply{Attempt: &webhooksv1.Attempt{
			WebhookId: given.GetRegistration().GetId(), Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: 200,
		}})
		_ = request.Respond(reply)
	})
	status, problem = w.send("POST", base+"/"+id+"/test", "")
	assert.Equal(t, 503, status)
	assert.NotContains(t, problem["detail"], "secret")

	fail = false
	status, got := w.send("POST", base+"/"+id+"/test", "")
	assert.Equal(t, 200, status)
	assert.Equal(t, true, got["success"])
	assert.Equal(t, id, got["webhook_id"])
}

// What was begun is finished, nothing new is taken, and nothing is an error.
func TestDrain(t *testing.T) {
	w := start(t)
	id := w.create()
	asked, finish := make(chan struct{}), make(chan struct{})
	w.dispatcher(func(request micro.Request) {
		close(asked)
		<-finish
		reply, _ := proto.Marshal(&webhooksv1.TestReply{Attempt: &webhooksv1.Attempt{Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED}})
		_ = request.Respond(reply)
	})
	status := make(chan int, 1)
	go func() {
		got, _ := w.send("POST", base+"/"+id+"/test", "")
		status <- got
	}()
	<-asked
	stopped := make(chan error, 1)
	go func() { stopped <- w.stop() }()
	require.Eventually(t, func() bool { return w.opsStatus("/readyz") == 503 }, patience, often)
	require.Eventually(t, func() bool {
		got, _ := w.send("GET", "/api/health", "")
		return got == 0
	}, patience, often)
	close(finish)
	assert.Equal(t, 200, <-status)
	require.NoError(t, <-stopped)
}

func TestNewRefuses(t *testing.T) {
	w := prepare(t)
	taken := strings.TrimPrefix(w.app.URL(), "http://")
	for name, change := range map[string]func(*app.Config){
		"settings": func(c *app.Config) { c.MaxWebhooksPerProject = 0 },
		"keyset":   func(c *app.Config) { c.SecretsKeysetFile = c.StaticTokensFile },
		"tokens":   func(c *app.Config) { c.StaticTokensFile = c.SecretsKeysetFile },
		"port":     func(c *app.Config) { c.HTTPAddr = taken },
	} {
		c := w.config()
		change(&c)
		_, err := app.New(c, zap.NewNop())
		require.Error(t, err, name)
	}
	require.NoError(t, w.app.Close())

	c := w.config()
	c.MongoDBURI = "nonsense://user:hunter2@one"
	broken, err := app.New(c, zap.NewNop())
	require.NoError(t, err)
	err = broken.Run(t.Context())
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
}
