package chat

import (
	"slices"
	"strings"
)

// slack writes what Slack's incoming webhooks take: blocks, and a text for
// notifications. https://docs.slack.dev/reference/block-kit/blocks/section-block
type slack struct{}

// Slack's limits, in characters. It counts what is sent, "&amp;" as five.
const (
	slackSection = 3000
	slackBlocks  = 50
	slackTotal   = 12_000
)

type slackBody struct {
	Text        string       `json:"text"`
	Blocks      []slackBlock `json:"blocks"`
	UnfurlLinks bool         `json:"unfurl_links"`
	UnfurlMedia bool         `json:"unfurl_media"`
}

type slackBlock struct {
	Type string    `json:"type"`
	Text slackText `json:"text"`
}

type slackText struct {
	Type string `json:"type"`
	Text string `json:"text"`
	// Verbatim keeps Slack from looking for names and addresses in the text.
	Verbatim bool `json:"verbatim"`
}

func slackSectionOf(text string) slackBlock {
	return slackBlock{Type: "section", Text: slackText{Type: "mrkdwn", Text: text, Verbatim: true}}
}

func (s slack) body(m message) any {
	w := slackMarkup()
	title := w.escape(m.title())
	before := []slackBlock{slackSectionOf("*" + title + "*")}
	if len(m.facts) > 0 {
		var lines []string
		for _, f := range m.facts {
			lines = append(lines, "*"+w.escape(f.name)+":* "+w.escape(f.value))
		}
		before = append(before, slackSectionOf(strings.Join(lines, "\n")))
	}
	var after []slackBlock
	if m.link != "" {
		after = append(after, slackSectionOf("<"+slackEscapeURL(m.link)+"|"+w.escape(m.linkLabel)+">"))
	}
	whole := func(text []block) []slackBlock {
		return append(append(slices.Clip(before), slackSections(w, text)...), after...)
	}
	text := fit(m.text, func(text []block) bool {
		size := units(title)
		blocks := whole(text)
		for _, b := range blocks {
			size += units(b.Text.Text)
		}
		return len(blocks) <= slackBlocks && size <= slackTotal
	})
	return slackBody{Text: title, Blocks: whole(text)}
}

// slackSections puts a text into as few sections as hold it.
func slackSections(w markup, text []block) []slackBlock {
	var sections []slackBlock
	var held strings.Builder
	var last block
	size := 0
	flush := func() {
		if size > 0 {
			sections = append(sections, slackSectionOf(held.String()))
		}
		held.Reset()
		size = 0
	}
	for len(text) > 0 {
		b, said := text[0], w.block(text[0])
		length := units(said)
		if size > 0 {
			between := separator(last, b)
			if size+len(between)+length > slackSection {
				flush()
			} else {
				held.WriteString(between)
				size += len(between)
			}
		}
		if length > slackSection {
			first, rest := slackSplit(w, b)
			sections = append(sections, slackSectionOf(w.block(first)))
			text = append([]block{rest}, text[1:]...)
			continue
		}
		held.WriteString(said)
		size += length
		last = b
		text = text[1:]
	}
	flush()
	return sections
}

// slackSplit parts a block that no section holds.
func slackSplit(w markup, b block) (first, rest block) {
	for most := slackSection; ; most = most * 9 / 10 {
		first, rest = split(b, most)
		if units(w.block(first)) <= slackSection {
			return first, rest
		}
	}
}

// slackMarkup escapes <, > and &, which mentions and links need. Slack has no escape
// for styles; these do not begin before something unseen.
func slackMarkup() markup {
	entities := []string{"&", "&amp;", "<", "&lt;", ">", "&gt;"}
	styles := []string{"*", "*" + blank, "_", "_" + blank, "~", "~" + blank, "`", "`" + blank}
	return markup{
		bold: "*", italic: "_", strike: "~", bullet: "•",
		escape:     strings.NewReplacer(append(styles, entities...)...).Replace,
		escapeCode: strings.NewReplacer(entities...).Replace,
	}
}

// slackEscapeURL is for our own address, whose parts from outside are percent-encoded.
func slackEscapeURL(address string) string {
	return strings.NewReplacer("&", "&amp;", "<", "%3C", ">", "%3E", "|", "%7C").Replace(address)
}
