// Package signature signs deliveries and verifies them.
//
// A delivery to a webhook with a secret carries the same proof three times:
//
//   - X-Dembrane-Signature: the hex HMAC-SHA256 of the raw body, keyed by the
//     secret's UTF-8 bytes. [VerifyBody] checks it.
//   - X-Webhook-Signature: "sha256=" and the same, for receivers of the earlier
//     backend.
//   - webhook-id, webhook-timestamp and webhook-signature of Standard Webhooks
//     1.0 (https://github.com/standard-webhooks/standard-webhooks), which also
//     sign the time of the attempt. [Verify] checks them and refuses a replay.
//
// Receivers written in Go can import this package; it needs the standard
// library only.
package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names of the signature headers, in Go's canonical spelling. Case makes no
// difference in HTTP.
const (
	// HeaderBody carries the hex HMAC of the body.
	HeaderBody = "X-Dembrane-Signature"
	// HeaderReference carries "sha256=" and the hex HMAC of the body.
	HeaderReference = "X-Webhook-Signature"
	// HeaderID is webhook-id: the event's id, stable over attempts.
	HeaderID = "Webhook-Id"
	// HeaderTimestamp is webhook-timestamp: unix seconds of this attempt.
	HeaderTimestamp = "Webhook-Timestamp"
	// HeaderSignature is webhook-signature: "v1," and a base64 HMAC, once for
	// every valid secret, separated by spaces.
	HeaderSignature = "Webhook-Signature"
)

const (
	standardPrefix  = "whsec_"
	standardVersion = "v1,"
	referencePrefix = "sha256="
	// standardBytes is the length of one base64 HMAC.
	standardBytes = (sha256.Size + 2) / 3 * 4
)

// redacted is how a key prints.
const redacted = "[redacted]"

// Key is a secret made ready to sign. It is immutable and safe for concurrent
// use, and prints as "[redacted]". The zero Key stands for "no secret".
//
// Its bytes are behind two pointers: package fmt follows one when it may not
// call methods, as for a Key in an unexported field, and then prints an address.
type Key struct{ bytes **keyBytes }

type keyBytes struct {
	// body keys the HMAC of the body alone, standard the one of id, time and
	// body. They are the same slice unless the secret is a "whsec_" one.
	body, standard []byte
}

// NewKey makes a key of a webhook's secret; of an empty one, the zero Key.
//
// The HMAC of the body is keyed by all bytes of the secret. The Standard
// Webhooks signature is keyed by what follows "whsec_", decoded as standard
// base64 with or without padding; if the secret does not start so, or is not
// base64 after it, or nothing follows, by all bytes of the secret as well.
func NewKey(secret string) Key {
	if secret == "" {
		return Key{}
	}
	k := &keyBytes{body: []byte(secret)}
	k.standard = k.body
	if encoded, found := strings.CutPrefix(secret, standardPrefix); found {
		decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
		if err == nil && len(decoded) > 0 {
			k.standard = decoded
		}
	}
	return Key{bytes: &k}
}

// IsZero reports whether there is no secret.
func (k Key) IsZero() bool { return k.bytes == nil }

// String implements [fmt.Stringer].
func (k Key) String() string { return redacted }

// GoString implements [fmt.GoStringer].
func (k Key) GoString() string { return redacted }

// Format implements [fmt.Formatter], which covers the verbs that are for
// neither of the above.
func (k Key) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// Headers sets the signature headers of one attempt. The keys are those of the
// webhook's valid secrets, newest first: all of them sign webhook-signature,
// and the newest signs the two headers that have room for one. Without a key
// the delivery is unsigned and no header is set.
//
// The id is the event's id and must not have a dot or a line break (valid ids
// have neither), at the time of this attempt, and body exactly what is sent.
func Headers(h http.Header, keys []Key, id string, at time.Time, body []byte) {
	keys = signing(keys)
	if len(keys) == 0 {
		return
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	reference := keys[0].hexBody(referencePrefix, body)

	// One array for all values: a header is a slice of its own.
	values := [...]string{
		reference[len(referencePrefix):], reference, id, timestamp, standardHeader(keys, id, timestamp, body),
	}
	for i, name := range [...]string{HeaderBody, HeaderReference, HeaderID, HeaderTimestamp, HeaderSignature} {
		h[name] = values[i : i+1 : i+1]
	}
}

// signing leaves out zero keys; normally there are none.
func signing(keys []Key) []Key {
	if !slices.ContainsFunc(keys, Key.IsZero) {
		return keys
	}
	return slices.DeleteFunc(slices.Clone(keys), Key.IsZero)
}

// hexBody is the hex HMAC of the body, behind a prefix.
func (k Key) hexBody(prefix string, body []byte) string {
	mac := hmac.New(sha256.New, (*k.bytes).body)
	mac.Write(body)
	var sum [sha256.Size]byte
	var room [len(referencePrefix) + 2*sha256.Size]byte
	return string(hex.AppendEncode(append(room[:0], prefix...), mac.Sum(sum[:0])))
}

// standardHeader is the value of webhook-signature.
func standardHeader(keys []Key, id, timestamp string, body []byte) string {
	prefix := make([]byte, 0, len(id)+len(timestamp)+2)
	prefix = append(append(append(append(prefix, id...), '.'), timestamp...), '.')
	value := make([]byte, 0, len(keys)*(len(standardVersion)+standardBytes+1))
	for i, k := range keys {
		if i > 0 {
			value = append(value, ' ')
		}
		mac := hmac.New(sha256.New, (*k.bytes).standard)
		mac.Write(prefix)
		mac.Write(body)
		var sum [sha256.Size]byte
		value = append(value, standardVersion...)
		value = base64.StdEncoding.AppendEncode(value, mac.Sum(sum[:0]))
	}
	return string(value)
}
