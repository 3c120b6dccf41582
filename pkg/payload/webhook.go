package payload

import "github.com/dembrane/webhooks/proto/webhooksv1"

func appendWebhook(dst []byte, w *webhooksv1.Webhook) []byte {
	dst = append(dst, `{"failing_since":`...)
	if since := w.GetFailingSince(); since != nil {
		dst = append(dst, '"')
		dst = appendTimestamp(dst, since)
		dst = append(dst, '"')
	} else {
		dst = append(dst, `null`...)
	}
	dst = append(dst, `,"host":`...)
	dst = appendString(dst, w.GetHost())
	dst = append(dst, `,"id":`...)
	dst = appendString(dst, w.GetId())
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, w.GetMessage())
	dst = append(dst, `,"name":`...)
	dst = appendString(dst, w.GetName())
	dst = append(dst, `,"reason":`...)
	dst = appendFilled(dst, w.GetReason())
	dst = append(dst, `,"state":`...)
	dst = appendString(dst, w.GetState())
	dst = append(dst, `,"status_code":`...)
	if code := w.GetStatusCode(); code != 0 {
		dst = appendNumber(dst, float64(code))
	} else {
		dst = append(dst, `null`...)
	}
	return append(dst, '}')
}

// appendFilled writes an empty text as null.
func appendFilled(dst []byte, text string) []byte {
	if text == "" {
		return append(dst, `null`...)
	}
	return appendString(dst, text)
}
