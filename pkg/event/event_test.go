package event_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dembrane/webhooks/pkg/event"
)

func TestTypesAreKnown(t *testing.T) {
	types := event.Types()
	assert.Equal(t, []string{
		"conversation.started", "conversation.transcribed", "conversation.summarized", "report.generated",
	}, types)
	for _, name := range types {
		assert.True(t, event.Known(name), name)
	}
	for _, name := range []string{"", event.Test, "conversation", "Conversation.Started", "conversation.started "} {
		assert.False(t, event.Known(name), name)
	}
	types[0] = "changed"
	assert.Equal(t, event.ConversationStarted, event.Types()[0], "the list must not be shared")
}

func TestValidID(t *testing.T) {
	for _, id := range []string{"a", "-", "_", "AZaz09_-", "legacy-42", strings.Repeat("x", 64)} {
		assert.True(t, event.ValidID(id), id)
	}
	for _, id := range []string{
		"", strings.Repeat("x", 65), ".", "a.b", "a b", "a\r\nb", "a\x00b", "*", ">", "é", "a/b", "@", "[", "`", "{", "/", ":",
	} {
		assert.False(t, event.ValidID(id), id)
	}
}
