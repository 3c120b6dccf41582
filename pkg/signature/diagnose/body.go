package diagnose

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io"
)

// changed is a body as it may have been before somebody changed it.
type changed struct {
	bytes    []byte
	findings []Finding
}

// bodiesOf undoes what is usually done to a body. What was sent is JSON in one
// form, without anything around it.
func bodiesOf(body []byte) []changed {
	var bodies []changed
	add := func(undone []byte, findings ...Finding) {
		if len(undone) > 0 && !bytes.Equal(undone, body) {
			bodies = append(bodies, changed{undone, findings})
		}
	}
	add(bytes.TrimRight(body, "\r\n"), found(TrailingNewline))
	add(bytes.TrimSpace(body), found(Blanks))
	bare, marked := bytes.CutPrefix(body, []byte("\ufeff"))
	if marked {
		add(bytes.TrimSpace(bare), found(ByteOrderMark))
	}
	unwrapped := bytes.TrimSpace(bare)
	var steps []Finding
	if decoded, ok := decodeBase64(unwrapped); ok {
		unwrapped, steps = decoded, append(steps, found(Base64Body))
		add(unwrapped, steps...)
	}
	var text string
	if json.Unmarshal(unwrapped, &text) == nil {
		unwrapped, steps = []byte(text), append(steps, found(Quoted))
		add(unwrapped, steps...)
	}
	if unescaped := html.UnescapeString(string(unwrapped)); unescaped != string(unwrapped) && !json.Valid(unwrapped) {
		unwrapped, steps = []byte(unescaped), append(steps, found(HTMLEscaped))
		add(unwrapped, steps...)
	}
	if sent, how, err := canonical(unwrapped); err == nil && how != "" {
		add(sent, append(steps, found(Rewritten, how))...)
	}
	return bodies
}

// decodeBase64 decodes what is base64 of JSON, as gateways pass bodies on.
func decodeBase64(body []byte) ([]byte, bool) {
	if len(body) == 0 || body[0] == '{' {
		return nil, false
	}
	decoded := make([]byte, base64.StdEncoding.DecodedLen(len(body)))
	n, err := base64.StdEncoding.Decode(decoded, body)
	return decoded[:n], err == nil && json.Valid(decoded[:n])
}

// shapeOf says what the body shows of itself: that it is empty, cut off or no JSON;
// or else that it is not the body that explains it.
func shapeOf(body []byte) Code {
	if len(bytes.TrimSpace(body)) == 0 {
		return EmptyBody
	}
	var value json.RawMessage
	err := json.NewDecoder(bytes.NewReader(body)).Decode(&value)
	switch {
	case err == nil:
		return OtherSecret
	case errors.Is(err, io.ErrUnexpectedEOF):
		return CutBody
	default:
		return NotJSON
	}
}
