// Package chats holds what is posted into chats against what others say that the
// products take: the types of well-kept libraries, which are made from the products'
// documents, and for Teams Microsoft's own reader of cards (teams.mjs).
package chats_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/bwmarrin/discordgo"
	"github.com/slack-go/slack"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// golden calls check with each message that pkg/payload/chat makes for a format.
func golden(t *testing.T, format string, check func(t *testing.T, raw []byte)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "pkg", "payload", "chat", "testdata", format, "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 48, "eight events in six variants")
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			check(t, raw)
		})
	}
}

// wantWhole reads a message into a library's type and writes it again: what the type
// does not have, or has in another shape, is then missing.
func wantWhole(t *testing.T, raw []byte, message any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(message))
	again, err := json.Marshal(message)
	require.NoError(t, err)
	var want, got map[string]any
	require.NoError(t, json.Unmarshal(raw, &want))
	require.NoError(t, json.Unmarshal(again, &got))
	forget(got, want)
	assert.Equal(t, want, got)
}

// forget takes out what a type writes although it is not there: false, and null.
func forget(written, given map[string]any) {
	for name, value := range written {
		if _, there := given[name]; !there && (value == nil || value == false) {
			delete(written, name)
		}
		inner, isObject := value.(map[string]any)
		was, wasObject := given[name].(map[string]any)
		if isObject && wasObject {
			forget(inner, was)
		}
	}
}

func TestSlackHasTheseBlocks(t *testing.T) {
	golden(t, "slack", func(t *testing.T, raw []byte) {
		t.Helper()
		var message slack.WebhookMessage
		wantWhole(t, raw, &message)
		require.NotEmpty(t, message.Blocks.BlockSet)
		for _, block := range message.Blocks.BlockSet {
			section, ok := block.(*slack.SectionBlock)
			require.True(t, ok, "%T", block)
			require.NoError(t, section.Text.Validate())
		}
	})
}

func TestDiscordHasTheseFields(t *testing.T) {
	golden(t, "discord", func(t *testing.T, raw []byte) {
		t.Helper()
		var message discordgo.WebhookParams
		wantWhole(t, raw, &message)
		require.NotNil(t, message.AllowedMentions)
		assert.Empty(t, message.AllowedMentions.Parse)
		assert.NotNil(t, message.AllowedMentions.Parse, "absent, it allows all")
	})
}
