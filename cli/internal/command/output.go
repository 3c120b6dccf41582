package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// colour is how a word is shown on a terminal.
type colour string

const (
	plain  colour = ""
	green  colour = "32"
	red    colour = "31"
	yellow colour = "33"
	cyan   colour = "36"
	dim    colour = "2"
)

// terminal reports whether a person is at the other end.
func terminal(w any) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// paint colours a text, for people who want that.
func (p *program) paint(c colour, text string) string {
	if c == plain || p.noColor || p.Environment["NO_COLOR"] != "" || p.Environment["TERM"] == "dumb" || !terminal(p.Out) {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// clean takes out what could do things to a terminal: texts come from participants
// and receivers.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.Is(unicode.C, r):
			return '\ufffd'
		default:
			return r
		}
	}, text)
}

// oneLine is clean, on one line, and not longer than so many characters.
func oneLine(text string, most int) string {
	text = strings.Join(strings.Fields(clean(text)), " ")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// say writes a line. A reader who has gone away changes nothing.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }

// show prints what the API said: as it came with --json, and else in words.
func (p *program) show(c *cobra.Command, raw json.RawMessage, words func(io.Writer)) error {
	if !p.json {
		words(c.OutOrStdout())
		return nil
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, bytes.TrimSpace(raw), "", "  "); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	say(c.OutOrStdout(), "%s", indented.String())
	return nil
}

// showValue is show for what this program made itself.
func (p *program) showValue(c *cobra.Command, value any, words func(io.Writer)) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return p.show(c, raw, words)
}

// table prints rows below their titles.
func table(w io.Writer, titles []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, strings.Join(titles, "\t"))
	for _, row := range rows {
		_, _ = fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush()
}

func stamp(at time.Time) string { return at.Local().Format("2006-01-02 15:04:05") }

// took is a duration as people read it, of one that is counted in whole milliseconds.
func took(ms int) string {
	if ms == 0 {
		return "less than 1 ms"
	}
	return strconv.Itoa(ms) + " ms"
}

func size(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d B", n)
	}
}
