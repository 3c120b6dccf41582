package chat

import (
	"html"
	"strings"
)

// googleChat writes what the webhooks of Google Chat take: a card, and a text for where
// cards are not shown.
// https://developers.google.com/workspace/chat/api/reference/rest/v1/cards
type googleChat struct{}

// googleBody is the largest message, in bytes.
const googleBody = 32_000

type googleMessage struct {
	FallbackText string       `json:"fallbackText"`
	CardsV2      []googleCard `json:"cardsV2"`
}

type googleCard struct {
	CardID string            `json:"cardId"`
	Card   googleCardContent `json:"card"`
}

type googleCardContent struct {
	Header   googleHeader    `json:"header"`
	Sections []googleSection `json:"sections"`
}

type googleHeader struct {
	Title string `json:"title"`
}

type googleSection struct {
	Widgets []googleWidget `json:"widgets"`
}

type googleWidget struct {
	DecoratedText *googleDecorated `json:"decoratedText,omitempty"`
	TextParagraph *googleParagraph `json:"textParagraph,omitempty"`
	ButtonList    *googleButtons   `json:"buttonList,omitempty"`
}

type googleDecorated struct {
	TopLabel string `json:"topLabel"`
	Text     string `json:"text"`
	WrapText bool   `json:"wrapText"`
}

type googleParagraph struct {
	Text string `json:"text"`
}

type googleButtons struct {
	Buttons []googleButton `json:"buttons"`
}

type googleButton struct {
	Text    string        `json:"text"`
	OnClick googleOnClick `json:"onClick"`
}

type googleOnClick struct {
	OpenLink googleOpenLink `json:"openLink"`
}

type googleOpenLink struct {
	URL string `json:"url"`
}

func (g googleChat) body(m message) any {
	whole := func(text []block) googleMessage {
		var widgets []googleWidget
		if m.project != "" {
			widgets = append(widgets, googleText("<b>"+html.EscapeString(m.project)+"</b>"))
		}
		for _, f := range m.facts {
			widgets = append(widgets, googleWidget{DecoratedText: &googleDecorated{
				TopLabel: html.EscapeString(f.name), Text: html.EscapeString(f.value), WrapText: true,
			}})
		}
		if len(text) > 0 {
			widgets = append(widgets, googleText(googleHTML(text)))
		}
		if m.link != "" {
			widgets = append(widgets, googleWidget{ButtonList: &googleButtons{Buttons: []googleButton{{
				Text: m.linkLabel, OnClick: googleOnClick{OpenLink: googleOpenLink{URL: m.link}},
			}}}})
		}
		if len(widgets) == 0 {
			widgets = append(widgets, googleText(html.EscapeString(m.what))) // a section is never empty
		}
		return googleMessage{
			// A text of Chat mentions <users/all>: the bracket is kept apart from it.
			FallbackText: strings.ReplaceAll(m.title(), "<", "<"+blank),
			CardsV2: []googleCard{{CardID: "event", Card: googleCardContent{
				// What happened is our own text: whether a header reads markup does not matter.
				Header:   googleHeader{Title: m.what},
				Sections: []googleSection{{Widgets: widgets}},
			}}},
		}
	}
	return whole(fit(m.text, func(text []block) bool { return len(encode(whole(text))) <= googleBody }))
}

func googleText(text string) googleWidget {
	return googleWidget{TextParagraph: &googleParagraph{Text: text}}
}

// googleHTML writes a text with the few tags that cards know.
func googleHTML(text []block) string {
	var out strings.Builder
	for i, b := range text {
		switch {
		case i == 0:
		case b.kind == item && text[i-1].kind == item:
			out.WriteString("<br>")
		default:
			out.WriteString("<br><br>")
		}
		out.WriteString(indentation(b))
		for _, s := range joined(b.spans) {
			said := strings.ReplaceAll(html.EscapeString(s.text), "\n", "<br>")
			if s.style&strike != 0 {
				said = "<s>" + said + "</s>"
			}
			if s.style&italic != 0 || b.kind == quote {
				said = "<i>" + said + "</i>"
			}
			if s.style&bold != 0 || b.kind == heading {
				said = "<b>" + said + "</b>"
			}
			out.WriteString(said)
		}
	}
	return out.String()
}
