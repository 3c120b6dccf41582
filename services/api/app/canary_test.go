package app_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"pgregory.net/rapid"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/services/api/app"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
)

// logBook is everything that was logged, as it would be printed.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) Sync() error { return nil }

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// mine is an api through which secrets go that can be told from everything else.
type mine struct {
	*world

	logs *logBook
	// canaries are what must not be found anywhere, in every form that it could
	// have; answers is what callers were told.
	canaries []string
	answers  strings.Builder
}

func newMine(t *testing.T) *mine {
	t.Helper()
	m := &mine{
		world: &world{t: t, mongo: mongotest.StartEmbedded(t), nats: natstest.Start(t, natstest.Embedded())},
		logs:  &logBook{},
	}
	c := m.config()
	c.MaxWebhooksPerProject, c.RatePerSecond = 1000, 0
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), m.logs, zap.DebugLevel)
	made, err := app.New(c, zap.New(core, zap.AddCaller(), zap.AddStacktrace(zap.ErrorLevel)))
	require.NoError(t, err)
	m.app = made
	m.run()
	m.wantReady()
	return m
}

// canary makes a secret's core and remembers it in every form.
func (m *mine) canary() string {
	core := "canary" + rand.Text()
	m.remember(core)
	return core
}

func (m *mine) remember(core string) {
	m.canaries = append(m.canaries, core, hex.EncodeToString([]byte(core)))
	// Base64 of something longer begins anywhere within a group of three.
	for shift := range 3 {
		shifted := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + core))
		m.canaries = append(m.canaries, shifted[4:len(shifted)-4])
	}
}

// shape makes what is sent as a secret: good ones, and what is wrong in each way.
func shape(t *rapid.T, core string) any {
	return rapid.SampledFrom([]any{
		core, core, core,
		"whsec_" + base64.StdEncoding.EncodeToString([]byte(core)),
		"whsec_" + core + "!",
		core + "\n",
		core + "\x00",
		core + "\u200b",
		strings.Repeat(core, 12),
		[]string{core},
		map[string]any{"secret": core},
	}).Draw(t, "secret")
}

// request sends a body and notes the answer; what a rotation is meant to show is
// left out of it, and is a canary from then on.
func (m *mine) request(method, path, contentType, body string) (int, map[string]any) {
	m.t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, m.app.URL()+path, strings.NewReader(body))
	require.NoError(m.t, err)
	request.Header.Set("Authorization", "Bearer good")
	request.Header.Set("Content-Type", contentType)
	response, err := http.DefaultClient.Do(request)
	require.NoError(m.t, err)
	defer response.Body.Close() //nolint:errcheck // it is read to its end
	raw, err := io.ReadAll(response.Body)
	require.NoError(m.t, err)
	var decoded map[string]any
	_ = json.Unmarshal(raw, &decoded)
	if shown, isText := decoded["secret"].(string); isText && strings.HasSuffix(path, "/rotate") && response.StatusCode == http.StatusOK {
		raw = bytes.ReplaceAll(raw, []byte(shown), nil)
		m.remember(shown)
	}
	fmt.Fprintf(&m.answers, "%s %v\n%s\n", response.Status, response.Header, raw)
	return response.StatusCode, decoded
}

// headers are what is sent as headers: good ones, and what is wrong in each way. What
// was meant as a value may come in the place of the name.
func (m *mine) headers(t *rapid.T) []any {
	key := m.canary()
	return []any{
		map[string]any{"X-Api-Key": key, "Authorization": "Bearer " + m.canary()},
		map[string]any{"x-api-key": key},
		map[string]any{"X-Api-Key": nil},
		map[string]any{"X-Api-Key": shape(t, key), "X-Other": shape(t, m.canary())},
		map[string]any{"Authorization: Bearer " + key: ""},
		map[string]any{"Host": key},
		map[string]any{"A": key, "a": m.canary()},
		[]string{key},
		key,
	}
}

// step is one request of a host, often a wrong one.
func (m *mine) step(t *rapid.T, id string) {
	fields := map[string]any{
		"secret": shape(t, m.canary()), "url": "https://example.org/", "events": []string{"report.generated"},
	}
	for name, values := range map[string][]any{
		"url":             {"https://example.org/x", "https://10.0.0.1/", "https://user:" + m.canary() + "@example.org/", 7},
		"events":          {[]string{"report.generated"}, []string{"no.such.event"}, "report.generated"},
		"name":            {"CRM", "", 7},
		"headers":         m.headers(t),
		"status":          {"published", "draft", "nonsense"},
		"overlap_seconds": {0, 60, -1, "soon"},
	} {
		if rapid.IntRange(0, 3).Draw(t, "has "+name) == 0 {
			fields[name] = rapid.SampledFrom(values).Draw(t, name)
		}
	}
	body, err := json.Marshal(fields)
	require.NoError(t, err)
	cut := len(body)
	if rapid.IntRange(0, 9).Draw(t, "malformed") == 0 {
		cut = rapid.IntRange(0, len(body)).Draw(t, "cut")
	}
	to := rapid.SampledFrom([][2]string{
		{"POST", base},
		{"PATCH", base + "/" + id},
		{"POST", base + "/" + id + "/secret/rotate"},
		{"POST", base + "/" + id + "/test"},
		{"GET", base + "/" + id},
		{"GET", base + "/" + id + "/copyable"},
		{"GET", base},
		{"PATCH", base + "/unknown"},
		{"POST", "/api/projects/p9/webhooks"},
		{"PUT", base},
		{"POST", "/nothing"},
	}).Draw(t, "request")
	contentType := rapid.SampledFrom([]string{"application/json", "application/json", "text/plain"}).Draw(t, "type")
	_, decoded := m.request(to[0], to[1], contentType, string(body[:cut]))
	if made, isText := decoded["id"].(string); isText && to == [2]string{"POST", base} {
		m.request("DELETE", base+"/"+made, "", "")
	}
}

// stored is every document of the database, as it lies there.
func (m *mine) stored() string {
	m.t.Helper()
	client, err := mongo.Connect(m.t.Context(), options.Client().ApplyURI(m.mongo.URI()))
	require.NoError(m.t, err)
	defer func() { assert.NoError(m.t, client.Disconnect(context.Background())) }()
	db := client.Database(m.mongo.Database())
	names, err := db.ListCollectionNames(m.t.Context(), bson.D{})
	require.NoError(m.t, err)
	require.Contains(m.t, names, "webhooks")
	var all strings.Builder
	for _, name := range names {
		cursor, err := db.Collection(name).Find(m.t.Context(), bson.D{})
		require.NoError(m.t, err)
		for cursor.Next(m.t.Context()) {
			all.Write(cursor.Current)
		}
		require.NoError(m.t, cursor.Err())
	}
	return all.String()
}

// published is every message of every stream; the bucket is one of them.
func (m *mine) published() string {
	m.t.Helper()
	js := m.jetstream()
	var all strings.Builder
	names := js.StreamNames(m.t.Context())
	found := map[string]bool{}
	for name := range names.Name() {
		found[name] = true
		stream, err := js.Stream(m.t.Context(), name)
		require.NoError(m.t, err)
		info := stream.CachedInfo().State
		for sequence := info.FirstSeq; sequence <= info.LastSeq && info.Msgs > 0; sequence++ {
			message, err := stream.GetMsg(m.t.Context(), sequence)
			if err != nil {
				require.ErrorIs(m.t, err, jetstream.ErrMsgNotFound)
				continue
			}
			fmt.Fprintf(&all, "%s %v %s\n", message.Subject, message.Header, message.Data)
		}
	}
	require.NoError(m.t, names.Err())
	require.True(m.t, found["KV_WEBHOOKS"])
	return all.String()
}

func (m *mine) metrics() string {
	m.t.Helper()
	request, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, "http://"+m.app.OpsAddr()+"/metrics", nil)
	require.NoError(m.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(m.t, err)
	defer response.Body.Close() //nolint:errcheck // it is read to its end
	raw, err := io.ReadAll(response.Body)
	require.NoError(m.t, err)
	return string(raw)
}

// search looks for every canary in every place.
func (m *mine) search() {
	m.t.Helper()
	require.Greater(m.t, len(m.canaries), 100, "enough secrets went through it")
	for place, content := range map[string]string{
		"the log": m.logs.String(), "an answer": m.answers.String(), "MongoDB": m.stored(), "NATS": m.published(), "a metric": m.metrics(),
	} {
		require.NotEmpty(m.t, content, place)
		for _, canary := range m.canaries {
			if at := strings.Index(content, canary); at >= 0 {
				m.t.Fatalf("a secret is in %s: …%.300s", place, content[max(0, at-200):])
			}
		}
	}
}

// Whatever hosts send, and whatever is away while they do: a secret is in the
// answer that makes it, and nowhere else.
func TestNoSecretIsAnywhere(t *testing.T) {
	m := newMine(t)
	id := m.create()
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			m.step(t, id)
		}
	})
	assert.Contains(t, m.answers.String(), "200 OK")
	assert.Contains(t, m.answers.String(), "201 Created")
	assert.Contains(t, m.answers.String(), "422 Unprocessable")
	status, _ := m.request("PATCH", base+"/"+id, "application/json", fmt.Sprintf(`{"headers":{"Authorization":"Bearer %s"}}`, m.canary()))
	assert.Equal(t, http.StatusOK, status)

	away := func(want int) {
		t.Helper()
		body := fmt.Sprintf(`{"url":"https://example.org/x","events":["report.generated"],"secret":%q,"headers":{"X-Api-Key":%q}}`,
			m.canary(), m.canary())
		for _, to := range [][2]string{{"POST", base}, {"PATCH", base + "/" + id}, {"POST", base + "/" + id + "/secret/rotate"}} {
			status, problem := m.request(to[0], to[1], "application/json", body)
			assert.Equal(t, want, status/100, "%v", problem)
		}
	}
	m.nats.Shutdown()
	away(2) // the registration is safe, the bucket is late, and the log says so
	assert.Contains(t, m.logs.String(), "projection is late")
	m.mongo.Stop()
	away(5)
	m.mongo.Restart()
	m.nats.Restart()
	js := m.jetstream()
	require.Eventually(t, func() bool {
		status, _ := m.send("POST", base+"/"+id+"/secret/rotate", `{"overlap_seconds":0}`)
		return status == http.StatusOK && len(m.held(js, id).GetSecrets()) == 1
	}, patience, often)
	m.search()
}
