package chat

import (
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const ellipsis = "…"

// fit returns the blocks as they are if they fit, else as much of their beginning as
// does, cut at a word. It returns nothing when not even one word fits.
func fit(blocks []block, fits func([]block) bool) []block {
	if fits(blocks) {
		return blocks
	}
	total := 0
	for _, b := range blocks {
		total += b.length()
	}
	// More text never takes less room, but for what opens and closes a style: so the
	// place that was found may be off by a few characters.
	n := sort.Search(total, func(n int) bool { return !fits(cut(blocks, n)) })
	for ; n > 0; n-- {
		if shorter := cut(blocks, n); fits(shorter) {
			return shorter
		}
	}
	return nil
}

// length is the number of code points.
func (b block) length() int {
	n := 0
	for _, s := range b.spans {
		n += utf8.RuneCountInString(s.text)
	}
	return n
}

// cut keeps at most so many code points of blocks that have more, then "…".
func cut(blocks []block, most int) []block {
	var kept []block
	for _, b := range blocks {
		length := b.length()
		if length <= most {
			kept = append(kept, b)
			most -= length
			continue
		}
		if first, _ := split(b, most); first.length() > 0 {
			first.spans = append(first.spans, span{ellipsis, first.spans[len(first.spans)-1].style &^ (code | strike)})
			return append(kept, first)
		}
		break
	}
	if len(kept) == 0 {
		return nil
	}
	last := &kept[len(kept)-1]
	last.spans = append(slices.Clip(last.spans), span{text: " " + ellipsis})
	return kept
}

// split parts a block at a word after at most so many code points.
func split(b block, most int) (first, rest block) {
	var flat strings.Builder
	for _, s := range b.spans {
		flat.WriteString(s.text)
	}
	runes := []rune(flat.String())
	at := boundary(runes, most)
	end := at
	for end > 0 && unicode.IsSpace(runes[end-1]) {
		end--
	}
	for at < len(runes) && unicode.IsSpace(runes[at]) {
		at++
	}
	first, rest = b, b
	first.spans = part(b.spans, 0, end)
	rest.spans = part(b.spans, at, len(runes))
	rest.marker = ""
	return first, rest
}

// part is the spans between two code points.
func part(spans []span, from, to int) []span {
	var kept []span
	at := 0
	for _, s := range spans {
		runes := []rune(s.text)
		begin, end := max(from-at, 0), min(to-at, len(runes))
		if begin < end {
			kept = append(kept, span{string(runes[begin:end]), s.style})
		}
		at += len(runes)
	}
	return kept
}

// boundary is the last place at or before most at which a text can be parted: between
// words, or, within a very long one, between characters as people see them.
func boundary(runes []rune, most int) int {
	if most >= len(runes) {
		return len(runes)
	}
	most = max(most, 0)
	const longWord = 60
	for i := most; i > 0 && i > most-longWord; i-- {
		if unicode.IsSpace(runes[i]) || unicode.IsSpace(runes[i-1]) {
			return i
		}
	}
	const longCharacter = 30 // a flag, a family, a letter with marks
	for i := most; i > 0 && i > most-longCharacter; i-- {
		if !joins(runes, i) {
			return i
		}
	}
	return most
}

// joins reports whether what stands before and after a place is seen as one.
func joins(runes []rune, at int) bool {
	const zwj, firstFlag, lastFlag, firstTone, lastTone = '\u200d', 0x1f1e6, 0x1f1ff, 0x1f3fb, 0x1f3ff
	before, after := runes[at-1], runes[at]
	switch {
	case before == zwj, after == zwj, unicode.Is(unicode.M, after), firstTone <= after && after <= lastTone:
		return true
	case firstFlag <= after && after <= lastFlag:
		flags := 0
		for i := at - 1; i >= 0 && firstFlag <= runes[i] && runes[i] <= lastFlag; i-- {
			flags++
		}
		return flags%2 == 1
	default:
		return false
	}
}

// units counts a text as JavaScript does: two for what is beyond U+FFFF. Who counts
// code points counts no more than this.
func units(text string) int {
	n := 0
	for _, r := range text {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}
