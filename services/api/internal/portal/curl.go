package portal

import (
	"fmt"
	"net/url"
	"strings"
)

const (
	// maxCurlBytes is the longest body that stands in the command itself; a longer one
	// is read from a file.
	maxCurlBytes = 4 << 10
	// fillIn stands where something secret was.
	fillIn = "FILL-IN"
)

// curl is a command that sends the same again, for a POSIX shell. There is nothing
// secret in it: no signature, and no value of the address's query or of the webhook's
// own headers.
type curl struct {
	Command string
	// Fill names what is to be filled in first, in words; empty when nothing is.
	Fill string
	// File is where the body is, when it is too long for the command.
	File string
}

// curl is nil when it is not known what was sent.
func (v *visit) curl(a apiDetail) *curl {
	sent := a.Request
	if sent == nil || sent.Body == nil {
		return nil
	}
	address, names := filledIn(sent.URL)
	var fill []string
	for _, name := range names {
		what := v.t("curl.fill.address")
		if name != "" {
			what = v.t("curl.fill.query", "name", name)
		}
		fill = append(fill, what)
	}
	lines := []string{"curl -X POST " + shellQuoted(address)}
	for _, h := range sent.Headers {
		switch {
		case h.Value == nil || *h.Value == "": // of a signature, which nobody can make without the secret
		case *h.Value == "***":
			lines = append(lines, "-H "+shellQuoted(h.Name+": "+fillIn))
			fill = append(fill, h.Name)
		default:
			lines = append(lines, "-H "+shellQuoted(h.Name+": "+*h.Value))
		}
	}
	made := &curl{}
	if len(fill) > 0 {
		made.Fill = v.t("curl.fill", "what", strings.Join(fill, ", "))
	}
	if len(*sent.Body) <= maxCurlBytes {
		lines = append(lines, "--data-raw "+shellQuoted(escapedJSON(*sent.Body)))
	} else {
		lines = append(lines, "--data-binary @body.json")
		made.File = v.one() + "/deliveries/" + url.PathEscape(a.ID) + "/body"
	}
	made.Command = strings.Join(lines, " \\\n  ")
	return made
}

// filledIn is an address with a mark for each value of its query that is masked, and
// their names; the name is empty where it was masked itself.
func filledIn(address string) (marked string, names []string) {
	before, query, isQuery := strings.Cut(address, "?")
	if !isQuery {
		return address, nil
	}
	query, fragment, hasFragment := strings.Cut(query, "#")
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		switch {
		case pair == "***":
			pairs[i] = fillIn
			names = append(names, "")
		case value == "***":
			pairs[i] = name + "=" + fillIn
			names = append(names, name)
		}
	}
	marked = before + "?" + strings.Join(pairs, "&")
	if hasFragment {
		marked += "#" + fragment
	}
	return marked, names
}

// escapedJSON is a JSON text that means the same, without characters that would turn
// it around or hide in a terminal.
func escapedJSON(text string) string {
	if visible(text) == text {
		return text
	}
	var escaped strings.Builder
	for _, r := range text {
		if letter := string(r); visible(letter) != letter {
			fmt.Fprintf(&escaped, `\u%04x`, r)
		} else {
			escaped.WriteRune(r)
		}
	}
	return escaped.String()
}

// shellQuoted is a text as one word of a POSIX shell, to the byte.
func shellQuoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
