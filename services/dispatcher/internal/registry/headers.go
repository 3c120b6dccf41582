package registry

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// headers are those of one registration, with their values in the clear.
type headers struct {
	list []header
	// echoes is behind a function so that nothing prints what is in it.
	echoes func() *echoes
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
	h.echoes = sync.OnceValue(func() *echoes { return newEchoes(h.list) })
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
