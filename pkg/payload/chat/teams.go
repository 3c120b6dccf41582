package chat

import "strings"

// teams writes what the workflows of Microsoft Teams take: a message with an adaptive
// card. Its texts are runs, which Teams shows as they are, and not text blocks, in
// which it would look for Markdown.
// https://adaptivecards.io/explorer/RichTextBlock.html
type teams struct{}

// teamsBody is the largest body, in bytes.
const teamsBody = 28 << 10

type teamsMessage struct {
	Type        string            `json:"type"`
	Attachments []teamsAttachment `json:"attachments"`
}

type teamsAttachment struct {
	ContentType string    `json:"contentType"`
	Content     teamsCard `json:"content"`
}

type teamsCard struct {
	Schema       string        `json:"$schema"`
	Type         string        `json:"type"`
	Version      string        `json:"version"`
	FallbackText string        `json:"fallbackText"`
	Body         []teamsBlock  `json:"body"`
	Actions      []teamsAction `json:"actions,omitempty"`
}

type teamsBlock struct {
	Type    string     `json:"type"`
	Spacing string     `json:"spacing,omitempty"`
	Inlines []teamsRun `json:"inlines"`
}

type teamsRun struct {
	Type          string `json:"type"`
	Text          string `json:"text"`
	Size          string `json:"size,omitempty"`
	Weight        string `json:"weight,omitempty"`
	FontType      string `json:"fontType,omitempty"`
	Italic        bool   `json:"italic,omitempty"`
	Strikethrough bool   `json:"strikethrough,omitempty"`
}

type teamsAction struct {
	Type  string `json:"type"`
	Title string `json:"title"`
	URL   string `json:"url"`
}

func (t teams) body(m message) any {
	whole := func(text []block) teamsMessage {
		card := teamsCard{
			Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4",
			FallbackText: m.title(),
			Body:         []teamsBlock{teamsRuns("", teamsRun{Text: m.title(), Size: "Large", Weight: "Bolder"})},
		}
		for i, f := range m.facts {
			spacing := "None"
			if i == 0 {
				spacing = ""
			}
			card.Body = append(card.Body, teamsRuns(spacing, teamsRun{Text: f.name + ": ", Weight: "Bolder"}, teamsRun{Text: f.value}))
		}
		for i, b := range text {
			card.Body = append(card.Body, teamsText(b, i > 0 && b.kind == item && text[i-1].kind == item))
		}
		if m.link != "" {
			card.Actions = []teamsAction{{Type: "Action.OpenUrl", Title: m.linkLabel, URL: m.link}}
		}
		return teamsMessage{Type: "message", Attachments: []teamsAttachment{{
			ContentType: "application/vnd.microsoft.card.adaptive", Content: card,
		}}}
	}
	return whole(fit(m.text, func(text []block) bool { return len(encode(whole(text))) <= teamsBody }))
}

func teamsRuns(spacing string, runs ...teamsRun) teamsBlock {
	for i := range runs {
		runs[i].Type = "TextRun"
	}
	return teamsBlock{Type: "RichTextBlock", Spacing: spacing, Inlines: runs}
}

// teamsText is one block; close goes right below the one before.
func teamsText(b block, closely bool) teamsBlock { //nolint:revive // flag-parameter: where it stands is a property of the block.
	spacing := ""
	if closely {
		spacing = "Small"
	}
	var runs []teamsRun
	if before := indentation(b); before != "" {
		runs = append(runs, teamsRun{Text: before})
	}
	for _, s := range joined(b.spans) {
		run := teamsRun{Text: s.text, Italic: s.style&italic != 0 || b.kind == quote, Strikethrough: s.style&strike != 0}
		if s.style&bold != 0 || b.kind == heading {
			run.Weight = "Bolder"
		}
		if s.style&code != 0 {
			run.FontType = "Monospace"
		}
		runs = append(runs, run)
	}
	return teamsRuns(spacing, runs...)
}

// indentation is what goes before a block where lists are not known.
func indentation(b block) string {
	if b.kind != item {
		return ""
	}
	indent := strings.Repeat("\u2003", b.depth)
	if b.marker == "" {
		return indent + "\u2003"
	}
	return indent + b.marker + " "
}
