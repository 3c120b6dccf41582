package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// chatBody is what the products look for in a body.
type chatBody struct {
	Text   string `json:"text"`
	Blocks []struct {
		Text struct {
			Text string `json:"text"`
		} `json:"text"`
	} `json:"blocks"`
	Type        string `json:"type"`
	Attachments []struct {
		Content struct {
			Type string `json:"type"`
		} `json:"content"`
	} `json:"attachments"`
	Content string `json:"content"`
	Embeds  []struct {
		Description string `json:"description"`
	} `json:"embeds"`
	CardsV2 []any `json:"cardsV2"`
}

// product is what a chat documents of its incoming webhooks.
type product struct {
	// take judges a body by the documented limits, and answers as the product does.
	take func(body chatBody, bytes int) (status int, answer string)
	// every is how far apart messages have to be.
	every time.Duration
	// busy is how it says that there are too many, and pause how long it then wants to
	// be left alone.
	busy  func(header http.Header) (status int, answer string)
	pause time.Duration
	// gone is how it says that its webhook was deleted.
	goneStatus int
	gone       string
}

func products() map[string]product {
	return map[string]product{
		"slack": {
			take: takesSlack, every: time.Second, pause: 2 * time.Second,
			busy: func(header http.Header) (int, string) {
				header.Set("Retry-After", "2")
				return http.StatusTooManyRequests, "rate_limited"
			},
			goneStatus: http.StatusNotFound, gone: "no_service",
		},
		"teams": {
			take: takesTeams, every: time.Second,
			busy: func(http.Header) (int, string) {
				return http.StatusOK, "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId tcid=0"
			},
			goneStatus: http.StatusNotFound, gone: `{"error":{"code":"WorkflowNotFound","message":"The workflow could not be found."}}`,
		},
		"discord": {
			take: takesDiscord, every: 2 * time.Second, pause: 2500 * time.Millisecond,
			busy: func(http.Header) (int, string) {
				return http.StatusTooManyRequests, `{"message":"You are being rate limited.","retry_after":2.5,"global":false}`
			},
			goneStatus: http.StatusNotFound, gone: `{"message":"Unknown Webhook","code":10015}`,
		},
		"mattermost": {
			take: takesMattermost, pause: time.Second,
			busy: func(header http.Header) (int, string) {
				header.Set("Retry-After", "1")
				return http.StatusTooManyRequests, "limit exceeded"
			},
			goneStatus: http.StatusBadRequest, gone: `{"id":"web.incoming_webhook.invalid.app_error","message":"Invalid webhook","status_code":400}`,
		},
		"google_chat": {
			take: takesGoogleChat, every: time.Second,
			busy: func(http.Header) (int, string) {
				return http.StatusTooManyRequests, `{"error":{"code":429,"message":"Resource has been exhausted","status":"RESOURCE_EXHAUSTED"}}`
			},
			goneStatus: http.StatusNotFound, gone: `{"error":{"code":404,"message":"Not found.","status":"NOT_FOUND"}}`,
		},
	}
}

func takesSlack(body chatBody, _ int) (int, string) {
	if body.Text == "" || len(body.Blocks) == 0 || len(body.Blocks) > 50 {
		return http.StatusBadRequest, "invalid_payload"
	}
	for _, b := range body.Blocks {
		if n := utf8.RuneCountInString(b.Text.Text); n == 0 || n > 3000 {
			return http.StatusBadRequest, "invalid_blocks"
		}
	}
	return http.StatusOK, "ok"
}

func takesTeams(body chatBody, bytes int) (int, string) {
	switch {
	case bytes > 28<<10:
		return http.StatusOK, "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 413"
	case body.Type != "message" || len(body.Attachments) != 1 || body.Attachments[0].Content.Type != "AdaptiveCard":
		return http.StatusBadRequest, "TriggerInputSchemaMismatch"
	}
	return http.StatusAccepted, ""
}

func takesDiscord(body chatBody, _ int) (int, string) {
	if body.Content == "" || utf8.RuneCountInString(body.Content) > 2000 || len(body.Embeds) != 1 ||
		utf8.RuneCountInString(body.Embeds[0].Description) > 4096 {
		return http.StatusBadRequest, `{"message":"Invalid Form Body","code":50035}`
	}
	return http.StatusNoContent, ""
}

func takesMattermost(body chatBody, _ int) (int, string) {
	if n := utf8.RuneCountInString(body.Text); n == 0 || n > 16_383 {
		return http.StatusBadRequest, "Unable to parse incoming data."
	}
	return http.StatusOK, "ok"
}

func takesGoogleChat(body chatBody, bytes int) (int, string) {
	if len(body.CardsV2) == 0 || bytes > 32_000 {
		return http.StatusBadRequest, `{"error":{"status":"INVALID_ARGUMENT"}}`
	}
	return http.StatusOK, "{}"
}

// standIn plays a product. Somebody else has used up its limit when the first
// message comes; from then on it notes whoever comes too early.
type standIn struct {
	product

	url string

	mu       sync.Mutex
	refused  bool
	last     time.Time // when it was busy, or took a message
	wait     time.Duration
	taken    int
	tooEarly int
	deleted  bool
}

func (p product) start(t *testing.T, format string) *standIn {
	t.Helper()
	s := &standIn{product: p}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		var body chatBody
		assert.NoError(t, json.Unmarshal(data, &body), format)
		assert.NotContains(t, string(data), "everything that was said", format)
		status, answer := s.answer(w.Header(), body, len(data))
		w.WriteHeader(status)
		_, err = io.WriteString(w, answer)
		assert.True(t, err == nil || status == http.StatusNoContent, "%s: %v", format, err)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/hook"
	return s
}

func (s *standIn) answer(header http.Header, body chatBody, bytes int) (int, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	early := time.Since(s.last) < s.wait
	s.last = time.Now()
	switch {
	case s.deleted:
		return s.goneStatus, s.gone
	case !s.refused:
		s.refused, s.wait = true, s.pause
		return s.busy(header)
	case early:
		s.tooEarly++
		return s.busy(header)
	}
	// Products allow for some that come at once, and what is sent on time may be read late.
	s.taken, s.wait = s.taken+1, s.every/4
	return s.take(body, bytes)
}

func (s *standIn) count() (taken, tooEarly int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken, s.tooEarly
}

func (s *standIn) delete() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deleted = true
}

// summarized is a summary that is longer than any chat takes, and wants to call
// everybody.
func summarized(t *testing.T) *webhooksv1.Event {
	t.Helper()
	e := started()
	e.Type = event.ConversationSummarized
	conversation, ok := e.GetSubject().(*webhooksv1.Event_Conversation)
	require.True(t, ok)
	conversation.Conversation.Transcript = new("everything that was said")
	conversation.Conversation.Summary = new("# Підсумок\n\n" + strings.Repeat("Мешканці **кажуть** @everyone. ", 1200))
	return e
}

// A host pastes the URL of a chat: what happens is posted there, also when a summary
// is longer than the chat takes. A chat that is busy is left alone for as long as it
// asks in its own way, and gets no more than it documents. Another webhook of the
// project gets its JSON.
func TestEventsArePostedIntoChats(t *testing.T) {
	t.Parallel()
	const events = 3
	s := start(t, settings{"RETRY_ATTEMPTS": "20"})
	plain := receiverAnswers(t)
	hooks, chats := map[string]webhook{}, map[string]*standIn{}
	for format, p := range products() {
		chats[format] = p.start(t, format)
		hooks[format] = s.create(t, project, fields{"url": chats[format].url, "format": format, "events": event.Types()})
	}
	w := s.register(t, plain)

	s.publish(t, summarized(t))
	for format, hook := range hooks {
		eventually(t, format+" is known to be busy, and nothing is under way to it", func() bool {
			count, err := s.Attempts.CountDocuments(t.Context(), bson.M{"webhook_id": hook.ID, "outcome": retry})
			require.NoError(t, err)
			return count > 0
		})
	}
	for range events - 1 {
		s.publish(t, summarized(t))
	}
	s.wantAttempts(t, w, delivered, delivered, delivered)
	for format, chat := range chats {
		eventually(t, format+" has taken every message", func() bool {
			taken, _ := chat.count()
			return taken == events
		})
		_, tooEarly := chat.count()
		assert.Zero(t, tooEarly, format)
		list := s.wantAttempts(t, hooks[format], retry, delivered, delivered, delivered)
		assert.Equal(t, "throttled", list[0].Reason, format)
	}
	s.testsOfChats(t, hooks, chats)
}

// testsOfChats says what a test tells the host, as long as the chat's webhook is there
// and afterwards.
func (s *system) testsOfChats(t *testing.T, hooks map[string]webhook, chats map[string]*standIn) {
	t.Helper()
	for format, hook := range hooks {
		var tested struct {
			Success bool   `json:"success"`
			Message string `json:"message"`
			Advice  string `json:"advice"`
		}
		test := func() {
			t.Helper()
			require.NoError(t, json.Unmarshal(s.call(t, http.MethodPost, hook.Path()+"/test", nil, http.StatusOK), &tested))
		}
		within(t, patience, format+" is not in a hurry any more", func() bool {
			<-time.After(chats[format].every)
			test()
			return tested.Success
		})
		proven := "Delivered: the receiver answered 20"
		if format == "teams" {
			proven = "it does not tell whether the message was posted"
		}
		assert.Contains(t, tested.Message, proven, format)
		chats[format].delete()
		test()
		assert.False(t, tested.Success, format)
		assert.Contains(t, tested.Message, "the chat's webhook no longer exists", format)
		assert.Contains(t, tested.Advice, "Make a new one", format)
	}
}
