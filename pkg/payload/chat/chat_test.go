package chat_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/payload/chat"
)

func TestJSONIsTheCanonicalBody(t *testing.T) {
	e := sample(event.ConversationSummarized, "nl")
	want := string(renderer().Append(nil, e))
	for _, format := range []chat.Format{chat.JSON, "", "of a newer release"} {
		assert.Equal(t, "x"+want, string(format.Append([]byte("x"), renderer(), e)), format)
	}
}

func TestParse(t *testing.T) {
	for _, format := range chat.Formats() {
		parsed, ok := chat.Parse(string(format))
		assert.True(t, ok)
		assert.Equal(t, format, parsed)
	}
	parsed, ok := chat.Parse("")
	assert.True(t, ok)
	assert.Equal(t, chat.JSON, parsed)
	for _, name := range []string{"JSON", "Slack", " slack", "googlechat", "xml"} {
		_, ok = chat.Parse(name)
		assert.False(t, ok, name)
	}
}

func TestRates(t *testing.T) {
	for format, rate := range map[chat.Format]float64{
		chat.JSON: 0, chat.Slack: 1, chat.Teams: 1, chat.Discord: 0.5, chat.Mattermost: 0, chat.GoogleChat: 1,
	} {
		assert.InDelta(t, rate, format.DefaultRate(), 0, format)
	}
}

// What participants write mentions nobody and makes no link: whatever in a body could
// do so is ours, or is escaped for the product.
func TestNobodyIsMentionedAndNoLinkIsForged(t *testing.T) {
	forbidden := map[chat.Format]string{
		// Slack reads <…>; besides that it was told not to look.
		chat.Slack: `<(?:[^h]|https://[^d])`,
		// Discord reads what no backslash is before.
		chat.Discord: `(?:^|[^\\])(?:[<@\[]|https?:)`,
		// Mattermost reads <…> first, then Markdown, then names.
		chat.Mattermost: `<|@[^` + "\u200b" + `]|(?:^|[^\\])\[[^O]`,
		// Google Chat reads tags.
		chat.GoogleChat: "<(?:[^bis/\u200b]|/[^bis]|[bis][^>r])",
	}
	for _, format := range chats() {
		for _, eventType := range types() {
			e := sample(eventType, "nl")
			variants()["hostile"](e)
			body := format.Append(nil, renderer(), e)
			for _, said := range read(t, format, body) {
				if pattern := forbidden[format]; pattern != "" {
					assert.NotRegexp(t, pattern, said, "%s %s", format, eventType)
				}
				assert.NotContains(t, said, "\u202e")
			}
		}
	}
}

// read returns the texts of a body in which a product looks for markup.
func read(t *testing.T, format chat.Format, body []byte) []string {
	t.Helper()
	var decoded any
	require.NoError(t, json.Unmarshal(body, &decoded))
	var texts []string
	var walk func(value any)
	walk = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			for key, inner := range value {
				if key != "url" {
					walk(inner)
				}
			}
		case []any:
			for _, inner := range value {
				walk(inner)
			}
		case string:
			texts = append(texts, value)
		}
	}
	walk(decoded)
	if format == chat.Teams {
		// Runs are shown as they are: it is enough that nothing else holds a text.
		assert.NotContains(t, string(body), `"TextBlock"`)
		assert.NotContains(t, string(body), `"FactSet"`)
	}
	return texts
}

func TestMarkdownIsConverted(t *testing.T) {
	summary := "# Head\n\nSome **bold**, *italic*, ~~gone~~ and `code`, a [link](https://x.example/a_b), https://y.example\nand 1 < 2 &amp; done.\n\n" +
		"1. one\n2. two\n   - inner **x**y\n\n> said\n\n- [x] done\n\n![pic](https://z.example/p.png)\n\n| a | b |\n|---|---|\n| c | d |\n\nline<br>next"
	want := map[chat.Format]string{
		chat.Slack: "*Head*\n\nSome *bold*, _italic_, ~gone~ and `code`, a link (https://x.example/a_" + "\u200b" + "b), https://y.example and 1 &lt; 2 &amp; done.\n\n" +
			"1. one\n2. two\n    • inner *x*\u200by\n\n> said",
		chat.Discord: "**Head**\n\nSome **bold**, *italic*, ~~gone~~ and `code`, a link \\(https\\://x.example/a\\_b\\), https\\://y.example and 1 \\< 2 & done.\n\n" +
			"1. one\n2. two\n    - inner **x**\u200by\n\n> said",
		chat.Mattermost: "**Head**\n\nSome **bold**, *italic*, ~~gone~~ and `code`, a link \\(https://x.example/a\\_b\\), https://y.example and 1 &lt; 2 &amp; done.\n\n" +
			"1. one\n2. two\n    - inner **x**\u200by\n\n> said",
		chat.GoogleChat: "<b>Head</b><br><br>Some <b>bold</b>, <i>italic</i>, <s>gone</s> and code, a link (https://x.example/a_b), https://y.example and 1 &lt; 2 &amp; done.<br><br>" +
			"1. one<br>2. two<br>\u2003• inner <b>x</b>y<br><br><i>said</i>",
	}

	e := sample(event.ConversationSummarized, "en")
	e.GetConversation().Summary = &summary
	for format, text := range want {
		body := format.Append(nil, renderer(), e)
		found := false
		for _, said := range read(t, format, body) {
			if strings.Contains(said, "Head") {
				found = true
				assert.True(t, strings.HasSuffix(cutAt(said, "said"), text), "%s: %s", format, said)
			}
		}
		assert.True(t, found, format)
	}
}

// cutAt is a text up to a word and what closes its style.
func cutAt(text, word string) string {
	before, after, _ := strings.Cut(text, word)
	if strings.HasPrefix(after, "</i>") {
		return before + word + "</i>"
	}
	return before + word
}

func TestATranscriptIsNeverPosted(t *testing.T) {
	for _, format := range chats() {
		for _, eventType := range types() {
			e := sample(eventType, "en")
			if c := e.GetConversation(); c != nil {
				c.Transcript = new(strings.Repeat("confidential ", 1000))
			}
			body := string(format.Append(nil, renderer(), e))
			assert.NotContains(t, body, "confidential")
			if eventType == event.ConversationTranscribed {
				assert.Contains(t, body, "13,000", format)
			}
		}
	}
}

func TestEachLanguageHasItsOwnWords(t *testing.T) {
	said := map[string]bool{}
	for _, language := range []string{"en", "nl", "de-AT", "fr", "ES", "it", "uk_UA", "cs", "ja"} {
		said[string(chat.Mattermost.Append(nil, payload.Renderer{}, sample(event.ConversationStarted, language)))] = true
	}
	assert.Len(t, said, 8, "and Japanese gets English")
}
