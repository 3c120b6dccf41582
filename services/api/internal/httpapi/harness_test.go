package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/erase"
	"github.com/dembrane/webhooks/services/api/internal/httpapi"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	cookieName = "directus_session_token"
	origin     = "https://dashboard.example.org"
	limit      = 4
)

// identity is a driver with a fixed set of callers: "good" manages p1 and p2,
// "all" everything; every other token is the error of its name.
type identity struct {
	mu      *sync.Mutex
	actions *[]access.Action
}

func (i identity) Authorize(_ context.Context, token, projectID string, action access.Action) (access.Grant, error) {
	switch {
	case token == "unknown-user":
		return access.Grant{}, access.ErrUser
	case token == "no-permission":
		return access.Grant{}, access.ErrPermission
	case token == "low-tier" && action == access.Change:
		return access.Grant{}, &access.TierError{Current: "innovator"}
	case token == "away":
		return access.Grant{}, access.ErrUnavailable
	case token == "broken":
		return access.Grant{}, errors.New("dial tcp directus.internal:8055: boom")
	case token == "panic":
		panic("boom at directus.internal")
	case token != "good" && token != "all" && token != "low-tier":
		return access.Grant{}, access.ErrSession
	case token != "all" && projectID != "p1" && projectID != "p2":
		return access.Grant{}, access.ErrProject
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	*i.actions = append(*i.actions, action)
	return access.Grant{Caller: token, Project: access.Project{ID: projectID, Name: "Town talks", Language: "nl"}}, nil
}

func (i identity) Scope(_ context.Context, token string) (access.Scope, error) {
	if token == "all" {
		return access.Scope{All: true}, nil
	}
	return access.Scope{Projects: []access.Project{{ID: "p1"}, {ID: "p2", Name: "Second"}}}, nil
}

func (i identity) Names(_ context.Context, ids []string) (map[string]string, error) {
	if slices.Contains(ids, "p-unnameable") {
		return nil, access.ErrUnavailable
	}
	return map[string]string{"p2": "Second"}, nil
}

// api is the API over a real socket and a real store.
type api struct {
	t         *testing.T
	url       string
	handler   http.Handler
	mongo     *mongotest.Server
	store     *store.Store
	box       *secret.Box
	logs      *observer.ObservedLogs
	actions   []access.Action
	mu        sync.Mutex
	projected []string
	late      bool // changes do not come into force
	tried     *webhooksv1.TestRequest
	reply     *webhooksv1.Attempt
	replyErr  error
	events    fakeEvents
	erasures  *erase.Service
}

// fakeEvents plays EVENTS: what is kept, by sequence, or why it cannot be read.
type fakeEvents struct {
	kept map[uint64]*jetstream.RawStreamMsg
	err  error
}

func (e *fakeEvents) Event(_ context.Context, _ string, sequence uint64) (*jetstream.RawStreamMsg, error) {
	if e.err != nil {
		return nil, e.err
	}
	if msg := e.kept[sequence]; msg != nil {
		return msg, nil
	}
	return nil, fmt.Errorf("sequence %d: %w", sequence, topology.ErrEventGone)
}

// project plays the projection: it takes the mark off.
func (a *api) project(ctx context.Context, projectID, id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.projected = append(a.projected, projectID+"."+id)
	if a.late {
		return false
	}
	w, err := a.store.Load(ctx, id)
	return assert.NoError(a.t, err) && assert.NoError(a.t, a.store.Settle(ctx, id, w.Revision))
}

func newAPI(t *testing.T) *api {
	t.Helper()
	return newAPIWith(t, func(*httpapi.Deps) {}, func(*http.Server) {})
}

// newAPIWith is newAPI with other deps, or other limits of its server.
func newAPIWith(t *testing.T, change func(*httpapi.Deps), limits func(*http.Server)) *api {
	t.Helper()
	mongo := mongotest.StartEmbedded(t)
	s, err := store.Open(t.Context(), mongo.URI(), mongo.Database(), zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close(context.Background())) })
	require.NoError(t, s.Prepare(t.Context()))
	mongo.IndexIDs()
	keyset, err := secret.NewKeyset()
	require.NoError(t, err)
	box, err := secret.OpenKeyset(keyset)
	require.NoError(t, err)
	core, logs := observer.New(zap.DebugLevel)
	a := &api{t: t, mongo: mongo, store: s, box: box, logs: logs}
	deps := httpapi.Deps{
		Store: s, Access: identity{&sync.Mutex{}, &a.actions}, Secrets: box,
		Rules: registration.URLRules{Address: func(addr netip.Addr) error {
			if addr.IsPrivate() || addr.IsLoopback() {
				return errors.New("forbidden")
			}
			return nil
		}},
		Renderer: payload.Renderer{AdminBaseURL: "https://dashboard.example.org"},
		Project:  a.project,
		Events:   &a.events,
		SendTest: func(_ context.Context, r *webhooksv1.TestRequest) (*webhooksv1.Attempt, error) {
			a.tried = r
			return a.reply, a.replyErr
		},
		Log:           zap.New(core),
		Metrics:       httpapi.NewMetrics(prometheus.NewRegistry()),
		SessionCookie: cookieName, CORSOrigins: []string{origin}, Limit: limit, TestTimeout: time.Second, EraseWait: 2 * time.Second,
	}
	change(&deps)
	server, err := httpapi.New(deps)
	require.NoError(t, err)
	limits(server)
	listening := httptest.NewUnstartedServer(server.Handler)
	listening.Config = server
	listening.Start()
	t.Cleanup(listening.Close)
	a.url, a.handler = listening.URL, server.Handler
	return a
}

type reply struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (r reply) detail() string {
	detail, _ := r.body["detail"].(string)
	return detail
}

func (r reply) id() string {
	id, _ := r.body["id"].(string)
	return id
}

// send makes a request with the token "good", unless a header says otherwise.
// Headers are given as name and value in turn.
func (a *api) send(method, path, body string, headers ...string) reply {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), method, a.url+path, strings.NewReader(body))
	require.NoError(a.t, err)
	request.Header.Set("Authorization", "Bearer good")
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return a.do(request)
}

// do makes a request and holds it and its answer against the document.
func (a *api) do(request *http.Request) reply {
	a.t.Helper()
	var sent []byte
	if request.GetBody != nil {
		body, err := request.GetBody()
		require.NoError(a.t, err)
		sent, err = io.ReadAll(body)
		require.NoError(a.t, err)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(a.t, err)
	defer response.Body.Close() //nolint:errcheck // it is read to its end
	raw, err := io.ReadAll(response.Body)
	require.NoError(a.t, err)
	r := reply{status: response.StatusCode, header: response.Header, raw: string(raw)}
	if bytes.HasPrefix(raw, []byte("{")) {
		require.NoError(a.t, json.Unmarshal(raw, &r.body))
	}
	document(a.t).check(a.t, request, sent, r)
	return r
}

// wantProblem checks everything that all problems have in common.
func (a *api) wantProblem(r reply, status int, detail string) {
	a.t.Helper()
	require.Equal(a.t, status, r.status, r.raw)
	assert.Equal(a.t, "application/problem+json", r.header.Get("Content-Type"))
	assert.Contains(a.t, r.detail(), detail)
	assert.EqualValues(a.t, status, r.body["status"])
	assert.Equal(a.t, "about:blank", r.body["type"])
	assert.Equal(a.t, http.StatusText(status), r.body["title"])
	assert.NotEmpty(a.t, r.header.Get("X-Request-Id"))
	assert.Equal(a.t, r.header.Get("X-Request-Id"), r.body["request_id"])
	for _, leak := range []string{"mongodb", "127.0.0.1:", "internal:", "goroutine", "boom", "socket"} {
		assert.NotContains(a.t, r.raw, leak)
	}
	if status == http.StatusServiceUnavailable {
		assert.NotEmpty(a.t, r.header.Get("Retry-After"))
	}
}

func (a *api) create(project, body string) reply {
	a.t.Helper()
	r := a.send("POST", "/api/projects/"+project+"/webhooks", body)
	require.Equal(a.t, http.StatusCreated, r.status, r.raw)
	return r
}

const minimal = `{"url":"https://example.org/hook","events":["report.generated"]}`
