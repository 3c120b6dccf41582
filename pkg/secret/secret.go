// Package secret keeps signing secrets out of sight: [Text] cannot be printed,
// logged or marshalled by accident, and [Box] encrypts it for one webhook.
package secret

import "log/slog"

const redacted = "[redacted]"

// Text is a secret in the clear. Every way of formatting it yields "[redacted]";
// [Text.Reveal] is the one way to its value.
type Text struct{ value string }

// New wraps a secret.
func New(value string) Text { return Text{value: value} }

// Reveal returns the secret itself. Call it to sign, to encrypt, or to answer
// the host who has just made it; never to log.
func (t Text) Reveal() string { return t.value }

// IsEmpty reports whether there is no secret.
func (t Text) IsEmpty() bool { return t.value == "" }

// String implements [fmt.Stringer].
func (t Text) String() string { return redacted }

// GoString implements [fmt.GoStringer].
func (t Text) GoString() string { return redacted }

// LogValue implements [slog.LogValuer].
func (t Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler], and with it JSON and YAML.
func (t Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }
