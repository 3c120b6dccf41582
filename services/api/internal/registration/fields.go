package registration

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload/chat"
)

// standardPrefix marks a secret of the Standard Webhooks specification: what
// follows is base64.
const standardPrefix = "whsec_"

// Name trims a name and checks it. A name is one line of text.
func Name(s string) (string, error) {
	s = strings.TrimFunc(s, isBlank)
	switch {
	case s == "":
		return "", bounds("name", "The name must not be empty.")
	case utf8.RuneCountInString(s) > MaxNameRunes:
		return "", bounds("name", fmt.Sprintf("The name must have at most %d characters.", MaxNameRunes))
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) || strings.ContainsFunc(s, isLineSeparator):
		return "", bounds("name", "The name must be one line of plain text.")
	case strings.ContainsFunc(s, isOverride):
		return "", bounds("name", "The name must not contain characters that change the direction of the text.")
	case !showsSomething(s):
		return "", bounds("name", "The name must contain something that can be seen.")
	}
	return s, nil
}

// DefaultName is the name of a webhook that was made without one: the host of
// its canonical URL.
func DefaultName(canonical string) string {
	_, rest, _ := strings.Cut(canonical, "://")
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		rest = rest[:end]
	}
	if runes := []rune(rest); len(runes) > MaxNameRunes {
		rest = string(runes[:MaxNameRunes])
	}
	return rest
}

// Description checks a description: text, possibly of several lines, or nothing.
func Description(s string) (string, error) {
	s = strings.NewReplacer("\r\n", "\n", "\u2028", "\n", "\u2029", "\n").Replace(s)
	s = strings.TrimFunc(s, isBlank)
	unwanted := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	switch {
	case utf8.RuneCountInString(s) > MaxDescriptionRunes:
		return "", bounds("description", fmt.Sprintf("The description must have at most %d characters.", MaxDescriptionRunes))
	case strings.ContainsFunc(s, unwanted) || !utf8.ValidString(s):
		return "", bounds("description", "The description must be plain text.")
	case strings.ContainsFunc(s, isOverride):
		return "", bounds("description", "The description must not contain characters that change the direction of the text.")
	}
	return s, nil
}

// Secret checks a signing secret. It is used as given, byte by byte, so nothing
// is trimmed: what could be an accident of copying is refused instead.
func Secret(s string) error {
	if len(s) < MinSecretBytes || len(s) > MaxSecretBytes {
		return bounds("secret", fmt.Sprintf("The secret must have %d to %d bytes.", MinSecretBytes, MaxSecretBytes))
	}
	first, _ := utf8.DecodeRuneInString(s)
	last, _ := utf8.DecodeLastRuneInString(s)
	unprintable := func(r rune) bool { return r == utf8.RuneError || !unicode.IsGraphic(r) }
	switch {
	case isBlank(first) || isBlank(last):
		return bounds("secret", "The secret must not begin or end with a blank or a line break: they get lost in copying, "+
			"and then no signature fits. Leave them out.")
	case strings.ContainsFunc(s, unprintable):
		return bounds("secret", "The secret must consist of printable characters, without line breaks.")
	case strings.LastIndex(s, standardPrefix) > 0:
		return bounds("secret", "The secret must begin with whsec_. Leave out what stands before it, such as v1, or a quotation mark.")
	}
	encoded, isStandard := strings.CutPrefix(s, standardPrefix)
	if !isStandard {
		return nil
	}
	if key, err := base64.StdEncoding.Strict().DecodeString(encoded); err != nil || len(key) == 0 {
		return bounds("secret", "A secret that starts with whsec_ must go on with base64, padded with =. "+
			"Copy it again as a whole, or use a secret without that prefix.")
	}
	return nil
}

// Format checks a format and returns it as it is stored: JSON is empty.
func Format(name string) (string, error) {
	format, ok := chat.Parse(name)
	switch {
	case !ok || name == "":
		var names []string
		for _, known := range chat.Formats() {
			names = append(names, string(known))
		}
		return "", bounds("format", "There is no such format. Choose one of: "+sentence(names)+".")
	case format == chat.JSON:
		return "", nil
	default:
		return string(format), nil
	}
}

// PerSecond checks the limit on attempts a second; 0 is none.
func PerSecond(limit float64) error {
	if limit == 0 || MinPerSecond <= limit && limit <= MaxPerSecond {
		return nil
	}
	return bounds("max_per_second", fmt.Sprintf(
		"max_per_second must be %g to %d attempts a second, or 0 for no limit.", MinPerSecond, MaxPerSecond))
}

// Overlap checks how many seconds a previous secret is to go on signing.
func Overlap(seconds int64) (time.Duration, error) {
	const most = int64(MaxOverlap / time.Second)
	if seconds < 0 || seconds > most {
		return 0, bounds("overlap_seconds", fmt.Sprintf(
			"overlap_seconds must be 0 to %d seconds, which is %d days.", most, MaxOverlap/(24*time.Hour)))
	}
	return time.Duration(seconds) * time.Second, nil
}

// Events checks the list of events: each once, and at least one. It keeps the order.
func Events(list []string) ([]string, error) {
	known := event.Subscribable()
	for _, name := range list {
		if !slices.Contains(known, name) {
			return nil, &Fault{Field: "events", Kind: KindEvent, Message: unknownEvent(name, known)}
		}
	}
	switch {
	case len(list) == 0:
		return nil, bounds("events", "Choose at least one event: "+sentence(known)+".")
	case len(slices.Compact(slices.Sorted(slices.Values(list)))) != len(list):
		return nil, bounds("events", "Every event can be chosen only once.")
	}
	return slices.Clone(list), nil
}

// Event checks one event.
func Event(name string) error {
	if known := event.Subscribable(); !slices.Contains(known, name) {
		return &Fault{Field: "event", Kind: KindEvent, Message: unknownEvent(name, known)}
	}
	return nil
}

// unknownEvent names the event as long as it looks like one: what else was sent
// is not repeated.
func unknownEvent(name string, known []string) string {
	const longest = 64
	quoted := "The event"
	if len(name) <= longest && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '.' && r != '_' && r != '-' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	}) {
		quoted = fmt.Sprintf("The event %q", name)
	}
	return quoted + " does not exist; use " + sentence(known) + "."
}

func sentence(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
