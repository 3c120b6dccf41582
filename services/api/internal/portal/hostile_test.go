package portal_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/httpapi"
	"github.com/dembrane/webhooks/services/api/internal/portal"
)

// hostileText would run, turn a text around, and hide.
const hostileText = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>` + " abc\u202egnp.exe \u2066x"

// keptEvent is the one event that is kept.
type keptEvent struct{ data []byte }

func (k keptEvent) Event(context.Context, string, uint64) (*jetstream.RawStreamMsg, error) {
	return &jetstream.RawStreamMsg{Header: nats.Header{"Content-Type": {event.JSON}}, Data: k.data}, nil
}

// What participants are called and have said, and what a receiver answers, is shown as
// what it is, and no more of it than a page can bear. What can be had whole is a file
// that no browser shows.
func TestWhatOthersSaidIsOnlyText(t *testing.T) {
	said := fmt.Sprintf("%q", hostileText+strings.Repeat("я", 4<<20))
	kept := keptEvent{data: fmt.Appendf(nil, `{"id":"evt_1","type":"conversation.transcribed","occurred_at":%q,"project":{"id":"p1","name":%q},`+
		`"conversation":{"id":"c1","participant_name":%q,"transcript":%s}}`, time.Now().UTC().Format(time.RFC3339), hostileText, hostileText, said)}
	e, err := event.Decode(event.JSON, kept.data)
	require.NoError(t, err)
	body := string(payload.Renderer{}.Append(nil, e))
	require.Greater(t, len(body), 8<<20)
	s := newSiteWith(t, portal.Deps{SessionCookie: sessionCookie, SignIn: true, Log: zap.NewNop()}, func(deps *httpapi.Deps) {
		deps.Events = kept
	})
	b := s.as("good")
	one := b.add("url", "https://example.org/", "name", "Archive")
	path := s.record(one, &webhooksv1.Attempt{
		Outcome: isRetried, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 500, StartedAt: timestamppb.Now(),
		EventId: "evt_1", EventType: "conversation.transcribed", EventSequence: 1,
		Request: &webhooksv1.Request{Url: "https://example.org/", BodyBytes: int64(len(body))},
		Response: &webhooksv1.Response{
			Body: []byte(hostileText + strings.Repeat("я", 8<<10)), Headers: []*webhooksv1.Header{{Name: "X-Note", Value: hostileText}},
		},
	})[0]
	page := b.get(path)
	require.Equal(t, http.StatusOK, page.status)
	require.Contains(t, readable(page), `"participant_name": "<script>alert(1)</script>`, "the body that was sent is shown")
	assert.LessOrEqual(t, len(page.body), 100<<10)
	assert.NotContains(t, page.body, "<script>")
	assert.NotContains(t, page.body, "<img")
	for _, turning := range []string{"\u202e", "\u2066"} {
		assert.NotContains(t, page.body, turning)
	}
	_, answered, _ := strings.Cut(page.body, "What came back")
	_, header, _ := strings.Cut(answered, "<code>X-Note</code>")
	assert.Contains(t, strings.TrimSuffix(answered, header), "abc\ufffdgnp.exe")
	assert.Contains(t, header, "abc\ufffdgnp.exe")

	file := b.get(path + "/body")
	assert.Equal(t, body, file.body)
	assert.Equal(t, "application/octet-stream", file.header.Get("Content-Type"))
	assert.Equal(t, `attachment; filename="body.json"`, file.header.Get("Content-Disposition"))
	assert.Equal(t, "default-src 'none'; sandbox", file.header.Get("Content-Security-Policy"))
	assert.Equal(t, "nosniff", file.header.Get("X-Content-Type-Options"))
}

// What the checker finds in a body is not markup either.
func TestWhatTheCheckerFindsIsOnlyText(t *testing.T) {
	const sent, written, secret = `{"id":"evt_1","x":"a<b"}`, `{"id":"evt_1","x":"a\u003cb"}`, "a-secret-of-mine"
	s := newSite(t)
	b := s.as("good")
	one := b.add("url", "https://example.org/")
	header := http.Header{}
	signature.Headers(header, []signature.Key{signature.NewKey(secret)}, "evt_1", time.Now(), []byte(sent))
	found := b.fill(one+"/check", "body", written, "headers", signature.HeaderBody+": "+header.Get(signature.HeaderBody), "secret", secret)
	require.Equal(t, http.StatusOK, found.status)
	assert.Contains(t, readable(found), `<, > or & is escaped as \u003c`)
	assert.Contains(t, found.body, `&lt;, &gt; or &amp; is escaped`)
}
