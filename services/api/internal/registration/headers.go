package registration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// HeaderEdit is what a request does to one header of a webhook.
type HeaderEdit struct {
	Name string
	// Value is what the header is to have; empty takes the header away.
	Value string
}

// Headers checks the headers that a request gives: values by name, and nil for those
// to be taken away. It returns them in the order of their names. No sentence repeats
// a value, or a name that may be one.
func Headers(given map[string]*string) ([]HeaderEdit, error) {
	var faults Faults
	var edits []HeaderEdit
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		lower := strings.ToLower(name)
		err := headerName(name)
		switch {
		case err != nil:
		case seen[lower]:
			err = bounds("headers", fmt.Sprintf(
				"The header %s is given twice: upper and lower case make no difference. Give it once.", name))
		case given[name] == nil:
			edits = append(edits, HeaderEdit{Name: name})
		default:
			var value string
			if value, err = headerValue(name, *given[name]); err == nil {
				edits = append(edits, HeaderEdit{Name: name, Value: value})
			}
		}
		seen[lower] = true
		faults.Add(err)
	}
	return edits, faults.Err()
}

// HeaderCount checks how many headers a webhook has.
func HeaderCount(count int) error {
	if count <= MaxHeaders {
		return nil
	}
	return bounds("headers", fmt.Sprintf("A webhook can have at most %d headers of its own.", MaxHeaders))
}

func headerName(name string) error {
	switch {
	case name == "":
		return bounds("headers", "The name of a header must not be empty.")
	case strings.ContainsFunc(name, func(r rune) bool { return !isTokenRune(r) }):
		return bounds("headers", "The name of a header must consist of ASCII letters, digits and hyphens, without blanks and colons. "+
			"Put the name before the colon of a header line, and the value after it.")
	case len(name) > MaxHeaderNameBytes:
		return bounds("headers", fmt.Sprintf("The name of a header must have at most %d bytes.", MaxHeaderNameBytes))
	case isReserved(name):
		return bounds("headers", fmt.Sprintf("The header %s cannot be set: it is part of HTTP, or of every delivery.", name))
	}
	return nil
}

// headerValue returns the value as it is sent: HTTP has no blanks at the ends of one.
func headerValue(name, given string) (string, error) {
	value := strings.Trim(given, " ")
	unprintable := func(r rune) bool { return r == utf8.RuneError || !unicode.IsGraphic(r) }
	switch {
	case value == "":
		return "", bounds("headers", fmt.Sprintf("The header %s must have a value. Send null to remove it.", name))
	case len(value) > MaxHeaderValueBytes:
		return "", bounds("headers", fmt.Sprintf("The value of the header %s must have at most %d bytes.", name, MaxHeaderValueBytes))
	case strings.ContainsFunc(value, unprintable):
		return "", bounds("headers", fmt.Sprintf("The value of the header %s must consist of printable characters, without line breaks.", name))
	}
	return value, nil
}

// isTokenRune reports whether a character may stand in a name (RFC 9110, 5.6.2).
func isTokenRune(r rune) bool {
	return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
}

// isReserved reports whether a header is the protocol's or ours. Those of the
// protocol say how the message is to be read (RFC 9110 and 9112), those of ours what
// is delivered.
func isReserved(name string) bool {
	name = strings.ToLower(name)
	for _, prefix := range []string{"content-", "x-dembrane-", "x-webhook-", "webhook-", "proxy-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	switch name {
	case "host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings", "expect",
		"accept", "accept-encoding", "user-agent", "traceparent", "tracestate":
		return true
	default:
		return false
	}
}
