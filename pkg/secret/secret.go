// Package secret keeps signing secrets out of sight: [Text] cannot be printed,
// logged or marshalled by accident, and [Box] encrypts it for one webhook.
package secret

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Text is a secret in the clear. Every way of formatting it yields "[redacted]";
// [Text.Reveal] is the one way to its value. The zero Text is no secret.
//
// Its value is behind two pointers: package fmt follows one when it may not call
// methods, as for a Text in an unexported field, and then prints an address.
type Text struct{ value **string }

// New wraps a secret.
func New(value string) Text {
	if value == "" {
		return Text{}
	}
	inner := &value
	return Text{value: &inner}
}

// Generate makes a secret of 256 random bits in the form of Standard Webhooks:
// its libraries take it as it is, and so does everything that keys an HMAC with
// the text itself.
func Generate() Text {
	var key [32]byte
	_, _ = rand.Read(key[:]) // it never fails
	return New("whsec_" + base64.StdEncoding.EncodeToString(key[:]))
}

// Reveal returns the secret itself. Call it to sign, to encrypt, or to answer
// the host who has just made it; never to log.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return **t.value
}

// IsEmpty reports whether there is no secret.
func (t Text) IsEmpty() bool { return t.value == nil }

// Format implements [fmt.Formatter], for every verb.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) } // fmt keeps the error

// String implements [fmt.Stringer].
func (t Text) String() string { return redacted }

// GoString implements [fmt.GoStringer].
func (t Text) GoString() string { return redacted }

// LogValue implements [slog.LogValuer].
func (t Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler], and with it JSON and YAML.
func (t Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }
