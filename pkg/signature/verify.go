package signature

import (
	"crypto/hmac"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Tolerance is how far a delivery's time may be from the receiver's clock in
// the official Standard Webhooks libraries; pass it to [Verify] unless you know
// better.
const Tolerance = 5 * time.Minute

// Errors of [Verify]. A receiver that meets one must not act on the body, and
// should answer 401: the delivery is retried, signed anew.
var (
	// ErrNoSecret says that the receiver passed no secret: nothing can be
	// trusted without one.
	ErrNoSecret = errors.New("there is no secret to verify with")
	// ErrHeaders says that one of the three headers is missing or malformed:
	// the webhook has no secret, or a proxy has removed them.
	ErrHeaders = errors.New("webhook-id, webhook-timestamp or webhook-signature is missing or malformed")
	// ErrTooOld says that the delivery was signed too long ago: a replay, or a
	// receiver whose clock is fast.
	ErrTooOld = errors.New("webhook-timestamp is too old")
	// ErrTooNew says that the delivery was signed in the future: a receiver
	// whose clock is slow.
	ErrTooNew = errors.New("webhook-timestamp is too far ahead")
	// ErrMismatch says that no signature fits: another secret, another body
	// than the bytes received, or a forgery.
	ErrMismatch = errors.New("webhook-signature does not match")
)

// VerifyBody reports whether header, the value of X-Dembrane-Signature, is the
// signature of body by secret. Body must be the bytes as received. It compares
// in constant time and accepts nothing if the secret is empty.
//
// It proves who sent the body, not when; [Verify] does both.
func VerifyBody(secret, header string, body []byte) bool {
	key := NewKey(secret)
	if key.IsZero() {
		return false
	}
	return hmac.Equal([]byte(header), []byte(key.hexBody("", body)))
}

// Verify checks the Standard Webhooks 1.0 headers of a delivery: that one of
// the signatures is that of webhook-id, webhook-timestamp and body by secret,
// and that the attempt was made within tolerance of now, in either direction.
// Body must be the bytes as received.
//
// During a rotation a delivery carries a signature by the old secret and one by
// the new, so either verifies. The error is nil or one of the errors above.
func Verify(secret string, header http.Header, body []byte, now time.Time, tolerance time.Duration) error {
	key := NewKey(secret)
	if key.IsZero() {
		return ErrNoSecret
	}
	id, timestamp, signatures := header.Get(HeaderID), header.Get(HeaderTimestamp), header.Get(HeaderSignature)
	// 32 bits without a sign reach the year 2106 and cannot overflow a time.
	seconds, err := strconv.ParseUint(timestamp, 10, 32)
	if id == "" || signatures == "" || err != nil {
		return ErrHeaders
	}
	expected := []byte(standardHeader([]Key{key}, id, timestamp, body))
	if !matches(signatures, expected) {
		return ErrMismatch
	}
	switch age := now.Sub(time.Unix(int64(seconds), 0)); {
	case age > tolerance:
		return ErrTooOld
	case age < -tolerance:
		return ErrTooNew
	default:
		return nil
	}
}

// matches reports whether one of the signatures is the expected one. Versions
// other than v1 differ from it by their prefix.
func matches(signatures string, expected []byte) bool {
	for signature := range strings.SplitSeq(signatures, " ") {
		if hmac.Equal([]byte(signature), expected) {
			return true
		}
	}
	return false
}
