package chat

// discord writes what Discord's webhooks take: the title as content, which also those
// see who have embeds switched off, and the rest in one embed.
// https://discord.com/developers/docs/resources/webhook#execute-webhook
type discord struct{}

// Discord's limits, in characters. A field takes 1,024 and the content 2,000, which
// the limits of a message's short texts stay below.
const (
	discordDescription = 4096
	discordEmbed       = 6000 // all texts of an embed together
)

type discordBody struct {
	Content         string          `json:"content"`
	Embeds          []discordEmbeds `json:"embeds,omitempty"`
	AllowedMentions discordMentions `json:"allowed_mentions"`
}

type discordEmbeds struct {
	Title       string         `json:"title,omitempty"`
	URL         string         `json:"url,omitempty"`
	Description string         `json:"description,omitempty"`
	Fields      []discordField `json:"fields,omitempty"`
}

type discordField struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Inline bool   `json:"inline"`
}

type discordMentions struct {
	// Parse is empty: nobody is mentioned, whatever the text says.
	Parse []string `json:"parse"`
}

func (d discord) body(m message) any {
	w := discordMarkup()
	var e discordEmbeds
	size := 0
	if m.link != "" {
		e.Title, e.URL = w.escape(m.linkLabel), m.link
		size += units(e.Title)
	}
	for _, f := range m.facts {
		field := discordField{Name: w.escape(f.name), Value: escapeItem(w.escape(f.value)), Inline: true}
		size += units(field.Name) + units(field.Value)
		e.Fields = append(e.Fields, field)
	}
	e.Description = w.blocks(fit(m.text, func(text []block) bool {
		length := units(w.blocks(text))
		return length <= discordDescription && length+size <= discordEmbed
	}))
	body := discordBody{Content: "**" + w.escape(m.title()) + "**", AllowedMentions: discordMentions{Parse: []string{}}}
	if e.Title != "" || e.Description != "" || len(e.Fields) > 0 {
		body.Embeds = []discordEmbeds{e}
	}
	return body
}

// discordMarkup escapes what begins markup, a mention, an emoji or an address.
func discordMarkup() markup {
	return markup{
		bold: "**", italic: "*", strike: "~~", bullet: "-",
		escape:      backslashes("\\*_~`|<>[]():@#").Replace,
		escapeStart: escapeItem,
	}
}
