package payload_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

// redump does what receivers of the earlier backend do before they compare
// signatures: json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"))
// of Python. It shares no code with the renderer.
func redump(t require.TestingT, body []byte) string {
	if h, ok := t.(testing.TB); ok {
		h.Helper()
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	require.NoError(t, decoder.Decode(&value))
	_, err := decoder.Token()
	require.ErrorIs(t, err, io.EOF)
	var out strings.Builder
	dump(&out, value)
	return out.String()
}

func dump(out *strings.Builder, value any) {
	switch v := value.(type) {
	case map[string]any:
		separator := "{"
		for _, key := range slices.Sorted(maps.Keys(v)) {
			out.WriteString(separator)
			dumpString(out, key)
			out.WriteString(":")
			dump(out, v[key])
			separator = ","
		}
		out.WriteString("}")
	case []any:
		out.WriteString("[")
		for i, item := range v {
			if i > 0 {
				out.WriteString(",")
			}
			dump(out, item)
		}
		out.WriteString("]")
	case string:
		dumpString(out, v)
	case json.Number:
		out.WriteString(pythonNumber(v.String()))
	case nil:
		out.WriteString("null")
	default:
		fmt.Fprint(out, v)
	}
}

func dumpString(out *strings.Builder, value string) {
	short := map[rune]string{
		'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`,
	}
	out.WriteString(`"`)
	for _, r := range value {
		switch {
		case short[r] != "":
			out.WriteString(short[r])
		case r >= 0x20 && r < 0x7f:
			out.WriteRune(r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(out, `\u%04x`, unit)
			}
		}
	}
	out.WriteString(`"`)
}

// pythonNumber is Python's reading and writing of a number: integers keep their
// digits, the rest is repr(float).
func pythonNumber(literal string) string {
	if !strings.ContainsAny(literal, ".eE") {
		if literal == "-0" {
			return "0"
		}
		return literal
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return "unreadable number " + literal
	}
	if size := math.Abs(f); size != 0 && (size < 1e-4 || size >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	fixed := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(fixed, ".") {
		fixed += ".0"
	}
	return fixed
}

// javaScriptNumber is JSON.stringify(JSON.parse(literal)).
func javaScriptNumber(literal string) string {
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return "unreadable number " + literal
	}
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) {
		return strings.Replace(strconv.FormatFloat(f, 'e', -1, 64), "e-0", "e-", 1)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// wantCanonical checks that a body is in the canonical form: printable ASCII,
// and unchanged by being parsed and dumped again.
func wantCanonical(t require.TestingT, body []byte) {
	if h, ok := t.(testing.TB); ok {
		h.Helper()
	}
	for _, c := range body {
		if c < ' ' || c > '~' {
			require.Failf(t, "not printable ASCII", "byte %#x in %s", c, body)
		}
	}
	require.Equal(t, redump(t, body), string(body))
}
