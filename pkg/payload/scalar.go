package payload

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// The bounds between which JSON writers agree on how a number looks.
const (
	// Below it, JavaScript writes whole numbers without an exponent.
	firstExponent = 1e21
	// Below it, Python writes fractions with an exponent.
	firstPlain = 1e-4
)

const hexDigits = "0123456789abcdef"

func appendBool(dst []byte, value bool) []byte { return strconv.AppendBool(dst, value) }

func appendOptionalBool(dst []byte, value *bool) []byte {
	if value == nil {
		return append(dst, `null`...)
	}
	return appendBool(dst, *value)
}

func appendOptional(dst []byte, value *string) []byte {
	if value == nil {
		return append(dst, `null`...)
	}
	return appendString(dst, *value)
}

func appendString(dst []byte, value string) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, value)
	return append(dst, '"')
}

// appendEscaped writes a string's inside as Python's json.dumps does: printable
// ASCII as it is, the rest escaped. Runs of plain bytes are copied at once.
func appendEscaped(dst []byte, value string) []byte {
	start := 0
	for i := 0; i < len(value); {
		c := value[i]
		if ' ' <= c && c <= '~' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, value[start:i]...)
		if c < utf8.RuneSelf {
			dst = appendControl(dst, c)
			i++
		} else {
			r, size := utf8.DecodeRuneInString(value[i:])
			dst = appendRune(dst, r)
			i += size
		}
		start = i
	}
	return append(dst, value[start:]...)
}

func appendControl(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return appendUnit(dst, rune(c))
	}
}

// appendRune escapes one code point, as a pair of surrogates above U+FFFF.
func appendRune(dst []byte, r rune) []byte {
	if r <= 0xffff {
		return appendUnit(dst, r)
	}
	r -= 0x10000
	dst = appendUnit(dst, 0xd800+r>>10)
	return appendUnit(dst, 0xdc00+r&0x3ff)
}

// appendUnit escapes one UTF-16 code unit.
func appendUnit(dst []byte, unit rune) []byte {
	return append(dst, '\\', 'u',
		hexDigits[unit>>12&0xf], hexDigits[unit>>8&0xf], hexDigits[unit>>4&0xf], hexDigits[unit&0xf])
}

// appendNumber writes a finite number so that parsing it and writing it again
// gives the same text:
//
//   - whole numbers below 1e21 as integers, which Python keeps unchanged and
//     JavaScript writes alike;
//   - from there on with an exponent, where Python and JavaScript agree again;
//   - fractions in the shortest form. Below 0.0001 that is Python's `1e-05`,
//     which JavaScript would change; nothing that is delivered is so small.
func appendNumber(dst []byte, n float64) []byte {
	switch size := math.Abs(n); {
	case size == 0:
		return append(dst, '0') // also for -0, whose sign an integer parser drops
	case size >= firstExponent, size < firstPlain:
		return strconv.AppendFloat(dst, n, 'e', -1, 64)
	default:
		return strconv.AppendFloat(dst, n, 'f', -1, 64)
	}
}
