package store

import (
	"cmp"
	"slices"
	"strings"
)

// SetHeader gives a header a sealed value, in the place of one of that name in
// whatever spelling; nil takes it away.
func (w *Webhook) SetHeader(name string, sealed []byte) {
	w.Headers = slices.DeleteFunc(w.Headers, func(h Header) bool { return strings.EqualFold(h.Name, name) })
	if sealed != nil {
		w.Headers = append(w.Headers, Header{Name: name, Ciphertext: sealed})
	}
	slices.SortFunc(w.Headers, func(a, b Header) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	if len(w.Headers) == 0 {
		w.Headers = nil
	}
}

// HeaderNames lists the names of its headers; it is never nil.
func (w *Webhook) HeaderNames() []string {
	names := make([]string, len(w.Headers))
	for i, header := range w.Headers {
		names[i] = header.Name
	}
	return names
}
