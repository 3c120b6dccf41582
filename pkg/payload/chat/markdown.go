package chat

import (
	"strconv"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// maxMarkdown is how much of a summary is looked at, in bytes. It is twice what the
// roomiest product shows.
const maxMarkdown = 64 << 10

// maxDelimiters is how many characters of markup a paragraph may have: what a parser
// needs grows with their square, a hundredth of a second for so many.
const maxDelimiters = 2000

// maxDepth is how far lists and quotes are indented.
const maxDepth = 4

// block is one paragraph, heading, item of a list or piece of code.
type block struct {
	kind  kind
	depth int // of an item or a quote, from 0
	// marker goes before an item: "•" or "1.".
	marker string
	spans  []span
}

type kind uint8

const (
	paragraph kind = iota
	heading
	item
	quote
)

// span is text of one style. It may have line breaks, and is not escaped.
type span struct {
	text  string
	style style
}

type style uint8

const (
	bold style = 1 << iota
	italic
	strike
	code
)

// plain is a paragraph without any style.
func plain(said string) block { return block{spans: []span{{text: said}}} }

// parseMarkdown reads a summary. What shows nothing is left out. Links become their
// text and, where that differs, their target: a text that says something else than
// where it leads is how links are forged.
func parseMarkdown(source string) (blocks []block) {
	cut := len(source) > maxMarkdown
	source = visible(head(source, maxMarkdown))
	defer func() {
		// The parser is not ours and the text is a stranger's: a summary that makes it
		// panic must not cost the event.
		if recover() != nil {
			blocks = []block{plain(source)}
		}
		if cut && len(blocks) > 0 {
			last := &blocks[len(blocks)-1]
			last.spans = append(last.spans, span{text: ellipsis})
		}
	}()
	if !readable(source) {
		return []block{plain(source)}
	}
	parser := goldmark.New(goldmark.WithExtensions(extension.Strikethrough, extension.Table, extension.TaskList)).Parser()
	r := reader{source: []byte(source)}
	r.children(parser.Parse(text.NewReader(r.source)), block{})
	return r.blocks
}

// readable reports whether a text can be parsed in a short time. What a model wrote
// as a summary always is.
func readable(source string) bool {
	for part := range strings.SplitSeq(source, "\n\n") {
		count := 0
		for i := range len(part) {
			if strings.IndexByte("*_~[]<>!`", part[i]) >= 0 {
				count++
			}
		}
		if count > maxDelimiters {
			return false
		}
	}
	return true
}

// reader walks through a parsed text.
type reader struct {
	source []byte
	blocks []block
}

// children reads the blocks inside a container; like is what a paragraph in it
// becomes.
func (r *reader) children(n ast.Node, like block) {
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		r.block(c, like)
		if like.kind == item {
			like.marker = "" // only the first paragraph of an item has it
		}
	}
}

func (r *reader) block(n ast.Node, like block) {
	switch n := n.(type) {
	case *ast.Heading:
		like.kind = heading
		r.add(like, r.inline(n, nil, 0))
	case *ast.List:
		r.list(n, like)
	case *ast.Blockquote:
		if like.kind == paragraph {
			like = block{kind: quote}
		}
		r.children(n, like)
	case *ast.CodeBlock, *ast.FencedCodeBlock:
		r.add(like, []span{{strings.TrimRight(r.lines(n), "\n"), code}})
	case *ast.HTMLBlock:
		r.add(like, []span{{text: strings.TrimRight(r.lines(n), "\n")}})
	case *extast.TableHeader, *extast.TableRow:
		r.add(like, r.row(n))
	case *ast.Paragraph, *ast.TextBlock:
		r.add(like, r.inline(n, nil, 0))
	default:
		r.children(n, like)
	}
}

func (r *reader) list(n *ast.List, like block) {
	depth := 0
	if like.kind == item {
		depth = min(like.depth+1, maxDepth)
	}
	number := n.Start
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		marker := "•"
		if n.IsOrdered() {
			marker = strconv.Itoa(number) + "."
			number++
		}
		r.children(c, block{kind: item, depth: depth, marker: marker})
	}
}

// row is a row of a table in one line.
func (r *reader) row(n ast.Node) []span {
	var spans []span
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if len(spans) > 0 {
			spans = append(spans, span{text: " | "})
		}
		spans = r.inline(c, spans, 0)
	}
	return spans
}

func (r *reader) add(b block, spans []span) {
	if !showsSpans(spans) {
		return
	}
	b.spans = spans
	r.blocks = append(r.blocks, b)
}

func showsSpans(spans []span) bool {
	for _, s := range spans {
		if shows(s.text) {
			return true
		}
	}
	return false
}

func (r *reader) lines(n ast.Node) string {
	return string(n.Lines().Value(r.source))
}

func (r *reader) inline(n ast.Node, spans []span, in style) []span {
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c := c.(type) {
		case *ast.Text:
			spans = append(spans, span{r.text(c), in})
		case *ast.String:
			spans = append(spans, span{string(c.Value), in})
		case *ast.Emphasis:
			if c.Level == 1 {
				spans = r.inline(c, spans, in|italic)
			} else {
				spans = r.inline(c, spans, in|bold)
			}
		case *extast.Strikethrough:
			spans = r.inline(c, spans, in|strike)
		case *ast.CodeSpan:
			spans = r.inline(c, spans, in|code)
		case *ast.Link:
			spans = r.link(c, string(c.Destination), spans, in)
		case *ast.Image:
			spans = r.link(c, string(c.Destination), spans, in)
		case *ast.AutoLink:
			spans = append(spans, span{string(c.Label(r.source)), in})
		case *ast.RawHTML:
			spans = append(spans, span{rawHTML(string(c.Segments.Value(r.source))), in})
		case *extast.TaskCheckBox:
			box := "☐ "
			if c.IsChecked {
				box = "☑ "
			}
			spans = append(spans, span{box, in})
		default:
			spans = r.inline(c, spans, in)
		}
	}
	return spans
}

// rawHTML is a tag as text, or the line break that a summary means by it.
func rawHTML(tag string) string {
	switch strings.ToLower(strings.ReplaceAll(tag, " ", "")) {
	case "<br>", "<br/>":
		return "\n"
	default:
		return tag
	}
}

func (r *reader) text(n *ast.Text) string {
	value := n.Segment.Value(r.source)
	if !n.IsRaw() {
		value = util.UnescapePunctuations(util.ResolveEntityNames(util.ResolveNumericReferences(value)))
	}
	// An entity may stand for what was not to be seen.
	said := visible(string(value))
	switch {
	case n.HardLineBreak():
		return said + "\n"
	case n.SoftLineBreak():
		return said + " "
	default:
		return said
	}
}

// link is its text and, unless that is the same, where it leads.
func (r *reader) link(n ast.Node, target string, spans []span, in style) []span {
	before := len(spans)
	spans = r.inline(n, spans, in)
	var said strings.Builder
	for _, s := range spans[before:] {
		said.WriteString(s.text)
	}
	target = strings.Join(strings.Fields(visible(target)), "")
	if target == "" || said.String() == target {
		return spans
	}
	if !shows(said.String()) {
		return append(spans, span{target, in})
	}
	return append(spans, span{" (" + target + ")", in})
}
