// Package words says in a host's words what became of an attempt and what to do
// about it. It has the one table of all outcomes, reasons, causes, phases and
// statuses, in every language that hosts read: the API, the pages and the messages
// to chats take their sentences from here.
//
// It is pure, and names nothing that a host cannot see: the receiver, the webhook,
// its URL, its secret and the event.
package words

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Language is one that there are sentences in.
type Language int

// The languages. English is what others get.
const (
	English Language = iota
	Dutch
)

// Tag is the language as Content-Language has it.
func (l Language) Tag() string {
	if l == Dutch {
		return "nl"
	}
	return "en"
}

// Languages are all of them.
func Languages() []Language { return []Language{English, Dutch} }

// Choose picks the language that an Accept-Language header (RFC 9110, 12.5.4) asks
// for.
func Choose(acceptLanguage string) Language {
	const longest = 1 << 10 // of a header that anybody may send
	matcher := language.NewMatcher([]language.Tag{language.English, language.Dutch})
	wanted, _, err := language.ParseAcceptLanguage(acceptLanguage[:min(len(acceptLanguage), longest)])
	if err != nil || len(wanted) == 0 {
		return English
	}
	_, chosen, _ := matcher.Match(wanted...)
	return Language(chosen)
}

// Fact is what is known of an attempt.
type Fact struct {
	Outcome webhooksv1.Outcome
	Reason  webhooksv1.Reason
	Cause   webhooksv1.Cause
	// Phase is the one in which an attempt without a status ended.
	Phase      webhooksv1.Phase
	StatusCode int
	Took       time.Duration
	// BodyBytes is how large the body of the request was.
	BodyBytes int64
	// Test says that it was a host's test: it is made once, and changes nothing about
	// the webhook.
	Test bool
	// Location is where a redirect led, without its query; empty when not known.
	Location string
}

// Sentence says what happened and what to do about it. Both are whole sentences;
// Advice is empty when there is nothing to do.
type Sentence struct {
	Message string
	Advice  string
}

// Say finds the sentence for a fact. It always has a message.
func Say(f Fact, in Language) Sentence {
	line := find(f)
	said := Sentence{Message: f.fill(line.message[in], in), Advice: line.advice[in]}
	if more, ok := all.afterwards[f.Outcome]; ok && f.made() && !f.Test {
		said.Message += " " + more.message[in]
		if more.advice[in] != "" {
			said.Advice = strings.TrimSpace(said.Advice + " " + more.advice[in])
		}
	}
	return said
}

// OfReceiver is what a sentence says of the receiver, without what became of the one
// delivery: for a webhook as a whole, and for an attempt after which there was another.
func OfReceiver(said Sentence, in Language) Sentence {
	for _, more := range all.afterwards {
		said.Message = strings.TrimSuffix(said.Message, " "+more.message[in])
		said.Advice = strings.TrimSpace(strings.TrimSuffix(said.Advice, more.advice[in]))
	}
	return said
}

// made reports whether a request was made that did not succeed.
func (f Fact) made() bool {
	return f.Reason != webhooksv1.Reason_REASON_UNSPECIFIED && f.Reason != webhooksv1.Reason_REASON_RECEIVER_FAILING
}

// find goes from the particular to the general.
func find(f Fact) line {
	if f.Reason == webhooksv1.Reason_REASON_UNSPECIFIED {
		if found, ok := all.causes[f.Cause]; ok && f.Outcome == webhooksv1.Outcome_OUTCOME_DELIVERED {
			return found
		}
		return all.outcomes[known(f.Outcome, all.outcomes)]
	}
	if found, ok := all.causes[f.Cause]; ok {
		return found
	}
	if found, ok := all.phases[f.Phase]; ok && f.Reason == webhooksv1.Reason_REASON_TIMEOUT {
		return found
	}
	if f.StatusCode != 0 {
		if found, ok := all.statuses[f.StatusCode]; ok && f.Reason != webhooksv1.Reason_REASON_REDIRECT {
			return found
		}
		if found, ok := all.classes[f.StatusCode/100]; ok && f.Reason == webhooksv1.Reason_REASON_STATUS {
			return found
		}
	}
	return all.reasons[known(f.Reason, all.reasons)]
}

// known is the value itself, or the zero value for one of a newer version.
func known[K comparable](value K, in map[K]line) K {
	if _, ok := in[value]; ok {
		return value
	}
	var zero K
	return zero
}

// fill puts what is known of the attempt into a sentence.
func (f Fact) fill(text string, in Language) string {
	if !strings.Contains(text, "{") {
		return text
	}
	target := ""
	if f.Location != "" {
		target = map[Language]string{English: " to ", Dutch: " naar "}[in] + f.Location
	}
	return strings.NewReplacer(
		"{status}", strings.TrimSpace(strconv.Itoa(f.StatusCode)+" "+statusText(f.StatusCode)),
		"{size}", size(f.BodyBytes),
		"{took}", Took(f.Took, in),
		"{target}", target,
	).Replace(text)
}

// Took is how long something took, as people read it.
func Took(d time.Duration, in Language) string {
	switch {
	case d < time.Millisecond && in == Dutch:
		return "minder dan 1 ms"
	case d < time.Millisecond:
		return "less than 1 ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	}
	seconds := strconv.FormatFloat(d.Seconds(), 'f', 1, 64)
	if in == Dutch {
		return strings.Replace(seconds, ".", ",", 1) + " s"
	}
	return seconds + " s"
}

// size is a number of bytes as people read it.
func size(n int64) string {
	const kib, mib = 1 << 10, 1 << 20
	bytes := strconv.FormatInt(n, 10) + " bytes"
	switch {
	case n >= mib:
		return strconv.FormatFloat(float64(n)/mib, 'f', 1, 64) + " MiB (" + bytes + ")"
	case n >= kib:
		return strconv.FormatFloat(float64(n)/kib, 'f', 1, 64) + " KiB (" + bytes + ")"
	default:
		return bytes
	}
}

// BodyState is what can be shown of the body that a request had.
type BodyState int

// The states. Only the first comes with a body.
const (
	BodyShown   BodyState = iota
	BodyGone              // the event is no longer kept
	BodyTest              // a test's event is not kept at all
	BodyChanged           // it would be written in another way today
	BodyAway              // it cannot be read now
)

// Label is the state as the API writes it.
func (b BodyState) Label() string {
	return [...]string{"shown", "gone", "test", "changed", "unavailable"}[b]
}

// Note says why there is no body; empty when there is.
func (b BodyState) Note(in Language) string {
	return [...]line{
		{},
		say("The event is no longer kept, so what was sent cannot be shown.", "",
			"De gebeurtenis wordt niet meer bewaard, dus wat is verstuurd kan niet worden getoond.", ""),
		say("This was a test, and what a test sends is not kept.", "",
			"Dit was een test, en wat een test verstuurt wordt niet bewaard.", ""),
		say("The event would be written in another way today, so what was sent cannot be shown.", "",
			"De gebeurtenis zou nu anders worden geschreven, dus wat is verstuurd kan niet worden getoond.", ""),
		say("What was sent cannot be read at the moment. Try again in a few seconds.", "",
			"Wat is verstuurd kan nu niet worden gelezen. Probeer het over enkele seconden opnieuw.", ""),
	}[b].message[in]
}
