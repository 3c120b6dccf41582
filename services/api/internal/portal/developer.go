package portal

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload/chat"
)

// apiCopyable is what somebody needs to write a receiver.
type apiCopyable struct {
	Headers []struct {
		Name       string `json:"name"`
		Example    string `json:"example"`
		NeedSecret bool   `json:"only_with_secret"`
	} `json:"headers"`
	Samples []struct {
		Event string `json:"event"`
		Body  string `json:"body"`
	} `json:"samples"`
	Verification []struct {
		Language string `json:"language"`
		Code     string `json:"code"`
	} `json:"verification"`
}

// copyable has samples in a format.
func (a client) copyable(id, format string) (apiCopyable, error) {
	return fetch[apiCopyable](a, "/"+url.PathEscape(id)+"/copyable?"+url.Values{"format": {format}}.Encode())
}

// developerBody is the page for whoever writes the receiver.
type developerBody struct {
	Filters []filterField
	// Shown says what the sample is of, for whoever does not see it change.
	Shown string
	// Body is a sample as it is sent, and Pretty the same for people.
	Body, Pretty string
	Headers      []sentHeader
	Snippets     []snippet
}

// sentHeader is a header of a delivery: what its value is, and one of them.
type sentHeader struct {
	Name, What, Example string
	NeedSecret          bool
}

type snippet struct{ ID, Language, Code string }

func developerPage(v *visit) error {
	eventType, format := v.c.QueryParam("event"), v.c.QueryParam("format")
	if _, known := chat.Parse(format); !known || format == "" {
		format = v.webhook.Format
	}
	found, err := v.api.copyable(v.webhook.ID, format)
	if err != nil {
		return err
	}
	var body developerBody
	if !slices.Contains(append(event.Subscribable(), event.Test), eventType) {
		eventType = event.ConversationTranscribed // what the examples of the headers belong to
	}
	for _, s := range found.Samples {
		if s.Event == eventType {
			body.Body = visible(s.Body)
		}
	}
	body.Pretty = pretty(body.Body)
	body.Filters = v.sampleFilters(eventType, format)
	body.Shown = v.t("developer.shown", "event", v.t("event."+eventType), "format", v.t("format."+format))
	for _, h := range found.Headers {
		body.Headers = append(body.Headers, sentHeader{Name: h.Name, What: v.sentAs(h.Name), Example: h.Example, NeedSecret: h.NeedSecret})
	}
	for _, s := range found.Verification {
		body.Snippets = append(body.Snippets, snippet{ID: "code-" + s.Language, Language: v.t("snippet." + s.Language), Code: s.Code})
	}
	return v.render(http.StatusOK, "developer", v.t("tab.developer"), body)
}

// sampleFilters choose what the sample is of.
func (v *visit) sampleFilters(eventType, format string) []filterField {
	events := filterField{Name: "event", Label: v.t("test.event")}
	for _, name := range append(event.Subscribable(), event.Test) {
		events.Options = append(events.Options, option{Value: name, Text: v.t("event." + name), Chosen: name == eventType})
	}
	formats := filterField{Name: "format", Label: v.t("form.format")}
	for _, f := range chat.Formats() {
		formats.Options = append(formats.Options, option{Value: string(f), Text: v.t("format." + string(f)), Chosen: string(f) == format})
	}
	return []filterField{events, formats}
}

// sentAs says what a header's value is. What is not ours was set for the webhook.
func (v *visit) sentAs(header string) string {
	name := strings.ToLower(header)
	if _, known := v.p.texts[v.in]["sent."+name]; !known {
		return v.t("sent.own")
	}
	return v.t("sent." + name)
}
