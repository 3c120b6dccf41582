package registry

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// hidden stands for what must not be repeated.
	hidden = "***"
	// shortestHidden is how long something must be to be hidden, in bytes: it is no
	// secret below that, and would take letters out of every word.
	shortestHidden = 4
)

// echoes are all the ways in which a receiver may repeat the values of headers.
type echoes struct {
	// forms has the longest first, so that none is taken for one that it begins with.
	forms []string
	// replacer looks for all of them in one pass.
	replacer *strings.Replacer
}

// Hide takes out of a text what the webhook's own headers hold, for texts that come
// from its receiver: some repeat what they were sent.
func (w *Webhook) Hide(text string) string {
	if !w.HasHeaders() {
		return text
	}
	return w.headers.echoes().replacer.Replace(text)
}

// HideInCut is [Webhook.Hide] for a text that may have been cut off in the middle of
// something.
func (w *Webhook) HideInCut(text string) string {
	text = w.Hide(text)
	if !w.HasHeaders() {
		return text
	}
	for _, form := range w.headers.echoes().forms {
		for n := min(len(form), len(text)); n >= shortestHidden; n-- {
			if strings.HasSuffix(text, form[:n]) {
				return text[:len(text)-n] + hidden
			}
		}
	}
	return text
}

func newEchoes(list []header) *echoes {
	var forms []string
	for _, h := range list {
		for _, part := range partsOf(h.value.Reveal()) {
			if len(part) >= shortestHidden {
				forms = append(forms, formsOf(part)...)
			}
		}
	}
	slices.SortFunc(forms, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	e := &echoes{forms: slices.Compact(forms)}
	pairs := make([]string, 0, 2*len(e.forms))
	for _, form := range e.forms {
		pairs = append(pairs, form, hidden)
	}
	e.replacer = strings.NewReplacer(pairs...)
	return e
}

// partsOf is what of a header's value is a secret by itself: all of it, the
// credentials without their scheme, and what is in those of Basic.
func partsOf(value string) []string {
	parts := []string{value}
	scheme, credentials, ok := strings.Cut(value, " ")
	if !ok {
		return parts
	}
	parts = append(parts, credentials)
	if !strings.EqualFold(scheme, "Basic") {
		return parts
	}
	pair, err := base64.StdEncoding.DecodeString(credentials)
	if err != nil {
		return parts // not what Basic asks for, and nothing to take apart
	}
	_, password, _ := strings.Cut(string(pair), ":")
	return append(parts, string(pair), password)
}

// formsOf is how receivers write a text when they repeat it: as it is, as text in
// JSON, in a URL and in HTML, and in base64.
func formsOf(text string) []string {
	forms := []string{text, html.EscapeString(text)}
	for _, quoted := range []string{inJSON(text, true), inJSON(text, false)} {
		forms = append(forms, quoted, inASCII(quoted))
	}
	for _, quoted := range slices.Clone(forms[2:]) {
		forms = append(forms, strings.ReplaceAll(quoted, "/", `\/`))
	}
	for _, escaped := range []string{url.QueryEscape(text), url.PathEscape(text)} {
		forms = append(forms, escaped, inLowerCase(escaped))
	}
	return append(forms, inBase64(text)...)
}

// inJSON is a text between the quotation marks of JSON. Some writers escape what
// means something in HTML, and some do not.
func inJSON(text string, escapeHTML bool) string {
	var quoted strings.Builder
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(escapeHTML)
	if encoder.Encode(text) != nil { // a string can always be written
		return text
	}
	return strings.TrimSuffix(strings.TrimPrefix(quoted.String(), `"`), "\"\n")
}

// inASCII escapes what is not ASCII in a text of JSON, as Python and PHP do.
func inASCII(quoted string) string {
	var ascii strings.Builder
	for _, r := range quoted {
		switch {
		case r < utf8.RuneSelf:
			ascii.WriteRune(r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&ascii, `\u%04x`, unit)
			}
		}
	}
	return ascii.String()
}

// inLowerCase is a text of a URL with %2f in the place of %2F, as .NET writes it.
func inLowerCase(escaped string) string {
	return regexp.MustCompile(`%[0-9A-F]{2}`).ReplaceAllStringFunc(escaped, strings.ToLower)
}

// inBase64 is a text by itself, and within a longer one: what comes before it moves
// it by nought, one or two bytes, and only those letters are sure that hold nothing of
// its neighbours.
func inBase64(text string) []string {
	const bits, letter = 8, 6
	var forms []string
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		forms = append(forms, encoding.EncodeToString([]byte(text)), encoding.WithPadding(base64.NoPadding).EncodeToString([]byte(text)))
		for before := range 3 {
			moved := encoding.EncodeToString(append(make([]byte, before), text...))
			first, end := (before*bits+letter-1)/letter, (before+len(text))*bits/letter
			forms = append(forms, moved[first:end])
		}
	}
	return forms
}
