package registry

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/pkg/webhook"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Webhook is one registration, ready to be used. It is never changed: a change
// of the registration makes a new one.
type Webhook struct {
	ID        string
	ProjectID string
	Revision  uint64
	// URL is where deliveries go, and URLText the same as records write it; nil and
	// empty when the registered one cannot be parsed.
	URL     *url.URL
	URLText string
	// Endpoint names what is behind the webhook: another URL is another endpoint,
	// to which nothing that was learned of the old one applies.
	Endpoint string
	Enabled  bool
	// Format is the shape of its bodies.
	Format chat.Format
	// MaxPerSecond is the most attempts a second: what was set, or else what the
	// product of the format takes; 0 for no limit.
	MaxPerSecond float64
	// Fault says why nothing can be sent (a secret that cannot be decrypted, a
	// URL that cannot be parsed). A webhook with a fault is never sent to
	// unsigned or without its headers; its deliveries fail and are retried.
	Fault error

	events  []string
	from    map[string]time.Time // by event; nil for almost every webhook
	keys    []expiringKey
	headers headers
	gone    atomic.Bool
}

type expiringKey struct {
	key   signature.Key
	until time.Time // zero: no end
}

// Wants reports whether events of this type that were published then are to be
// delivered when they are taken in. Those that were published before a change of
// the registration was in force everywhere are owed by whoever wrote it.
func (w *Webhook) Wants(eventType string, published time.Time) bool {
	return w.Active() && slices.Contains(w.events, eventType) && !published.Before(w.from[eventType])
}

// Covers reports whether the subscription covers an event of this type that is
// about this webhook, or about none.
func (w *Webhook) Covers(eventType, about string) bool {
	return webhook.Covers(w.ID, w.events, eventType, about)
}

// Active reports whether anything may be sent: the webhook is enabled and has
// not answered 410 since this revision.
func (w *Webhook) Active() bool { return w.Enabled && !w.gone.Load() }

// MarkGone stops deliveries at once after a 410; the api disables the
// registration as soon as it reads the record.
func (w *Webhook) MarkGone() { w.gone.Store(true) }

// Keys appends the keys that are valid at now to dst, newest first.
func (w *Webhook) Keys(dst []signature.Key, now time.Time) []signature.Key {
	for i := range w.keys {
		if w.keys[i].until.IsZero() || now.Before(w.keys[i].until) {
			dst = append(dst, w.keys[i].key)
		}
	}
	return dst
}

func endpoint(webhookID, address string) string { return webhookID + " " + address }

// WebhookOf is the id of the webhook that an [Webhook.Endpoint] belongs to.
func WebhookOf(endpoint string) string {
	id, _, _ := strings.Cut(endpoint, " ")
	return id
}

// New makes a webhook of its registration. What cannot be used becomes its Fault.
func New(r *webhooksv1.Registration, box *secret.Box) *Webhook {
	w := &Webhook{
		ID:        r.GetId(),
		ProjectID: r.GetProjectId(),
		Revision:  r.GetRevision(),
		Endpoint:  endpoint(r.GetId(), r.GetUrl()),
		Enabled:   r.GetEnabled() && !r.GetDeleted(),
		events:    r.GetEvents(),

		MaxPerSecond: r.GetMaxPerSecond(),
	}
	format, known := chat.Parse(r.GetFormat())
	if !known {
		w.Fault = fmt.Errorf("this dispatcher does not know the format %q: it is older than the api", r.GetFormat())
		return w
	}
	w.Format = format
	if w.MaxPerSecond == 0 {
		w.MaxPerSecond = format.DefaultRate()
	}
	for _, wanted := range r.GetWantedFrom() {
		if w.from == nil {
			w.from = map[string]time.Time{}
		}
		w.from[wanted.GetEvent()] = wanted.GetFrom().AsTime()
	}
	parsed, err := url.Parse(r.GetUrl())
	if err != nil || parsed.Host == "" {
		w.Fault = errors.New("the registered URL cannot be parsed")
		return w
	}
	w.URL, w.URLText = parsed, parsed.String()
	for _, sealed := range r.GetSecrets() {
		text, err := box.Open(sealed.GetCiphertext(), w.ProjectID, w.ID)
		if err != nil {
			w.Fault = fmt.Errorf("the signing secret cannot be decrypted; SECRETS_KEYSET_FILE must hold the api's keyset: %w", err)
			return w
		}
		key := expiringKey{key: signature.NewKey(text.Reveal())}
		if sealed.GetValidUntil() != nil {
			key.until = sealed.GetValidUntil().AsTime()
		}
		w.keys = append(w.keys, key)
	}
	if w.headers, err = openHeaders(r, box); err != nil {
		w.Fault = err
	}
	return w
}
