package diagnose

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // a mistake to recognise, not to make
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"iter"
	"strings"

	"github.com/dembrane/webhooks/pkg/signature"
)

// signedText is what a receiver may have computed a signature of.
type signedText struct {
	bytes        []byte
	what, advice string
}

// key is what a receiver may have keyed it with.
type key struct {
	bytes        []byte
	what, advice string
}

// explainComputed says what the receiver's own signature is of.
func (r arrived) explainComputed(in Input) Finding {
	given := strings.Trim(in.Computed, " \t\r\n\"'")
	expected := r.signed(in.Secret, in.Body)
	for _, header := range []struct{ name, shown string }{
		{signature.HeaderBody, dembraneHeader}, {signature.HeaderReference, webhookHeader}, {signature.HeaderSignature, standardHeader},
	} {
		if given == expected.Get(header.name) {
			return found(ComputedRight, "it is what "+header.shown+" has for this body and secret")
		}
	}
	mac, ok := decodeMAC(given)
	if !ok {
		return mistake("no signature at all: neither hex nor base64", "Print the digest in hex, as in X-Dembrane-Signature.")
	}
	for text := range r.texts(in.Body) {
		if f, found := text.explain(in, mac); found {
			return f
		}
	}
	return found(ComputedUnknown)
}

// explain says how the signature was made of this text, if it was. Of a large body
// only one mistake at a time is looked for.
func (t signedText) explain(in Input, mac []byte) (Finding, bool) {
	single := len(in.Body) > maxPairs
	for _, k := range keysOf(in.Secret) {
		if single && t.advice != "" && k.advice != "" {
			continue
		}
		if hmac.Equal(mac, sum(sha256.New, k.bytes, t.bytes)) {
			return describe(t, k, "SHA-256"), true
		}
	}
	if single && t.advice != "" {
		return Finding{}, false
	}
	for name, algorithm := range map[string]func() hash.Hash{"SHA-1": sha1.New, "SHA-512": sha512.New} {
		if hmac.Equal(mac, sum(algorithm, []byte(in.Secret), t.bytes)) {
			return describe(t, keysOf(in.Secret)[0], name), true
		}
	}
	switch {
	case hmac.Equal(mac, digest(t.bytes)):
		return mistake("a plain SHA-256 of "+t.what+", without the secret", "Use HMAC-SHA256 with the secret as its key."), true
	case hmac.Equal(mac, digest([]byte(in.Secret), t.bytes)), hmac.Equal(mac, digest(t.bytes, []byte(in.Secret))):
		return mistake("a SHA-256 of the secret and "+t.what+", one behind the other", "Use HMAC-SHA256: it is something else."), true
	default:
		return Finding{}, false
	}
}

// describe words a signature whose parts are known. Right parts that differ from
// the headers are in another writing.
func describe(text signedText, k key, algorithm string) Finding {
	what := "the HMAC-" + algorithm + " of " + text.what + ", keyed by " + k.what
	switch {
	case algorithm != "SHA-256":
		return mistake(what, "Use SHA-256.")
	case text.advice != "":
		return mistake(what, text.advice)
	case k.advice != "":
		return mistake(what, k.advice)
	default:
		return mistake(what+", in another writing than the header has",
			"X-Dembrane-Signature is lower-case hex alone; webhook-signature is v1, and base64. Write it the same way.")
	}
}

func mistake(what, advice string) Finding {
	f := found(ComputedMistake, what)
	f.Advice = advice
	return f
}

// texts are what is usually signed, what is right first. One is made when the one
// before it was not it: each may be as large as the body.
func (r arrived) texts(body []byte) iter.Seq[signedText] {
	return func(yield func(signedText) bool) {
		join := func(parts ...string) []byte { return append([]byte(strings.Join(parts, "")), body...) }
		_ = yield(signedText{body, "the body", ""}) &&
			yield(signedText{join(r.id, ".", r.time, "."), "id, time and body", ""}) &&
			yield(signedText{append(join(), '\n'), "the body and a line break", rawBytes}) &&
			yield(signedText{join(r.time, "."), "time and body", "webhook-signature signs webhook-id, webhook-timestamp and the body, with dots between them."}) &&
			yield(signedText{join(r.id, r.time), "id, time and body without dots", "Put dots between them."}) &&
			yield(signedText{nil, "nothing at all (an empty body)", rawBytes}) &&
			otherBodies(body, yield) && rewritings(body, yield)
	}
}

func otherBodies(body []byte, yield func(signedText) bool) bool {
	for _, undone := range bodiesOf(body) {
		if !yield(signedText{undone.bytes, "another form of the body", undone.findings[0].Message + " " + undone.findings[0].Advice}) {
			return false
		}
	}
	return true
}

// rewritings are the body as JSON libraries write it after parsing.
func rewritings(body []byte, yield func(signedText) bool) bool {
	parsed, err := parse(body)
	if err != nil {
		return true
	}
	for _, writer := range []struct {
		name  string
		style style
	}{
		{"JavaScript's JSON.stringify", style{comma: ",", colon: ":"}},
		{"Python's json.dumps", style{ascii: true, comma: ", ", colon: ": "}},
		{"Python's json.dumps with ensure_ascii=False", style{comma: ", ", colon: ": "}},
		{"Go's json.Marshal", style{sorted: true, html: true, comma: ",", colon: ":"}},
		{"PHP's json_encode", style{ascii: true, slash: true, comma: ",", colon: ":"}},
	} {
		what := "the body as " + writer.name + " writes it after parsing"
		if !yield(signedText{parsed.append(nil, writer.style), what, "Your code signs JSON that it wrote itself. " + rawBytes}) {
			return false
		}
	}
	return true
}

// keysOf are what is usually used as the key.
func keysOf(secret string) []key {
	keys := []key{{[]byte(secret), "the secret", ""}}
	if rest, prefixed := strings.CutPrefix(secret, standardPrefix); prefixed {
		keys = append(keys, key{[]byte(rest), "the secret without whsec_", "For X-Dembrane-Signature use the whole secret; for webhook-signature decode what is behind whsec_."})
		if decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(rest, "=")); err == nil {
			keys = append(keys, key{decoded, "the bytes that are behind whsec_ in base64", ""})
		}
	}
	if decoded, err := base64.StdEncoding.DecodeString(secret); err == nil {
		keys = append(keys, key{decoded, "the secret decoded as base64", "Use the secret's own characters as bytes."})
	}
	if decoded, err := hex.DecodeString(secret); err == nil {
		keys = append(keys, key{decoded, "the secret decoded as hex", "Use the secret's own characters as bytes."})
	}
	for _, undone := range secretsOf(secret) {
		keys = append(keys, key{[]byte(undone.text), "another form of the secret", undone.finding.Message + " " + undone.finding.Advice})
	}
	return append(keys,
		key{[]byte(secret + "\n"), "the secret and a line break", "Trim the secret: the file or variable it comes from ends in a line break."},
		key{nil, "an empty key", "Your code does not have the secret: is its variable set?"})
}

// decodeMAC reads a signature in any of the usual writings.
func decodeMAC(text string) ([]byte, bool) {
	text = strings.TrimPrefix(strings.TrimPrefix(text, referencePrefix), version)
	if decoded, err := hex.DecodeString(text); err == nil && len(decoded) >= sha1.Size {
		return decoded, true
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		decoded, err := encoding.DecodeString(strings.TrimRight(text, "="))
		if err != nil || len(decoded) < sha1.Size {
			continue
		}
		if inner, err := hex.DecodeString(string(decoded)); err == nil {
			return inner, true // base64 of the hex digits
		}
		return decoded, true
	}
	return nil, false
}

func sum(algorithm func() hash.Hash, key, text []byte) []byte {
	mac := hmac.New(algorithm, key)
	mac.Write(text)
	return mac.Sum(nil)
}

func digest(parts ...[]byte) []byte {
	h := sha256.New()
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}
