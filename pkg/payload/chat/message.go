package chat

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// How much is shown of texts that have no bound, in code points. With them,
// everything besides the text of a message is far below every product's limits.
const (
	maxName    = 100
	maxTag     = 40
	maxTags    = 10
	maxMessage = 1000
	// maxLink is the longest link, in bytes: Discord takes 2,048, and a section of
	// Slack 3,000 with the link in it.
	maxLink = 2000
)

// message is what is said, before it is known in which product. Its texts are not
// escaped, have no line breaks and show something.
type message struct {
	// what happened.
	what string
	// project is where; it may be empty.
	project string
	facts   []fact
	// text is the summary, and what there is to say besides the facts.
	text []block
	// link leads to the dashboard; empty when it would be too long for a product.
	link      string
	linkLabel string
}

type fact struct{ name, value string }

// title says what happened, and in which project.
func (m message) title() string {
	if m.project == "" {
		return m.what
	}
	return m.what + " · " + m.project
}

func newMessage(r payload.Renderer, e *webhooksv1.Event) message {
	t := textsFor(e.GetProject().GetLanguage())
	m := message{
		what:      t.what(e.GetType()),
		project:   shown(e.GetProject().GetName(), maxName),
		linkLabel: t.open,
	}
	if link := r.DashboardURL(e); len(link) <= maxLink {
		m.link = link
	}
	if e.GetType() == event.Test {
		m.text = append(m.text, plain(t.testNote))
	}
	if c := e.GetConversation(); c != nil {
		m.facts = conversationFacts(t, c, e.GetType())
		if carriesSummary(e.GetType()) {
			m.text = append(m.text, parseMarkdown(c.GetSummary())...)
		}
	}
	if w := e.GetWebhook(); w != nil {
		m.addFact(t.webhook, shown(w.GetName(), maxName))
		m.addFact(t.receiver, shown(w.GetHost(), maxName))
		if said := shown(w.GetMessage(), maxMessage); said != "" {
			m.text = append(m.text, plain(said))
		}
	}
	return m
}

func (m *message) addFact(name, value string) {
	if value != "" {
		m.facts = append(m.facts, fact{name, value})
	}
}

func conversationFacts(t texts, c *webhooksv1.Conversation, eventType string) []fact {
	var m message
	m.addFact(t.participant, shown(c.GetParticipantName(), maxName))
	m.addFact(t.duration, t.lasting(c.GetDuration()))
	m.addFact(t.tags, tagList(c.GetTags()))
	if c.Transcript != nil && carriesTranscript(eventType) {
		m.addFact(t.transcript, t.number(utf8.RuneCountInString(c.GetTranscript())))
	}
	return m.facts
}

func tagList(tags []string) string {
	var list []string
	more := 0
	for _, tag := range tags {
		switch tag = shown(tag, maxTag); {
		case tag == "":
		case len(list) == maxTags:
			more++
		default:
			list = append(list, tag)
		}
	}
	if more > 0 {
		list = append(list, "+"+strconv.Itoa(more))
	}
	return strings.Join(list, ", ")
}

func carriesSummary(eventType string) bool {
	return eventType == event.ConversationSummarized || eventType == event.Test
}

func carriesTranscript(eventType string) bool {
	return eventType == event.ConversationTranscribed || carriesSummary(eventType)
}

// shown makes one line of a text from outside, of at most so many code points. It is
// empty when the text shows nothing.
func shown(text string, most int) string {
	// Four bytes make a code point at most; the rest of a megabyte is not looked at.
	const slack = 16
	line := strings.Join(strings.Fields(visible(head(text, slack*most))), " ")
	if !shows(line) {
		return ""
	}
	if utf8.RuneCountInString(line) <= most {
		return line
	}
	runes := []rune(line)
	return strings.TrimRight(string(runes[:boundary(runes, most-1)]), " ") + ellipsis
}

// head is the beginning of a text, whole code points of at most so many bytes.
func head(text string, bytes int) string {
	if len(text) <= bytes {
		return text
	}
	for bytes > 0 && !utf8.RuneStart(text[bytes]) {
		bytes--
	}
	return text[:bytes]
}

// visible replaces controls by blanks and drops what is invisible or turns the
// direction of writing, which can make a text look like another one. Joiners stay:
// emoji and several scripts need them.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\u200c', r == '\u200d':
			return r
		case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r):
			return -1
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		default:
			return r
		}
	}, strings.ToValidUTF8(text, "\ufffd"))
}

// shows reports whether there is anything to see in a text. U+3164 and its like are
// letters, and blank.
func shows(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool {
		switch r {
		case '\u200c', '\u200d', '\u115f', '\u1160', '\u3164', '\uffa0', '\u2800', '\u034f':
			return false
		default:
			return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.Is(unicode.Mn, r)
		}
	})
}

// lasting is a duration as people read it; empty when it is not known.
func (t texts) lasting(seconds float64) string {
	const minute, hour, longest = 60, 3600, 1e9
	if !(seconds >= 0.5 && seconds <= longest) {
		return ""
	}
	whole := int(math.Round(seconds))
	switch {
	case whole < minute:
		return strconv.Itoa(whole) + "\u00a0" + t.second
	case whole < hour:
		return strconv.Itoa(int(math.Round(seconds/minute))) + "\u00a0" + t.minute
	default:
		minutes := int(math.Round(seconds / minute))
		return strconv.Itoa(minutes/minute) + "\u00a0" + t.hour + " " + strconv.Itoa(minutes%minute) + "\u00a0" + t.minute
	}
}

// number writes a whole number with the language's separator of thousands.
func (t texts) number(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + t.thousands + digits[i:]
	}
	return digits
}
