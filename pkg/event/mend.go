package event

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const byteOrderMark = "\ufeff"

// Surrogates stand in pairs for what is above U+FFFF; half of one stands for
// nothing. Libraries write them as escapes (\ud83d), or in bytes as if they were
// characters (ED A0 BD).
const (
	escapeSize      = len(`\ud83d`)
	encodedSize     = len("\xed\xa0\xbd")
	encodedLead     = 0xed // of some other characters, too
	encodedFirst    = 0xa0 // the least second byte of a surrogate
	surrogateFirst  = 0xd800
	lowFirst        = 0xdc00
	surrogateBeyond = 0xe000
)

// mendText returns JSON without a byte order mark and without halves of surrogate
// pairs: one broken character must not cost a transcript. What is whole is returned
// as it is; the caller's bytes are not changed.
func mendText(data []byte) []byte {
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	return mendEncoded(mendEscapes(data))
}

// mendEscapes replaces escapes of a lone half by the escape of U+FFFD, which is as
// long.
func mendEscapes(data []byte) []byte {
	copied := false
	for i := 0; ; {
		next := bytes.IndexByte(data[i:], '\\')
		if next < 0 {
			return data
		}
		i += next
		unit, ok := escaped(data[i:])
		if !ok || !isSurrogate(unit) {
			i = min(i+2, len(data)) // whatever it is that is escaped, it is one byte at least
			continue
		}
		if low, ok := escaped(data[i+escapeSize:]); ok && utf16.DecodeRune(unit, low) != utf8.RuneError {
			i += 2 * escapeSize
			continue
		}
		if !copied {
			data, copied = bytes.Clone(data), true
		}
		copy(data[i:], `\ufffd`)
		i += escapeSize
	}
}

// escaped is the UTF-16 unit that data begins with as \uXXXX.
func escaped(data []byte) (rune, bool) {
	if len(data) < escapeSize || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(data[2:escapeSize]), 16, 16)
	return rune(unit), err == nil
}

func isSurrogate(unit rune) bool { return unit >= surrogateFirst && unit < surrogateBeyond }

// mendEncoded replaces halves that are written in bytes, and puts two that belong
// together into one character.
func mendEncoded(data []byte) []byte {
	var mended []byte
	from := 0
	for i := 0; ; {
		next := bytes.IndexByte(data[i:], encodedLead)
		if next < 0 {
			break
		}
		i += next
		unit, ok := encoded(data[i:])
		if !ok {
			i++
			continue
		}
		size, char := encodedSize, utf8.RuneError
		if low, ok := encoded(data[i+encodedSize:]); ok && low >= lowFirst && unit < lowFirst {
			size, char = 2*encodedSize, utf16.DecodeRune(unit, low)
		}
		mended = utf8.AppendRune(append(mended, data[from:i]...), char)
		i += size
		from = i
	}
	if from == 0 {
		return data
	}
	return append(mended, data[from:]...)
}

// encoded is the surrogate that data begins with, written as if it were a character.
func encoded(data []byte) (rune, bool) {
	if len(data) < encodedSize || data[0] != encodedLead || data[1] < encodedFirst || data[1] > 0xbf || data[2]&0xc0 != 0x80 {
		return 0, false
	}
	return surrogateFirst | rune(data[1]&0x1f)<<6 | rune(data[2]&0x3f), true
}

// timeRule tells what to write.
const timeRule = "write RFC 3339, such as 2026-01-20T12:00:00.123456Z"

// mendTime returns the JSON with the time of the event as RFC 3339 writes it, or
// nil when there is nothing to mend. fault says what is wrong with a time of which
// it is not certain when it was.
func mendTime(data []byte) (mended []byte, fault string) {
	decoder := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true))
	if token, err := decoder.ReadToken(); err != nil || token.Kind() != jsontext.KindBeginObject {
		return nil, ""
	}
	for decoder.PeekKind() == jsontext.KindString {
		token, err := decoder.ReadToken()
		if err != nil {
			return nil, ""
		}
		name := token.String()
		value, err := decoder.ReadValue()
		if err != nil {
			return nil, ""
		}
		if name != "occurred_at" && name != "occurredAt" {
			continue
		}
		if value.Kind() == jsontext.KindNull {
			return nil, ""
		}
		if value.Kind() != jsontext.KindString {
			return nil, "occurred_at must be a string: " + timeRule
		}
		text, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return nil, ""
		}
		at, fault := parseTime(string(text))
		if fault != "" {
			return nil, "occurred_at " + fault
		}
		end := int(decoder.InputOffset())
		return fmt.Appendf(nil, "%s%q%s", data[:end-len(value)], at.UTC().Format(time.RFC3339Nano), data[end:]), ""
	}
	return nil, ""
}

// parseTime reads RFC 3339, and what is written otherwise but leaves no doubt: a
// space for the T, lower case, an offset without a colon or minutes, no seconds, a
// finer fraction than nanoseconds. fault continues "occurred_at …".
func parseTime(text string) (at time.Time, fault string) {
	at, err := time.Parse(time.RFC3339Nano, text)
	for _, layout := range []string{
		time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04Z07:00", "2006-01-02T15:04Z0700", "2006-01-02T15:04Z07",
	} {
		if err == nil {
			break
		}
		at, err = time.Parse(layout, plainTime(text))
	}
	if err == nil {
		if !timestamppb.New(at).IsValid() {
			return at, "is not a time between the years 1 and 9999: " + timeRule
		}
		return at, ""
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if _, err := time.Parse(layout, plainTime(text)); err == nil {
			return at, "has no time zone: add Z for UTC, or an offset such as +01:00, as in 2026-01-20T12:00:00.123456Z"
		}
	}
	return at, "is not a time: " + timeRule
}

// plainTime writes the T and the Z as Go's layouts have them.
func plainTime(text string) string {
	if len(text) > len(time.DateOnly) && strings.IndexByte("tT ", text[len(time.DateOnly)]) >= 0 {
		text = text[:len(time.DateOnly)] + "T" + text[len(time.DateOnly)+1:]
	}
	if cut, ok := strings.CutSuffix(text, "z"); ok {
		return cut + "Z"
	}
	return text
}

// pathAt is the member of the event in which this line and column are, such as
// conversation.tags; empty where something else is.
func pathAt(data []byte, line, column int) string {
	target := offsetOf(data, line, column)
	decoder := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for int(decoder.InputOffset()) <= target {
		if _, err := decoder.ReadToken(); err != nil {
			break // at the fault
		}
	}
	var path []string
	for name := range decoder.StackPointer().Tokens() {
		if _, err := strconv.Atoi(name); err == nil {
			continue // an element of a list
		}
		if !isField(name) {
			return "" // somebody else's name is not for us to repeat
		}
		path = append(path, name)
	}
	return strings.Join(path, ".")
}

// offsetOf is the offset of a line and a column, which count runes and begin at 1.
func offsetOf(data []byte, line, column int) int {
	offset := 0
	for ; line > 1; line-- {
		next := bytes.IndexByte(data[offset:], '\n')
		if next < 0 {
			return len(data)
		}
		offset += next + 1
	}
	for ; column > 1 && offset < len(data); column-- {
		_, size := utf8.DecodeRune(data[offset:])
		offset += size
	}
	return offset
}

func isField(name string) bool {
	return has(eventFields, name) || has(projectFields, name) || has(conversationFields, name) || has(reportFields, name)
}

func has[T any](fields fastFields[T], name string) bool {
	for _, field := range fields {
		if field.name == name {
			return true
		}
	}
	return false
}
