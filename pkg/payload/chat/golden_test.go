package chat_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

var update = flag.Bool("update", false, "write the golden files anew; look at every difference")

const hostile = "<!channel> @everyone @here <users/all> <@U123> <at>all</at> [log in](https://evil.example) " +
	"<https://evil.example|log in> <a href='https://evil.example'>log in</a> *b* _i_ ~s~ `c` # h\n- x\n> q\u202e &amp; 😀"

func renderer() payload.Renderer {
	return payload.Renderer{AdminBaseURL: "https://dashboard.example.org"}
}

func sample(eventType, language string) *webhooksv1.Event {
	p := &webhooksv1.Project{Id: "p1", WorkspaceId: new("w1"), Name: new("Neighbourhood"), Language: &language}
	return payload.Sample(eventType, p, "evt_1", time.Date(2026, 1, 20, 12, 0, 0, 0, time.UTC))
}

func types() []string { return append(event.Subscribable(), event.Test) }

func chats() []chat.Format { return chat.Formats()[1:] }

// variants change a sample to what may really come.
func variants() map[string]func(e *webhooksv1.Event) {
	return map[string]func(e *webhooksv1.Event){
		"short": func(*webhooksv1.Event) {},
		"long-cyrillic": func(e *webhooksv1.Event) {
			text := strings.Repeat("Мешканці кажуть, що **кав’ярня** закрилася. ", 1500)
			everyText(e, func(string) string { return text })
			e.GetProject().Language = new("uk")
		},
		"emoji": func(e *webhooksv1.Event) {
			everyText(e, func(string) string { return strings.Repeat("👩‍👩‍👧‍👦🇳🇱👍🏽", 1200) })
		},
		"hostile": func(e *webhooksv1.Event) {
			everyText(e, func(string) string { return hostile })
		},
		"no-name": func(e *webhooksv1.Event) {
			everyText(e, func(string) string { return " \u200b\u3164" })
			e.GetProject().Name = nil
			e.GetProject().Language = nil
		},
		"no-summary": func(e *webhooksv1.Event) {
			if c := e.GetConversation(); c != nil {
				c.Summary, c.Duration, c.Tags, c.Transcript = nil, nil, nil, nil
			}
		},
	}
}

// everyText changes every text that somebody else has written.
func everyText(e *webhooksv1.Event, change func(string) string) {
	e.GetProject().Name = new(change(e.GetProject().GetName()))
	if c := e.GetConversation(); c != nil {
		c.ParticipantName = new(change(c.GetParticipantName()))
		c.Summary = new(change(c.GetSummary()))
		c.Tags = []string{change("a"), change("b")}
	}
	if w := e.GetWebhook(); w != nil {
		w.Name, w.Message = change(w.GetName()), change(w.GetMessage())
	}
}

// Each format × event × text, as it is sent. A product takes what is in these files.
func TestMessagesAreTheGoldenFiles(t *testing.T) {
	for _, format := range chats() {
		for _, eventType := range types() {
			for name, change := range variants() {
				e := sample(eventType, "nl")
				change(e)
				body := format.Append(nil, renderer(), e)
				assert.Equal(t, string(body), string(format.Append(nil, renderer(), e)), "the same event has the same bytes")
				wantWithinLimits(t, format, body)

				var pretty bytes.Buffer
				require.NoError(t, json.Indent(&pretty, body, "", " "))
				pretty.WriteByte('\n')
				golden := filepath.Join("testdata", string(format), eventType+"."+name+".json")
				if *update {
					require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o750))
					require.NoError(t, os.WriteFile(golden, pretty.Bytes(), 0o600))
				}
				want, err := os.ReadFile(golden)
				require.NoError(t, err)
				assert.Equal(t, string(want), pretty.String(), golden)
			}
		}
	}
}
