package webhook

import "slices"

// Covers reports whether a webhook that subscribes to these types is owed an event
// of this type. about is the webhook that an event of our own is about, and empty
// for any other event: a webhook never gets those about itself. The dispatcher, the
// replay and the ledger all ask here.
func Covers(webhookID string, subscribed []string, eventType, about string) bool {
	return slices.Contains(subscribed, eventType) && (about == "" || about != webhookID)
}
