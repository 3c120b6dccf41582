package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

// products answer as the chats do: with the documented limits, and in their own words.
func products() map[string]func(body chatBody, bytes int) (status int, answer string) {
	return map[string]func(chatBody, int) (int, string){
		"slack": func(body chatBody, _ int) (int, string) {
			if body.Text == "" || len(body.Blocks) == 0 || len(body.Blocks) > 50 {
				return http.StatusBadRequest, "invalid_payload"
			}
			for _, b := range body.Blocks {
				if n := utf8.RuneCountInString(b.Text.Text); n == 0 || n > 3000 {
					return http.StatusBadRequest, "invalid_blocks"
				}
			}
			return http.StatusOK, "ok"
		},
		"teams": func(body chatBody, bytes int) (int, string) {
			switch {
			case bytes > 28<<10:
				return http.StatusOK, "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 413"
			case body.Type != "message" || len(body.Attachments) != 1 || body.Attachments[0].Content.Type != "AdaptiveCard":
				return http.StatusBadRequest, "TriggerInputSchemaMismatch"
			}
			return http.StatusAccepted, ""
		},
		"discord": func(body chatBody, _ int) (int, string) {
			if body.Content == "" || utf8.RuneCountInString(body.Content) > 2000 || len(body.Embeds) != 1 ||
				utf8.RuneCountInString(body.Embeds[0].Description) > 4096 {
				return http.StatusBadRequest, `{"message":"Invalid Form Body","code":50035}`
			}
			return http.StatusNoContent, ""
		},
		"mattermost": func(body chatBody, _ int) (int, string) {
			if n := utf8.RuneCountInString(body.Text); n == 0 || n > 16_383 {
				return http.StatusBadRequest, "Unable to parse incoming data."
			}
			return http.StatusOK, "ok"
		},
		"google_chat": func(body chatBody, bytes int) (int, string) {
			if len(body.CardsV2) == 0 || bytes > 32_000 {
				return http.StatusBadRequest, `{"error":{"status":"INVALID_ARGUMENT"}}`
			}
			return http.StatusOK, "{}"
		},
	}
}

// A host pastes the URL of a chat: what happens is posted there, also when a summary
// is longer than the chat takes, and another webhook of the project gets its JSON.
func TestEventsArePostedIntoChats(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	plain := receiverAnswers(t)
	hooks := map[string]webhook{}
	for format, take := range products() {
		chat := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			data, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			var body chatBody
			assert.NoError(t, json.Unmarshal(data, &body), format)
			assert.NotContains(t, string(data), "everything that was said", format)
			status, answer := take(body, len(data))
			w.WriteHeader(status)
			_, err = io.WriteString(w, answer)
			assert.True(t, err == nil || status == http.StatusNoContent, "%s: %v", format, err)
		}))
		t.Cleanup(chat.Close)
		hooks[format] = s.create(t, project, fields{"url": chat.URL + "/hook", "format": format, "events": event.Types()})
	}
	w := s.register(t, plain)

	e := started()
	e.Type = event.ConversationSummarized
	conversation, ok := e.GetSubject().(*webhooksv1.Event_Conversation)
	require.True(t, ok)
	conversation.Conversation.Transcript = new("everything that was said")
	conversation.Conversation.Summary = new("# Підсумок\n\n" + strings.Repeat("Мешканці **кажуть** @everyone. ", 3000))
	s.publish(t, e)

	for format, hook := range hooks {
		t.Log(format)
		s.wantAttempts(t, hook, delivered)
	}
	s.wantAttempts(t, w, delivered)
	assert.Equal(t, e.GetId(), plain.next(t).Event)
	for format, hook := range hooks {
		var tested struct {
			Success bool   `json:"success"`
			Message string `json:"message"`
		}
		require.NoError(t, json.Unmarshal(s.call(t, http.MethodPost, hook.Path()+"/test", nil, http.StatusOK), &tested))
		assert.True(t, tested.Success, "%s: %s", format, tested.Message)
	}
}
