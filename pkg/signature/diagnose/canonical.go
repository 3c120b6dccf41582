package diagnose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxDepth is far more than a body has; what is deeper was not sent by us.
const maxDepth = 64

// style is how a JSON writer writes.
type style struct {
	// sorted puts keys in order, and ascii escapes what is not ASCII.
	sorted, ascii bool
	// comma and colon stand between items, and between key and value.
	comma, colon string
	// html escapes <, > and & as Go's encoding/json does, slash / as PHP's does.
	html, slash bool
}

// sentStyle is how bodies are sent.
func sentStyle() style { return style{sorted: true, ascii: true, comma: ",", colon: ":"} }

// value is JSON with its keys in the order in which they came.
type value struct {
	// literal is a number, true, false or null.
	literal string
	text    *string
	// keys are there in an object, items in an object and a list.
	keys  []string
	items []value
	kind  json.Delim
}

// canonical is a body as it is sent, and what is different in the given one, in
// words; nothing when it is the same.
func canonical(body []byte) (sent []byte, how string, _ error) {
	parsed, err := parse(body)
	if err != nil {
		return nil, "", err
	}
	sent = parsed.append(nil, sentStyle())
	if bytes.Equal(sent, body) {
		return sent, "", nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, body); err != nil {
		return nil, "", fmt.Errorf("read the body: %w", err)
	}
	var differences []string
	if compact.Len() < len(bytes.TrimSpace(body)) {
		differences = append(differences, "there are blanks between its parts")
	}
	unsorted := sentStyle()
	unsorted.sorted = false
	if !bytes.Equal(parsed.append(nil, unsorted), sent) {
		differences = append(differences, "its keys are in another order")
	}
	if bytes.ContainsFunc(body, func(r rune) bool { return r >= utf8.RuneSelf }) {
		differences = append(differences, `letters like é are written as they are, not as \u00e9`)
	}
	if bytes.Contains(body, []byte(`\/`)) {
		differences = append(differences, `slashes are escaped as \/`)
	}
	if bytes.Contains(body, []byte(`\u003c`)) || bytes.Contains(body, []byte(`\u003e`)) || bytes.Contains(body, []byte(`\u0026`)) {
		differences = append(differences, `<, > or & is escaped as \u003c and the like`)
	}
	if len(differences) == 0 {
		differences = append(differences, "its characters are escaped in another way")
	}
	return sent, strings.Join(differences, "; "), nil
}

// parse reads one JSON value and nothing behind it.
func parse(body []byte) (value, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	parsed, err := next(decoder, 0)
	if err != nil {
		return value{}, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return value{}, errors.New("read the body: something follows its JSON")
	}
	return parsed, nil
}

func next(decoder *json.Decoder, depth int) (value, error) {
	token, err := decoder.Token()
	if err != nil {
		return value{}, fmt.Errorf("read the body: %w", err)
	}
	switch t := token.(type) {
	case json.Delim:
		if depth >= maxDepth {
			return value{}, errors.New("read the body: it is nested too deeply")
		}
		return inside(decoder, t, depth+1)
	case string:
		return value{text: &t}, nil
	case nil:
		return value{literal: "null"}, nil
	default:
		return value{literal: fmt.Sprint(t)}, nil
	}
}

func inside(decoder *json.Decoder, kind json.Delim, depth int) (value, error) {
	v := value{kind: kind}
	for decoder.More() {
		if kind == '{' {
			key, err := next(decoder, depth)
			if err != nil {
				return v, err
			}
			v.keys = append(v.keys, *key.text) // the decoder takes nothing else for a key
		}
		item, err := next(decoder, depth)
		if err != nil {
			return v, err
		}
		v.items = append(v.items, item)
	}
	if _, err := decoder.Token(); err != nil {
		return v, fmt.Errorf("read the body: %w", err)
	}
	return v, nil
}

func (v value) append(dst []byte, s style) []byte {
	switch {
	case v.text != nil:
		return s.text(dst, *v.text)
	case v.kind == 0:
		return append(dst, v.literal...)
	}
	order := make([]int, len(v.items))
	for i := range order {
		order[i] = i
	}
	if s.sorted && v.kind == '{' {
		slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(v.keys[a], v.keys[b]) })
	}
	dst = utf8.AppendRune(dst, rune(v.kind))
	for n, i := range order {
		if n > 0 {
			dst = append(dst, s.comma...)
		}
		if v.kind == '{' {
			dst = append(s.text(dst, v.keys[i]), s.colon...)
		}
		dst = v.items[i].append(dst, s)
	}
	return utf8.AppendRune(dst, rune(v.kind)+2) // } and ] are two behind { and [
}

func (s style) text(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for _, r := range text {
		switch {
		case r == '"', r == '\\', r == '/' && s.slash:
			dst = append(dst, '\\', byte(r))
		case strings.ContainsRune("\b\f\n\r\t", r):
			dst = append(dst, '\\', "btn_fr"[r-'\b'])
		case r < ' ', s.html && strings.ContainsRune("<>&\u2028\u2029", r), s.ascii && r > '~':
			dst = escaped(dst, r)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// escaped writes \uXXXX, twice for what needs a pair of surrogates.
func escaped(dst []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		return fmt.Appendf(dst, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
	}
	return fmt.Appendf(dst, `\u%04x`, r)
}
