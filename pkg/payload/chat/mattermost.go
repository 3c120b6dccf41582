package chat

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// mattermost writes what Mattermost's incoming webhooks take: one text in its
// Markdown. https://developers.mattermost.com/integrate/webhooks/incoming/
type mattermost struct{}

// mattermostText is the longest text, in code points: Mattermost takes 16,383.
const mattermostText = 16_000

type mattermostBody struct {
	Text string `json:"text"`
}

func (s mattermost) body(m message) any {
	w := mattermostMarkup()
	before := []string{"**" + w.escape(m.title()) + "**"}
	var facts []string
	for _, f := range m.facts {
		facts = append(facts, "- **"+w.escape(f.name)+":** "+w.escape(f.value))
	}
	if len(facts) > 0 {
		before = append(before, strings.Join(facts, "\n"))
	}
	var after []string
	if m.link != "" {
		after = append(after, "["+w.escape(m.linkLabel)+"]("+m.link+")")
	}
	whole := func(text []block) string {
		parts := slices.Clip(before)
		if len(text) > 0 {
			parts = append(parts, w.blocks(text))
		}
		return strings.Join(append(parts, after...), "\n\n")
	}
	return mattermostBody{Text: whole(fit(m.text, func(text []block) bool {
		return utf8.RuneCountInString(whole(text)) <= mattermostText
	}))}
}

// mattermostMarkup escapes what begins markup. Mattermost takes what Slack calls links
// and mentions, <…>, before it reads Markdown, so that these need entities, or, within
// code, where entities are shown, something unseen; and it finds names behind an @
// after it has read Markdown, so that the @ needs something unseen too.
func mattermostMarkup() markup {
	return markup{
		bold: "**", italic: "*", strike: "~~", bullet: "-",
		escape: backslashes("\\*_~`|[]()#!",
			"&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "@"+blank).Replace,
		escapeCode:  strings.NewReplacer("<", "<"+blank, "@", "@"+blank).Replace,
		escapeStart: escapeItem,
	}
}
