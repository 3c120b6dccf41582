package registry

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

const (
	// hidden stands for what must not be repeated.
	hidden = "***"
	// shortestHidden is how long something must be to be hidden, in bytes: it is no
	// secret below that, and would take letters out of every word.
	shortestHidden = 4
)

// headers are those of one registration, with their values in the clear.
type headers struct {
	list []header
	// forms are what a receiver may repeat of the values, longest first. They are
	// behind a function so that nothing prints them.
	forms func() []string
}

type header struct {
	name  string
	value secret.Text
}

func openHeaders(r *webhooksv1.Registration, box *secret.Box) (headers, error) {
	if len(r.GetHeaders()) == 0 {
		return headers{}, nil
	}
	var h headers
	for _, sealed := range r.GetHeaders() {
		value, err := box.Open(sealed.GetCiphertext(), r.GetProjectId(), secret.ForHeader(r.GetId(), sealed.GetName()))
		if err != nil {
			return headers{}, fmt.Errorf("a header cannot be decrypted; SECRETS_KEYSET_FILE must hold the api's keyset: %w", err)
		}
		h.list = append(h.list, header{name: sealed.GetName(), value: value})
	}
	h.forms = sync.OnceValue(func() []string { return formsOf(h.list) })
	return h, nil
}

// HasHeaders reports whether the webhook has headers of its own.
func (w *Webhook) HasHeaders() bool { return len(w.headers.list) > 0 }

// HeaderNames lists the names of the webhook's own headers.
func (w *Webhook) HeaderNames() []string {
	var names []string
	for _, h := range w.headers.list {
		names = append(names, h.name)
	}
	return names
}

// SetHeaders sets the webhook's own headers on a request.
func (w *Webhook) SetHeaders(on http.Header) {
	for _, h := range w.headers.list {
		on[h.name] = []string{h.value.Reveal()}
	}
}

// Hide takes out of a text what the webhook's own headers hold, for texts that come
// from its receiver: some repeat what they were sent.
func (w *Webhook) Hide(text string) string {
	if !w.HasHeaders() {
		return text
	}
	for _, form := range w.headers.forms() {
		text = strings.ReplaceAll(text, form, hidden)
	}
	return text
}

// HideInCut is [Webhook.Hide] for a text that may have been cut off in the middle of
// something.
func (w *Webhook) HideInCut(text string) string {
	text = w.Hide(text)
	if !w.HasHeaders() {
		return text
	}
	for _, form := range w.headers.forms() {
		for n := min(len(form), len(text)); n >= shortestHidden; n-- {
			if strings.HasSuffix(text, form[:n]) {
				return text[:len(text)-n] + hidden
			}
		}
	}
	return text
}

// formsOf is how receivers write values when they repeat them: as they are, as text
// in JSON, in a URL and in HTML, and the credentials without their scheme.
func formsOf(list []header) []string {
	var forms []string
	for _, h := range list {
		value := h.value.Reveal()
		parts := []string{value}
		if _, credentials, ok := strings.Cut(value, " "); ok {
			parts = append(parts, credentials)
		}
		for _, part := range parts {
			forms = append(forms, part, inJSON(part, true), inJSON(part, false), strings.ReplaceAll(part, "/", `\/`),
				url.QueryEscape(part), url.PathEscape(part), html.EscapeString(part))
		}
	}
	forms = slices.DeleteFunc(forms, func(form string) bool { return len(form) < shortestHidden })
	slices.SortFunc(forms, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(forms)
}

// inJSON is a text between the quotation marks of JSON. Some writers escape what
// means something in HTML, and some do not.
func inJSON(text string, escapeHTML bool) string {
	var quoted strings.Builder
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(escapeHTML)
	if encoder.Encode(text) != nil { // a string can always be written
		return text
	}
	return strings.TrimSuffix(strings.TrimPrefix(quoted.String(), `"`), "\"\n")
}
