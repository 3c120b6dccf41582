package store

import "github.com/dembrane/webhooks/pkg/webhook"

// Covers reports whether the subscription covers an event of this type; about is
// the webhook that an event of our own is about, or empty.
func (w Webhook) Covers(eventType, about string) bool {
	return webhook.Covers(w.ID, w.Events, eventType, about)
}
