package webhook

import (
	"net/http"
	"strconv"
)

// UserAgent names us to receivers.
const UserAgent = "Dembrane-Webhook/1.0"

// Attempt is what the headers of a request say of it, besides its signatures.
type Attempt struct {
	EventType  string
	DeliveryID string
	// Number is from 1.
	Number uint32
}

// SetHeaders sets the headers of an attempt that follow from what it is. Package
// signature adds its own.
func (a Attempt) SetHeaders(h http.Header) {
	// One array for all values: a header is a slice of its own.
	values := [...]string{
		"application/json", "*/*", UserAgent, a.EventType, a.EventType, a.DeliveryID, strconv.FormatUint(uint64(a.Number), 10),
	}
	for i, name := range [...]string{
		"Content-Type", "Accept", "User-Agent", "X-Dembrane-Event", "X-Webhook-Event", "X-Dembrane-Delivery", "X-Dembrane-Attempt",
	} {
		h[name] = values[i : i+1 : i+1]
	}
}
