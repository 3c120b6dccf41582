package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// blank is what keeps two characters apart without being seen.
const blank = "\u200b"

// markup is a product's way of writing styles into a text.
type markup struct {
	bold, italic, strike string
	// escape makes a text mean nothing but itself.
	escape func(text string) string
	// escapeCode does so within code; nil when nothing has to be.
	escapeCode func(text string) string
	// escapeStart does so at the beginning of a line; nil when nothing has to be.
	escapeStart func(line string) string
	// bullet goes before the items of a list that has no numbers.
	bullet string
}

// block writes one block.
func (w markup) block(b block) string {
	text := w.spans(b)
	switch b.kind {
	case heading, paragraph:
		return text
	case item:
		indent := strings.Repeat("    ", b.depth)
		marker := b.marker
		switch marker {
		case "•":
			marker = w.bullet
		case "":
			indent += "  "
		}
		if marker != "" {
			marker += " "
		}
		return indent + marker + strings.ReplaceAll(text, "\n", "\n"+indent+"  ")
	case quote:
		return "> " + strings.ReplaceAll(text, "\n", "\n> ")
	default:
		return text
	}
}

// blocks writes them one below the other: items closely, the rest with an empty line
// between.
func (w markup) blocks(blocks []block) string {
	var out strings.Builder
	for i, b := range blocks {
		if i > 0 {
			out.WriteString(separator(blocks[i-1], b))
		}
		out.WriteString(w.block(b))
	}
	return out.String()
}

// separator is what goes between two blocks.
func separator(before, after block) string {
	if before.kind == after.kind && (after.kind == item || after.kind == quote) {
		return "\n"
	}
	return "\n\n"
}

// backslashes puts one before each of some characters, and makes the other
// replacements.
func backslashes(characters string, others ...string) *strings.Replacer {
	for _, c := range characters {
		others = append(others, string(c), `\`+string(c))
	}
	return strings.NewReplacer(others...)
}

// escapeItem escapes what makes an item of a list of a line.
func escapeItem(line string) string {
	if strings.HasPrefix(line, "-") || strings.HasPrefix(line, "+") {
		return `\` + line
	}
	digits := line[:len(line)-len(strings.TrimLeft(line, "0123456789"))]
	if rest := line[len(digits):]; digits != "" && strings.HasPrefix(rest, ". ") {
		return digits + `\` + rest
	}
	return line
}

func (w markup) spans(b block) string {
	var out strings.Builder
	l := line{markup: w, out: &out, fresh: true}
	for _, s := range joined(b.spans) {
		if b.kind == heading {
			s.style |= bold
		}
		first := true
		for text := range strings.SplitSeq(s.text, "\n") {
			if !first {
				out.WriteString("\n")
				l.fresh, l.shut = true, false
			}
			first = false
			l.write(text, s.style)
		}
	}
	return out.String()
}

// joined makes one span of neighbours of the same style.
func joined(spans []span) []span {
	var out []span
	for len(spans) > 0 {
		same := 1
		for same < len(spans) && spans[same].style == spans[0].style {
			same++
		}
		var text strings.Builder
		for _, s := range spans[:same] {
			text.WriteString(s.text)
		}
		out = append(out, span{text.String(), spans[0].style})
		spans = spans[same:]
	}
	return out
}

// line is where the writing of a line has come to.
type line struct {
	markup

	out *strings.Builder
	// fresh says that nothing was written yet, shut that a style ended just now.
	fresh, shut bool
}

// write adds a text. A style holds only if it begins and ends at a word: blanks stay
// outside of it, and where a word goes on something unseen parts it.
func (l *line) write(text string, in style) {
	inner := strings.TrimFunc(text, unicode.IsSpace)
	if inner == "" {
		l.out.WriteString(text)
		l.shut = l.shut && text == ""
		return
	}
	lead, trail, _ := strings.Cut(text, inner)
	open, shut, said := l.dress(inner, in)
	if l.fresh && open == "" && l.escapeStart != nil {
		said = l.escapeStart(said)
	}
	next, _ := utf8.DecodeRuneInString(inner)
	last, _ := utf8.DecodeLastRuneInString(l.out.String())
	if !l.fresh && lead == "" && !unicode.IsSpace(last) && (open != "" || l.shut && !unicode.IsPunct(next)) {
		lead = blank
	}
	l.out.WriteString(lead + open + said + shut + trail)
	l.fresh, l.shut = false, open != "" && trail == ""
}

// dress is what goes around a text for its style.
func (w markup) dress(text string, in style) (open, shut, said string) {
	if in&code != 0 && !strings.Contains(text, "`") {
		said = text
		if w.escapeCode != nil {
			said = w.escapeCode(text)
		}
		return "`", "`", said
	}
	said = w.escape(text)
	for _, one := range []struct {
		style style
		mark  string
	}{{bold, w.bold}, {italic, w.italic}, {strike, w.strike}} {
		if in&one.style != 0 {
			open += one.mark
			shut = one.mark + shut
		}
	}
	return open, shut, said
}
