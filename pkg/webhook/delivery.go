// Package webhook names what is delivered to a webhook.
package webhook

import (
	"crypto/sha256"
	"encoding/base32"
)

// DeliveryID names the delivery of one event to one webhook. It is a function of
// the two ids, so every replica, retry and resend finds the same one: receivers
// and the delivery log can rely on it.
func DeliveryID(eventID, webhookID string) string {
	sum := sha256.Sum256([]byte(eventID + "/" + webhookID))
	return "dlv_" + base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15])
}
