// Package chat renders an event as the message that a chat product's incoming
// webhook takes, one file a product:
//
//	event ─▶ message (message.go, markdown.go, texts.go) ─▶ slack.go, teams.go, discord.go, …
//
// A message has a title, a few facts, for a summary its text, and a link to the
// dashboard, in the language of the project. What participants wrote is escaped for
// the product: it mentions nobody, formats nothing and makes no link whose text says
// something else than its target. A transcript is never posted, only its length.
// Every limit of a product is kept, in the unit in which the product counts.
//
// The same event renders to the same bytes on every attempt.
package chat

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Format is the shape of the bodies that a webhook gets.
type Format string

// The formats. The list is closed: a new one is a new release.
const (
	// JSON is the canonical body of package payload.
	JSON Format = "json"
	// Slack is for Slack's incoming webhooks.
	Slack Format = "slack"
	// Teams is for the workflows of Microsoft Teams that post what a webhook sends.
	Teams Format = "teams"
	// Discord is for Discord's webhooks.
	Discord Format = "discord"
	// Mattermost is for Mattermost's incoming webhooks.
	Mattermost Format = "mattermost"
	// GoogleChat is for the webhooks of Google Chat's spaces.
	GoogleChat Format = "google_chat"
)

// Formats returns all of them, JSON first. The caller owns the slice.
func Formats() []Format { return []Format{JSON, Slack, Teams, Discord, Mattermost, GoogleChat} }

// Parse reads a format. Empty is [JSON]; ok is false for what is not a format.
func Parse(name string) (_ Format, ok bool) {
	if name == "" {
		return JSON, true
	}
	return Format(name), slices.Contains(Formats(), Format(name))
}

// DefaultRate is how many deliveries a second a product takes, and 0 when it does
// not say: the limit of a webhook that has none of its own.
func (f Format) DefaultRate() float64 {
	switch f {
	case Slack, Teams, GoogleChat:
		return 1
	case Discord:
		return 0.5
	case JSON, Mattermost:
		return 0
	default:
		return 0
	}
}

// product writes messages for one chat product.
type product interface {
	// body is what the product takes, within all of its limits, ready to be encoded.
	body(m message) any
}

// product is nil for JSON and for what is not a format.
func (f Format) product() product {
	switch f {
	case Slack:
		return slack{}
	case Teams:
		return teams{}
	case Discord:
		return discord{}
	case Mattermost:
		return mattermost{}
	case GoogleChat:
		return googleChat{}
	case JSON:
		return nil
	default:
		return nil
	}
}

// Append appends the body of an event in a format to dst and returns the extended
// slice. What is not a format counts as [JSON]. The event must be valid, see
// event.Validate, or made by [payload.Sample].
func (f Format) Append(dst []byte, r payload.Renderer, e *webhooksv1.Event) []byte {
	p := f.product()
	if p == nil {
		return r.Append(dst, e)
	}
	return append(dst, encode(p.body(newMessage(r, e)))...)
}

// encode writes a body in UTF-8, which is what the limits that count bytes mean:
// an escaped Cyrillic letter would be three times as long.
func encode(body any) []byte {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		panic(err) // bodies are structs of strings, booleans and lists
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
