package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/httpapi"
)

const listenPath = base + "/listen"

// revocable is an identity that can change its mind while somebody listens.
type revocable struct {
	httpapi.Authorizer

	mu      sync.Mutex
	refusal error
}

func (r *revocable) Authorize(ctx context.Context, token, project string, action access.Action) (access.Grant, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusal != nil {
		return access.Grant{}, r.refusal
	}
	return r.Authorizer.Authorize(ctx, token, project, action)
}

func (r *revocable) refuse(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusal = err
}

// listenable is an API whose events can be listened to.
type listenable struct {
	*api

	broker *natstest.Server
	js     jetstream.JetStream
	access *revocable
	server *http.Server
}

func newListenable(t *testing.T) *listenable {
	t.Helper()
	l := &listenable{broker: natstest.Start(t, natstest.Embedded())}
	js, err := jetstream.New(l.broker.Connect(t))
	require.NoError(t, err)
	require.NoError(t, topology.Ensure(t.Context(), js, topology.Settings{
		Replicas: 1, EventsMaxAge: time.Hour, DuplicateWindow: time.Minute,
	}))
	l.js = js
	l.api = newAPIWith(t, func(deps *httpapi.Deps) {
		l.access = &revocable{Authorizer: deps.Access}
		deps.Access, deps.Follower, deps.Events = l.access, eventlog.New(js), topology.NewEventReader(js)
		deps.Listening = httpapi.Listening{Heartbeat: 50 * time.Millisecond, Check: 20 * time.Millisecond, Write: time.Second}
	}, func(server *http.Server) { l.server = server })
	return l
}

// heard is one server-sent event.
type heard struct {
	id, event, data string
}

// stream is a listener.
type stream struct {
	t        *testing.T
	lines    *bufio.Reader
	response *http.Response
	comments int
}

// listen connects and returns a listener whose first id has come.
func (l *listenable) listen(query string, headers ...string) (*stream, heard) {
	l.t.Helper()
	request, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, l.url+listenPath+query, nil)
	require.NoError(l.t, err)
	request.Header.Set("Authorization", "Bearer good")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(l.t, err)
	l.t.Cleanup(func() { _ = response.Body.Close() })
	require.Equal(l.t, http.StatusOK, response.StatusCode)
	assert.Equal(l.t, "text/event-stream", response.Header.Get("Content-Type"))
	s := &stream{t: l.t, lines: bufio.NewReader(response.Body), response: response}
	return s, s.block()
}

func (s *stream) close() { _ = s.response.Body.Close() }

// block is what comes up to the next empty line, comments counted.
func (s *stream) block() (h heard) {
	s.t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		require.NoError(s.t, err)
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case line == "\n":
			return h
		case name == "":
			s.comments++
		case name == "id":
			h.id = value
		case name == "event":
			h.event = value
		case name == "data":
			h.data = value
		}
	}
}

// next is the next event.
func (s *stream) next() heard {
	s.t.Helper()
	for {
		if h := s.block(); h.event != "" {
			return h
		}
	}
}

func (h heard) delivery(t *testing.T) (headers map[string]string, body string) {
	t.Helper()
	var data struct {
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	require.NoError(t, json.Unmarshal([]byte(h.data), &data))
	return data.Headers, data.Body
}

// eventID is the id in the body.
func (h heard) eventID(t *testing.T) string {
	t.Helper()
	_, body := h.delivery(t)
	var parsed struct {
		ID string `json:"id"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &parsed))
	return parsed.ID
}

func TestAListenerGetsWhatWouldBeDelivered(t *testing.T) {
	l := newListenable(t)
	publish(t, l.js, "p1", "evt_before")
	since := "?since=" + url.QueryEscape(ago(time.Minute))
	past, _ := l.listen(since)
	live, first := l.listen("?events=report.generated")
	other, _ := l.listen("?events=conversation.started,webhook.failing")
	require.NotEmpty(t, first.id, "where to go on when nothing has come yet")
	assert.Equal(t, "evt_before", past.next().eventID(t))

	sequence := publish(t, l.js, "p1", "evt_now")
	assert.Equal(t, "evt_now", past.next().eventID(t))
	got := live.next()
	assert.Equal(t, fmt.Sprint(sequence), got.id)
	assert.Equal(t, "report.generated", got.event)
	headers, body := got.delivery(t)
	const want = `{"dashboardUrl":"https://dashboard.example.org/en-US/projects/p1/report","event":"report.generated","id":"evt_now",` +
		`"project":{"id":"p1","language":null,"name":null},"report":{"date_created":"","id":"1","language":"","status":""},` +
		`"timestamp":"2026-01-20T12:00:00+00:00"}`
	assert.True(t, want == body, body) //nolint:testifylint // byte for byte, not as JSON
	delivery := headers["X-Dembrane-Delivery"]
	assert.NotEmpty(t, delivery)
	assert.Equal(t, map[string]string{
		"Content-Type": "application/json", "Accept": "*/*", "User-Agent": "Dembrane-Webhook/1.0",
		"X-Dembrane-Event": "report.generated", "X-Webhook-Event": "report.generated",
		"X-Dembrane-Delivery": delivery, "X-Dembrane-Attempt": "1",
	}, headers, "and no signature")

	publish(t, l.js, "p1", "evt_later")
	resumed, begun := l.listen(since, "Last-Event-ID", got.id)
	assert.Equal(t, got.id, begun.id)
	assert.Equal(t, "evt_later", resumed.next().eventID(t), "the last id goes before since")
	_, reset := l.listen("", "Last-Event-ID", "18446744073709551615")
	assert.NotEqual(t, "18446744073709551615", reset.id, "an id of a stream that is not there any more")

	for other.comments < 3 {
		assert.Empty(t, other.block().event, "of another type")
	}
}

// Nasty case 40, for those who listen.
func TestAListenerNeverHearsOfAnotherProject(t *testing.T) {
	l := newListenable(t)
	since := "?since=" + url.QueryEscape(ago(time.Minute))
	store := func(subject, id, body string) {
		msg := nats.NewMsg(subject)
		msg.Header.Set(nats.MsgIdHdr, id)
		msg.Data = []byte(body)
		_, err := l.js.PublishMsg(t.Context(), msg)
		require.NoError(t, err)
	}
	report := func(id, project string) string {
		return fmt.Sprintf(`{"id":%q,"type":"report.generated","occurred_at":"2026-01-20T12:00:00Z","project":{"id":%q},"report":{"id":"1"}}`, id, project)
	}
	on := topology.SubjectEvent
	publish(t, l.js, "p2", "evt_theirs")
	publish(t, l.js, "p10", "evt_of_a_longer_name")
	store(on("p1", "report.generated"), "evt_body_of_theirs", report("evt_body_of_theirs", "p2"))
	store(on("p1", "conversation.started"), "evt_of_another_type", report("evt_of_another_type", "p1"))
	store(on("p1", "report.generated"), "evt_header", report("evt_other_id", "p1"))
	store(on("p1", "report.generated"), "evt_garbage", `{"id":`)
	store(on("p2", "report.generated.p1"), "evt_deep", report("evt_deep", "p1"))
	erased := publish(t, l.js, "p1", "evt_erased")
	events, err := l.js.Stream(t.Context(), topology.StreamEvents)
	require.NoError(t, err)
	require.NoError(t, events.SecureDeleteMsg(t.Context(), erased))
	publish(t, l.js, "p1", "evt_mine")

	s, _ := l.listen(since)
	assert.Equal(t, "evt_mine", s.next().eventID(t))
	publish(t, l.js, "p2", "evt_theirs_later")
	publish(t, l.js, "p1", "evt_mine_later")
	assert.Equal(t, "evt_mine_later", s.next().eventID(t))
	s, _ = l.listen("", "Last-Event-ID", "1")
	assert.Equal(t, "evt_mine", s.next().eventID(t), "the id of another project's event is only a place")
}

func TestWhoMayNotListenAndWhatMakesNoSense(t *testing.T) {
	l := newListenable(t)
	for token, want := range map[string]struct {
		status int
		detail string
	}{
		"": {401, "Invalid session"}, "made-up": {401, "Invalid session"}, "unknown-user": {403, "User not onboarded"},
		"no-permission": {403, "Not allowed"}, "low-tier": {403, "changemaker"}, "away": {503, "Permissions"},
	} {
		l.wantProblem(l.send("GET", listenPath, "", "Authorization", "Bearer "+token), want.status, want.detail)
	}
	for _, project := range []string{"p3", "never-there"} {
		l.wantProblem(l.send("GET", "/api/projects/"+project+"/webhooks/listen", ""), 404, "Project not found")
	}
	for _, project := range []string{"*", ">", "p1.*", "p1.>", "%00", "p1%20"} {
		l.wantProblem(l.send("GET", "/api/projects/"+project+"/webhooks/listen", "", "Authorization", "Bearer all"), 404, "Project not found")
	}
	l.wantProblem(l.send("GET", listenPath+"?events=report.deleted", ""), 400, "report.generated")
	l.wantProblem(l.send("GET", listenPath+"?events=>", ""), 400, "does not exist")
	l.wantProblem(l.send("GET", listenPath+"?since=yesterday", ""), 422, "since")
	l.wantProblem(l.send("GET", listenPath+"?since=2999-01-01T00:00:00Z", ""), 422, "future")
	for _, id := range []string{"x", "-1", "1.5", "18446744073709551616"} {
		l.wantProblem(l.send("GET", listenPath, "", "Last-Event-ID", id), 422, "Last-Event-ID")
	}
	assert.Equal(t, 200, l.send("HEAD", listenPath, "").status, "and it ends at once")
}

func TestAtMostFiveListenToAProject(t *testing.T) {
	l := newListenable(t)
	var all []*stream
	for range 5 {
		s, _ := l.listen("")
		all = append(all, s)
	}
	r := l.send("GET", listenPath, "")
	l.wantProblem(r, 429, "5 programs listen")
	assert.NotEmpty(t, r.header.Get("Retry-After"))
	assert.Equal(t, 200, l.send("HEAD", "/api/projects/p2/webhooks/listen", "").status, "another project has its own")
	all[0].close()
	require.Eventually(t, func() bool { return l.send("HEAD", listenPath, "").status == 200 }, 5*time.Second, 10*time.Millisecond)
}

func TestAStreamEndsWithItsReason(t *testing.T) {
	for name, test := range map[string]struct {
		end    func(l *listenable)
		status int
	}{
		"the token expired": {func(l *listenable) { l.access.refuse(access.ErrSession) }, 401},
		"the role was lost": {func(l *listenable) { l.access.refuse(access.ErrProject) }, 404},
		"the tier fell":     {func(l *listenable) { l.access.refuse(&access.TierError{Current: "free"}) }, 403},
		"nobody can say":    {func(l *listenable) { l.access.refuse(access.ErrUnavailable) }, 503},
		"NATS is gone":      {func(l *listenable) { l.broker.Shutdown() }, 503},
		"the api stops": {func(l *listenable) {
			go func() { _ = l.server.Shutdown(context.WithoutCancel(l.t.Context())) }() // the stream is asked
		}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newListenable(t)
			s, _ := l.listen("")
			publish(t, l.js, "p1", "evt_1")
			require.Equal(t, "evt_1", s.next().eventID(t))
			test.end(l)
			last := s.next()
			require.Equal(t, "listen.end", last.event)
			assert.Empty(t, last.id, "it is no place to go on from")
			var problem struct {
				Status int    `json:"status"`
				Detail string `json:"detail"`
			}
			require.NoError(t, json.Unmarshal([]byte(last.data), &problem))
			assert.Equal(t, test.status, problem.Status)
			assert.NotEmpty(t, problem.Detail)
			assert.NotContains(t, last.data, "nats:")
			_, err := s.lines.ReadByte()
			require.Error(t, err, "nothing follows")
		})
	}
}

// Who does not read costs what is in the connection, and loses the place.
func TestListenersThatDoNotReadAreCutOff(t *testing.T) {
	l := newListenable(t)
	for range 4 {
		l.listen("?events=report.generated")
	}
	l.listen("")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // each is large
	defer cancel()
	large := strings.Repeat("x", 4<<20)
	for i := range 4 {
		msg := nats.NewMsg(topology.SubjectEvent("p1", "conversation.transcribed"))
		msg.Data = fmt.Appendf(nil, `{"id":"evt_%d","type":"conversation.transcribed","occurred_at":"2026-01-20T12:00:00Z",`+
			`"project":{"id":"p1"},"conversation":{"id":"c1","transcript":%q}}`, i, large)
		_, err := l.js.PublishMsg(ctx, msg)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return l.send("HEAD", listenPath, "").status == 200 }, 20*time.Second, 20*time.Millisecond)
}
