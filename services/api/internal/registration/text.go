package registration

import (
	"strings"
	"unicode"
)

// isInvisible reports whether a character shows nothing and has no business in a
// URL or at the end of a text: soft hyphens, zero-width spaces, byte order marks,
// marks and overrides of the direction. Joiners are not among them: they are part
// of emoji and of many languages.
func isInvisible(r rune) bool {
	const zeroWidthNonJoiner, zeroWidthJoiner = '\u200c', '\u200d'
	return unicode.Is(unicode.Cf, r) && r != zeroWidthNonJoiner && r != zeroWidthJoiner && !isTag(r)
}

// isTag reports whether a character is one of those that flags of regions consist
// of.
func isTag(r rune) bool { return 0xe0020 <= r && r <= 0xe007f }

// isBlank reports whether a character at either end of a text came there by
// copying.
func isBlank(r rune) bool {
	const zeroWidthNonJoiner, zeroWidthJoiner = '\u200c', '\u200d'
	return unicode.IsSpace(r) || isInvisible(r) || r == zeroWidthNonJoiner || r == zeroWidthJoiner
}

// isOverride reports whether a character turns the text after it around, or ends
// that: a name with one can show as another.
func isOverride(r rune) bool {
	return '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

// isLineSeparator reports whether a character breaks a line without being a
// control character.
func isLineSeparator(r rune) bool { return r == '\u2028' || r == '\u2029' }

// showsSomething reports whether anything of a text can be seen.
func showsSomething(s string) bool {
	// Letters and symbols that are blank: the Hangul fillers and the empty Braille
	// pattern.
	const blank = "\u115f\u1160\u3164\uffa0\u2800"
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) && !strings.ContainsRune(blank, r)
	})
}
