package chat_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload/chat"
)

func utf16Len(s string) int { return len(utf16.Encode([]rune(s))) }

// field reads a value out of nested objects and lists.
func field(value any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			object, _ := value.(map[string]any)
			value = object[step]
		case int:
			list, _ := value.([]any)
			if step >= len(list) {
				return nil
			}
			value = list[step]
		}
	}
	return value
}

func list(value any, path ...any) []any {
	found, _ := field(value, path...).([]any)
	return found
}

func text(value any, path ...any) string {
	found, _ := field(value, path...).(string)
	return found
}

// size is what the product counts of a body, and the most that it takes.
func size(format chat.Format, body []byte) (length, most int) {
	var decoded any
	if err := json.Unmarshal(body, &decoded); err != nil {
		panic(err)
	}
	switch format {
	case chat.Slack:
		length = utf16Len(text(decoded, "text"))
		for _, b := range list(decoded, "blocks") {
			length += utf16Len(text(b, "text", "text"))
		}
		return length, 12_000
	case chat.Discord:
		return utf16Len(text(decoded, "embeds", 0, "description")), 4096
	case chat.Mattermost:
		return utf8.RuneCountInString(text(decoded, "text")), 16_000
	case chat.Teams:
		return len(body), 28 << 10
	case chat.GoogleChat, chat.JSON:
		return len(body), 32_000
	default:
		return 0, 0
	}
}

// wantWithinLimits holds a body against what the products publish.
func wantWithinLimits(t *testing.T, format chat.Format, body []byte) {
	t.Helper()
	require.True(t, json.Valid(body))
	var decoded any
	require.NoError(t, json.Unmarshal(body, &decoded))
	length, most := size(format, body)
	assert.LessOrEqual(t, length, most, format)
	switch format {
	case chat.Slack:
		blocks := list(decoded, "blocks")
		assert.NotEmpty(t, text(decoded, "text"))
		assert.LessOrEqual(t, len(blocks), 50)
		for _, b := range blocks {
			assert.Equal(t, "section", text(b, "type"))
			assert.NotEmpty(t, text(b, "text", "text"))
			assert.LessOrEqual(t, utf16Len(text(b, "text", "text")), 3000)
		}
	case chat.Discord:
		wantDiscordLimits(t, decoded)
	case chat.Teams:
		assert.Equal(t, "message", text(decoded, "type"))
		card := field(decoded, "attachments", 0, "content")
		assert.Equal(t, "AdaptiveCard", text(card, "type"))
		assert.Equal(t, "1.4", text(card, "version"))
		for _, b := range list(card, "body") {
			assert.NotEmpty(t, list(b, "inlines"))
			for _, run := range list(b, "inlines") {
				assert.NotEmpty(t, text(run, "text"))
			}
		}
	case chat.GoogleChat:
		widgets := list(decoded, "cardsV2", 0, "card", "sections", 0, "widgets")
		assert.NotEmpty(t, widgets)
		assert.LessOrEqual(t, len(widgets), 100)
		assert.NotEmpty(t, text(decoded, "cardsV2", 0, "card", "header", "title"))
	case chat.Mattermost:
		assert.NotEmpty(t, text(decoded, "text"))
	case chat.JSON:
	}
}

func wantDiscordLimits(t *testing.T, decoded any) {
	t.Helper()
	assert.Equal(t, []any{}, field(decoded, "allowed_mentions", "parse"))
	content := text(decoded, "content")
	assert.NotEmpty(t, content)
	assert.LessOrEqual(t, utf16Len(content), 2000)
	total := 0
	for _, e := range list(decoded, "embeds") {
		title := text(e, "title")
		assert.LessOrEqual(t, utf16Len(title), 256)
		total += utf16Len(title) + utf16Len(text(e, "description"))
		assert.LessOrEqual(t, len(list(e, "fields")), 25)
		for _, f := range list(e, "fields") {
			name, value := text(f, "name"), text(f, "value")
			assert.NotEmpty(t, name)
			assert.NotEmpty(t, value)
			assert.LessOrEqual(t, utf16Len(name), 256)
			assert.LessOrEqual(t, utf16Len(value), 1024)
			total += utf16Len(name) + utf16Len(value)
		}
	}
	assert.LessOrEqual(t, total, 6000)
}

// summarized is a body whose summary has so many paragraphs of one word, then one of
// so many letters.
func summarized(format chat.Format, letter string, paragraphs, letters int) []byte {
	e := sample(event.ConversationSummarized, "en")
	words := strings.Repeat(strings.Repeat(letter, 9)+" ", paragraphs)
	e.GetConversation().Summary = new(words + strings.Repeat(letter, letters))
	return format.Append(nil, renderer(), e)
}

// At the limit nothing is cut; one more and the text ends at a word, with an ellipsis.
func TestASummaryIsCutWhereTheProductsLimitIs(t *testing.T) {
	for _, format := range chats() {
		for _, letter := range []string{"a", "я", "😀"} {
			// As many words as fit, then one that fills the rest.
			words := 0
			for step := 1 << 12; step > 0; step /= 2 {
				if body := summarized(format, letter, words+step, 1); !strings.Contains(string(body), "…") {
					words += step
				}
			}
			letters := 1
			for !strings.Contains(string(summarized(format, letter, words, letters+1)), "…") {
				letters++
			}
			for more := -1; more <= 1; more++ {
				body := summarized(format, letter, words, letters+more)
				wantWithinLimits(t, format, body)
				length, most := size(format, body)
				assert.Equal(t, more > 0, strings.Contains(string(body), "…"), "%s %s %+d", format, letter, more)
				assert.NotContains(t, string(body), "\ufffd")
				if more == 0 {
					assert.Greater(t, length, most-2*len(letter), "%s %s: there was room for another letter", format, letter)
				}
				if more > 0 {
					assert.Contains(t, string(body), strings.Repeat(letter, 9)+"…", "%s %s: cut at a word", format, letter)
					assert.Greater(t, length, most-25*len(letter), "%s %s: cut too early", format, letter)
				}
			}
		}
	}
}

// The cut of styled text of every shape stays within the limits and is found soon.
func TestAnySummaryFits(t *testing.T) {
	shapes := map[string]string{
		"one word":     strings.Repeat("x", 70_000),
		"bold":         "**" + strings.Repeat("слово ", 12_000) + "**",
		"items":        strings.Repeat("- пункт\n", 9_000),
		"nested items": deep("- x\n"),
		"quotes":       strings.Repeat(">", 60_000) + " x",
		"brackets":     strings.Repeat("[", 60_000),
		"stars":        strings.Repeat("*a ", 20_000),
		"escapes":      strings.Repeat(`&<>*_~[]()#@`, 6_000),
		"table":        "| a | b |\n|---|---|\n" + strings.Repeat("| x | y |\n", 6_000),
		"code":         "```\n" + strings.Repeat("x := `y`\n", 6_000) + "```",
		"ticks":        strings.Repeat("` ", 30_000),
		"short spans":  strings.Repeat("a**b**_c_`d` ", 5_000),
		"blank lines":  strings.Repeat("x\n\n", 20_000),
	}
	for name, summary := range shapes {
		for _, format := range chats() {
			e := sample(event.ConversationSummarized, "en")
			e.GetConversation().Summary = &summary
			body := format.Append(nil, renderer(), e)
			wantWithinLimits(t, format, body)
			assert.NotEmpty(t, body, name)
		}
	}
}

// deep is a list in a list in a list.
func deep(line string) string {
	var out strings.Builder
	for i := range 200 {
		out.WriteString(strings.Repeat("  ", i) + line)
	}
	return out.String()
}
