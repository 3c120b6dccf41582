package app_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	api "github.com/dembrane/webhooks/services/api/app"
	dispatcher "github.com/dembrane/webhooks/services/dispatcher/app"
	"github.com/dembrane/webhooks/services/standalone/embedded"
)

// book is everything that was written to it, by whomever.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) Sync() error { return nil }

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// mine is both services with their servers, and what must not come out of them.
type mine struct {
	system

	t      *testing.T
	folder string
	box    *secret.Box
	// logs is what all parts log, wire is every message on the broker.
	logs, wire *book
	// metrics are the addresses of both.
	metrics []string
	stop    func()

	// secrets may be nowhere. What is private may be stored, as the URL's query and
	// the transcript are, and may not be logged or counted.
	secrets, private []string
	// want is the reason that the log must have for each webhook.
	want map[string][]webhooksv1.Reason
}

func newMine(t *testing.T) *mine {
	t.Helper()
	m := &mine{t: t, folder: t.TempDir(), logs: &book{}, wire: &book{}, want: map[string][]webhooksv1.Reason{}}
	keyset, err := secret.NewKeyset()
	require.NoError(t, err)
	m.box, err = secret.OpenKeyset(keyset)
	require.NoError(t, err)
	m.token = rand.Text()
	tokens := filepath.Join(t.TempDir(), "tokens.yaml")
	require.NoError(t, os.WriteFile(tokens, []byte("tokens: [{name: host, sha256: "+api.HashToken(m.token)+`, projects: ["*"]}]`), 0o600))
	c := settingsOf(t, m.folder, map[string]string{
		"STATIC_TOKENS_FILE": tokens, "LOG_LEVEL": "debug", "API_RATE_PER_SECOND": "0",
		"ATTEMPT_TIMEOUT": "1s", "RETRY_ATTEMPTS": "2", "RETRY_FIRST": "100ms", "RETRY_MULTIPLIER": "1",
	})
	require.NoError(t, os.WriteFile(c.KeysetFile(), keyset, 0o600))

	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), m.logs, zap.DebugLevel),
		zap.AddCaller(), zap.AddStacktrace(zap.ErrorLevel))
	mongo, err := embedded.StartMongo(t.Context(), c.MongoDir(), log)
	require.NoError(t, err)
	broker, err := embedded.StartNATS(t.Context(), "127.0.0.1:0", c.NATSStore(), log)
	require.NoError(t, err)
	m.nats = broker.URL()
	managing, err := c.API(broker.URL(), mongo.URI())
	require.NoError(t, err)
	delivering, err := c.Dispatcher(broker.URL())
	require.NoError(t, err)
	managing.OpsAddr, delivering.OpsAddr = "127.0.0.1:0", "127.0.0.1:0"
	manager, err := api.New(managing, log)
	require.NoError(t, err)
	deliverer, err := dispatcher.New(delivering, "0.0.0-test", log)
	require.NoError(t, err)
	m.api, m.metrics = manager.URL(), []string{manager.OpsAddr(), deliverer.OpsAddr()}

	ctx, cancel := context.WithCancel(context.Background())
	group, ctx := errgroup.WithContext(ctx)
	m.listen()
	group.Go(func() error { return manager.Run(ctx) })
	group.Go(func() error { return deliverer.Run(ctx) })
	m.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, group.Wait())
		broker.Stop()
		mongo.Stop()
	})
	t.Cleanup(m.stop)
	for _, ready := range []<-chan struct{}{manager.Ready(), deliverer.Ready()} {
		select {
		case <-ready:
		case <-ctx.Done():
			require.FailNow(t, "a part ended by itself")
		}
	}
	return m
}

// listen writes down every message, those between the services included.
func (m *mine) listen() {
	m.t.Helper()
	nc, err := nats.Connect(m.nats)
	require.NoError(m.t, err)
	m.t.Cleanup(nc.Close)
	_, err = nc.Subscribe(">", func(message *nats.Msg) {
		_, _ = fmt.Fprintf(m.wire, "%s %v %s\n", message.Subject, message.Header, message.Data) // it never fails
	})
	require.NoError(m.t, err)
	require.NoError(m.t, nc.Flush())
}

// canary makes a secret and remembers it in every form that it could have.
func (m *mine) canary() string {
	core := "canary" + rand.Text()
	m.secrets = append(m.secrets, core, hex.EncodeToString([]byte(core)))
	// Base64 of something longer begins anywhere within a group of three.
	for shift := range 3 {
		shifted := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + core))
		m.secrets = append(m.secrets, shifted[4:len(shifted)-4])
	}
	return core
}

// confide makes a text that may be stored.
func (m *mine) confide() string {
	text := "private" + rand.Text()
	m.private = append(m.private, text)
	return text
}

// meets registers a webhook at a receiver, and notes what is to come of it: one of
// the reasons.
func (m *mine) meets(url string, reasons ...webhooksv1.Reason) {
	m.t.Helper()
	id := m.register(m.t, project, url+"/hook?key="+m.confide(), m.canary())
	code, answer := m.call(m.t, http.MethodPatch, "/api/projects/"+project+"/webhooks/"+id, map[string]any{
		"headers": map[string]string{"X-Api-Key": m.canary(), "Authorization": "Bearer " + m.canary()},
	})
	require.Equal(m.t, http.StatusOK, code, "%v", answer)
	m.want[id] = reasons
}

// put writes a registration past the api, as it could be in a bucket that was put
// back, or written by somebody else.
func (m *mine) put(id, url string, ciphertext []byte, reasons ...webhooksv1.Reason) {
	m.t.Helper()
	value, err := proto.Marshal(&webhooksv1.Registration{
		Id: id, ProjectId: project, Revision: 1, Url: url, Events: event.Types(), Enabled: true,
		Secrets: []*webhooksv1.SealedSecret{{Ciphertext: ciphertext}},
	})
	require.NoError(m.t, err)
	m.putRaw(id, value)
	m.want[id] = reasons
}

func (m *mine) putRaw(id string, value []byte) {
	m.t.Helper()
	nc, err := nats.Connect(m.nats)
	require.NoError(m.t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(m.t, err)
	bucket, err := js.KeyValue(m.t.Context(), topology.BucketWebhooks)
	require.NoError(m.t, err)
	_, err = bucket.Put(m.t.Context(), topology.KeyRegistration(project, id), value)
	require.NoError(m.t, err)
}

func (m *mine) seal(id string) []byte {
	m.t.Helper()
	sealed, err := m.box.Seal(secret.New(m.canary()), project, id)
	require.NoError(m.t, err)
	return sealed
}

// meetsEverything registers a webhook for each way in which a delivery can fail.
func (m *mine) meetsEverything() {
	m.t.Helper()
	plain := does(m.t, status(http.StatusInternalServerError))
	m.meets(plain, webhooksv1.Reason_REASON_STATUS)
	m.meets(strings.Replace(plain, "http://", "https://", 1), webhooksv1.Reason_REASON_TLS)
	m.meets(untrusted(m.t), webhooksv1.Reason_REASON_CERTIFICATE)
	m.meets("http://"+closedPort(m.t), webhooksv1.Reason_REASON_CONNECT)
	m.meets("http://no-such-host.invalid", webhooksv1.Reason_REASON_DNS, webhooksv1.Reason_REASON_TIMEOUT)
	m.meets(does(m.t, status(http.StatusFound, "Location", "https://example.org/")), webhooksv1.Reason_REASON_REDIRECT)
	m.meets(does(m.t, status(http.StatusTooManyRequests, "Retry-After", "1")), webhooksv1.Reason_REASON_THROTTLED)
	m.meets(does(m.t, status(http.StatusGone)), webhooksv1.Reason_REASON_STATUS)
	m.meets(does(m.t, repeats(http.StatusForbidden)), webhooksv1.Reason_REASON_STATUS)
	m.meets(does(m.t, repeats(http.StatusMovedPermanently)), webhooksv1.Reason_REASON_REDIRECT)
	m.meets(does(m.t, hang), webhooksv1.Reason_REASON_TIMEOUT)
	m.meets(does(m.t, says("")), webhooksv1.Reason_REASON_CONNECTION_CLOSED)
	m.meets(does(m.t, says("nonsense\r\n\r\n")), webhooksv1.Reason_REASON_PROTOCOL)
	m.meets(does(m.t, status(http.StatusNoContent)), webhooksv1.Reason_REASON_UNSPECIFIED)

	m.put("forbidden", "http://10.0.0.1/?key="+m.confide(), m.seal("forbidden"), webhooksv1.Reason_REASON_ADDRESS_FORBIDDEN)
	m.put("moved", plain+"/?key="+m.confide(), m.seal("another"), webhooksv1.Reason_REASON_REGISTRATION)
	m.put("garbled", plain+"/?key="+m.confide(), []byte("not a ciphertext"), webhooksv1.Reason_REASON_REGISTRATION)
	m.put("addressless", "http://host:"+m.confide()+"@exa mple.org/%zz?key="+m.confide(), m.seal("addressless"),
		webhooksv1.Reason_REASON_REGISTRATION, webhooksv1.Reason_REASON_INTERNAL, webhooksv1.Reason_REASON_PROTOCOL)
	m.putRaw("unreadable", []byte("\xff"+m.confide()))
}

// happens publishes an event for all of them, and one that cannot be read, and
// waits until the log says what became of each webhook.
func (m *mine) happens() {
	m.t.Helper()
	url, arrivals := receive(m.t)
	m.register(m.t, "probe", url, m.canary())
	m.deliver(m.t, "probe", arrivals) // by now the dispatcher has what was registered before

	nc, err := nats.Connect(m.nats)
	require.NoError(m.t, err)
	defer nc.Close()
	p, err := publisher.New(nc)
	require.NoError(m.t, err)
	e := sample(project)
	e.GetConversation().Transcript = new(m.confide())
	e.GetConversation().ParticipantName = new(m.confide())
	require.NoError(m.t, p.Publish(m.t.Context(), e))
	js, err := jetstream.New(nc)
	require.NoError(m.t, err)
	_, err = js.Publish(m.t.Context(), topology.SubjectEvent(project, event.ConversationStarted), []byte(`{"id":"`+m.confide()))
	require.NoError(m.t, err)

	for id := range m.want {
		if len(id) == 26 { // those that the api knows can be tried by hand, too
			code, answer := m.call(m.t, http.MethodPost, "/api/projects/"+project+"/webhooks/"+id+"/test", nil)
			// One of them has asked to be left alone.
			require.Contains(m.t, []int{http.StatusOK, http.StatusConflict}, code, "%v", answer)
			_, _ = fmt.Fprintln(m.logs, answer) // what hosts are told is searched like the log
		}
	}
	require.Eventually(m.t, func() bool { return m.missing() == "" }, patience, often, "no line for %s", m.missing())
}

// missing is what the log does not say yet.
func (m *mine) missing() string {
	seen := map[string]map[string]bool{}
	outcomes := map[string]bool{}
	for line := range strings.Lines(m.logs.String()) {
		var attempt struct {
			Message string `json:"msg"`
			Webhook string `json:"webhook_id"`
			Reason  string `json:"reason"`
			Outcome string `json:"outcome"`
			Trigger string `json:"trigger"`
		}
		if json.Unmarshal([]byte(line), &attempt) != nil || attempt.Message != "attempt" || attempt.Trigger != "event" {
			continue
		}
		if seen[attempt.Webhook] == nil {
			seen[attempt.Webhook] = map[string]bool{}
		}
		seen[attempt.Webhook][attempt.Reason] = true
		outcomes[attempt.Outcome] = true
	}
	for id, reasons := range m.want {
		if !slices.ContainsFunc(reasons, func(r webhooksv1.Reason) bool { return seen[id][r.Label()] }) {
			return fmt.Sprintf("%s, which should be %v, and is %v", id, reasons, seen[id])
		}
	}
	for _, outcome := range []string{"delivered", "retry", "exhausted", "gone"} {
		if !outcomes[outcome] {
			return outcome
		}
	}
	return ""
}

func (m *mine) counted() string {
	m.t.Helper()
	var all strings.Builder
	for _, address := range m.metrics {
		request, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
		require.NoError(m.t, err)
		request.Close = true
		response, err := http.DefaultClient.Do(request)
		require.NoError(m.t, err)
		_, err = io.Copy(&all, response.Body)
		require.NoError(m.t, errors.Join(err, response.Body.Close()))
	}
	return all.String()
}

// stored is every byte that the broker and the database left behind.
func (m *mine) stored() string {
	m.t.Helper()
	var all strings.Builder
	require.NoError(m.t, filepath.WalkDir(m.folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all.Write(content)
		return err
	}))
	return all.String()
}

func wantNone(t *testing.T, place, content string, canaries []string) {
	t.Helper()
	for _, canary := range canaries {
		if at := strings.Index(content, canary); at >= 0 {
			assert.Fail(t, "a canary is in "+place, "…%q", content[max(0, at-200):min(len(content), at+100)])
		}
	}
}

// Whatever receivers do, and whatever is wrong with a registration: no signing
// secret leaves the dispatcher, and no URL's query and no word of a body gets into
// its log or its metrics.
func TestTheDispatcherKeepsSecretsToItself(t *testing.T) {
	m := newMine(t)
	m.meetsEverything()
	m.happens()
	counted := m.counted()
	assert.Contains(t, counted, "webhooks_attempts_total")
	assert.Contains(t, counted, "webhooks_requests_total")
	m.stop()
	wire, stored := m.wire.String(), m.stored()
	assert.Contains(t, wire, repeated, "a receiver repeated the headers, and they were taken out")
	assert.Contains(t, wire, m.private[0], "the search finds what is there")
	assert.Contains(t, stored, m.private[0])

	for place, content := range map[string]string{
		"the log": m.logs.String(), "a metric": counted, "a message": wire, "what is stored": stored,
	} {
		wantNone(t, place, content, m.secrets)
	}
	for place, content := range map[string]string{"the log": m.logs.String(), "a metric": counted} {
		wantNone(t, place, content, m.private)
	}
}
