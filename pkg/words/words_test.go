package words

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// every calls check with every sentence that can be said, by what it is about.
func every(check func(name string, f Fact, in Language, said Sentence)) {
	statuses := append(slices.Collect(maps.Keys(all.statuses)), 0, 200, 302, 418, 500)
	for outcome := range webhooksv1.Outcome_name {
		for reason := range webhooksv1.Reason_name {
			for cause := range webhooksv1.Cause_name {
				for phase := range webhooksv1.Phase_name {
					if cause != 0 && phase != 0 { // never both, and the cause wins
						continue
					}
					for _, status := range statuses {
						f := Fact{
							Outcome: webhooksv1.Outcome(outcome), Reason: webhooksv1.Reason(reason), Cause: webhooksv1.Cause(cause),
							Phase: webhooksv1.Phase(phase), StatusCode: status, Took: 1500 * time.Millisecond, BodyBytes: 5 << 20,
						}
						for _, in := range Languages() {
							name := strings.Join([]string{f.Outcome.Label(), f.Reason.Label(), f.Cause.Label(), f.Phase.Label()}, " ")
							check(name, f, in, Say(f, in))
						}
					}
				}
			}
		}
	}
}

func TestEveryOutcomeAndReasonHasItsSentence(t *testing.T) {
	sentence := regexp.MustCompile(`^[A-Z][^{}\n]*\.$`)
	texts := map[string]bool{}
	every(func(name string, f Fact, _ Language, said Sentence) {
		if f.Reason != webhooksv1.Reason_REASON_UNSPECIFIED && said.Advice == "" {
			t.Errorf("%s: no advice", name)
		}
		texts[said.Message] = true
		if said.Advice != "" {
			texts[said.Advice] = true
		}
	})
	for text := range texts {
		assert.Regexp(t, sentence, text)
	}
	// Each by itself, so that none falls back to another's.
	for value := range webhooksv1.Outcome_name {
		assert.Contains(t, all.outcomes, webhooksv1.Outcome(value))
	}
	for value := range webhooksv1.Reason_name {
		assert.Contains(t, all.reasons, webhooksv1.Reason(value))
	}
	for value := range webhooksv1.Cause_name {
		assert.Equal(t, value != 0, all.causes[webhooksv1.Cause(value)] != line{}, webhooksv1.Cause(value).Label())
	}
	for value := range webhooksv1.Phase_name {
		assert.Equal(t, value != 0, all.phases[webhooksv1.Phase(value)] != line{}, webhooksv1.Phase(value).Label())
	}
}

// A host knows the receiver, the webhook and the event, and nothing of what this
// system is made of.
func TestNoSentenceNamesWhatAHostCannotSee(t *testing.T) {
	inside := regexp.MustCompile(`(?i)\b(nats|jetstream|stream|mongo\w*|ferretdb|directus|dispatcher|api|bucket|consumer|intake|limiter|` +
		`breaker|queue|range|attempts|registry|projection|goroutine|panic|nil|egress|endpoint|outcome|internal|sequence|http1|ulid)\b`)
	texts := map[string]bool{}
	every(func(_ string, _ Fact, _ Language, said Sentence) {
		texts[said.Message], texts[said.Advice] = true, true
	})
	for text := range texts {
		found := inside.FindString(strings.ReplaceAll(text, "500 Internal Server Error", "500"))
		assert.Empty(t, found, text)
	}
}

// No sentence was left in the other language.
func TestLanguagesDiffer(t *testing.T) {
	every(func(name string, f Fact, _ Language, _ Sentence) {
		english, dutch := Say(f, English), Say(f, Dutch)
		if english.Message == dutch.Message || english.Advice != "" && english.Advice == dutch.Advice ||
			(english.Advice == "") != (dutch.Advice == "") {
			t.Errorf("%s: %v, %v", name, english, dutch)
		}
	})
}

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration][2]string{
		0:                             {"less than 1 ms", "minder dan 1 ms"},
		time.Millisecond - 1:          {"less than 1 ms", "minder dan 1 ms"},
		time.Millisecond:              {"1 ms", "1 ms"},
		12*time.Millisecond + 900_000: {"12 ms", "12 ms"},
		time.Second - 1:               {"999 ms", "999 ms"},
		time.Second:                   {"1.0 s", "1,0 s"},
		1500 * time.Millisecond:       {"1.5 s", "1,5 s"},
	} {
		for _, in := range Languages() {
			assert.Equal(t, want[in], Took(d, in), d.String())
		}
	}
}

func TestSay(t *testing.T) {
	const (
		retry, exhausted = webhooksv1.Outcome_OUTCOME_RETRY, webhooksv1.Outcome_OUTCOME_EXHAUSTED
		status           = webhooksv1.Reason_REASON_STATUS
	)
	for _, row := range []struct {
		fact     Fact
		in       Language
		contains []string
	}{
		{Fact{Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: 204, Took: 12 * time.Millisecond}, English, []string{"204 No Content", "12 ms"}},
		{Fact{Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: 204}, English, []string{"answered 204 No Content in less than 1 ms."}},
		{Fact{Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: 204}, Dutch, []string{"antwoordde 204 No Content in minder dan 1 ms."}},
		{Fact{Outcome: retry, Reason: status, StatusCode: 404}, English, []string{"404 Not Found: nothing is listening", "tried again", "URL is complete"}},
		{Fact{Outcome: retry, Reason: status, StatusCode: 404}, Dutch, []string{"404 Not Found: dit adres bestaat daar niet", "opnieuw geprobeerd"}},
		{Fact{Outcome: exhausted, Reason: status, StatusCode: 418}, English, []string{"418 I'm a teapot", "last attempt", "Send it again"}},
		{Fact{Outcome: retry, Reason: status, StatusCode: 500}, English, []string{"something went wrong there"}},
		{Fact{Outcome: retry, Reason: status, StatusCode: 413, BodyBytes: 8 << 20}, English, []string{"8.0 MiB (8388608 bytes)"}},
		{Fact{Outcome: webhooksv1.Outcome_OUTCOME_GONE, Reason: status, StatusCode: 410}, English, []string{"410 Gone", "The webhook was switched off.", "Switch the webhook on again"}},
		{
			Fact{Outcome: webhooksv1.Outcome_OUTCOME_GONE, Reason: status, StatusCode: 410, Cause: webhooksv1.Cause_CAUSE_CHAT_CHANNEL},
			Dutch,
			[]string{"410 Gone: het kanaal", "De webhook is uitgezet.", "ander kanaal. Zet de webhook weer aan"},
		},
		{
			Fact{Outcome: retry, Reason: webhooksv1.Reason_REASON_REDIRECT, StatusCode: 301, Location: "https://new.example/hook"},
			English,
			[]string{"301 Moved Permanently", "redirects to https://new.example/hook", "final URL"},
		},
		{
			Fact{Outcome: retry, Reason: webhooksv1.Reason_REASON_TIMEOUT, Phase: webhooksv1.Phase_PHASE_WAIT, Took: 15 * time.Second},
			Dutch,
			[]string{"na 15,0 s", "antwoordde niet", "eerst antwoorden"},
		},
		{Fact{Outcome: retry, Reason: webhooksv1.Reason_REASON_TIMEOUT, Phase: webhooksv1.Phase_PHASE_DNS}, English, []string{"looked up"}},
		{Fact{Outcome: exhausted, Reason: webhooksv1.Reason_REASON_RECEIVER_FAILING}, English, []string{"failing for so long"}},
		{
			Fact{Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: 202, Cause: webhooksv1.Cause_CAUSE_ACCEPTED},
			English,
			[]string{"does not tell whether the message was posted"},
		},
		// What a newer version recorded.
		{Fact{Outcome: 99, Reason: 98, Cause: 97, Phase: 96, StatusCode: 7}, English, []string{"did not succeed"}},
	} {
		said := Say(row.fact, row.in)
		for _, part := range row.contains {
			assert.Contains(t, said.Message+" "+said.Advice, part)
		}
	}
}

func TestChoose(t *testing.T) {
	for header, want := range map[string]Language{
		"": English, "nl": Dutch, "nl-NL,nl;q=0.9,en;q=0.8": Dutch, "en-US,en;q=0.9,nl;q=0.8": English, "nl-BE": Dutch,
		"de-DE,de;q=0.9": English, "fr,nl;q=0.5": Dutch, "*": English, "en;q=0.1, nl;q=0.2": Dutch, ";;;q=,": English,
		strings.Repeat("nl,", 5000): English,
	} {
		got := Choose(header)
		if len(header) < 100 {
			assert.Equal(t, want, got, header)
		}
	}
}

func TestEveryBodyStateHasItsNote(t *testing.T) {
	for state := BodyGone; state <= BodyAway; state++ {
		assert.NotEqual(t, state.Note(English), state.Note(Dutch))
		assert.NotEmpty(t, state.Note(Dutch))
		assert.NotEmpty(t, state.Label())
	}
	assert.Empty(t, BodyShown.Note(English))
}

// A test is not tried again, and a 410 to it disables nothing.
func TestASentenceAboutATestPromisesNothing(t *testing.T) {
	promises := regexp.MustCompile(`tried again|last attempt|The webhook was switched off|opnieuw geprobeerd|laatste poging|De webhook is uitgezet`)
	texts := map[string]string{} // each is looked at once: thousands of facts say the same
	every(func(name string, f Fact, in Language, _ Sentence) {
		f.Test = true
		if f.made() && f.Reason != webhooksv1.Reason_REASON_UNSPECIFIED {
			texts[Say(f, in).Message] = name
		}
	})
	for text, name := range texts {
		assert.NotRegexp(t, promises, text, name)
	}
}

func TestOff(t *testing.T) {
	for _, reason := range []string{"", "gone", "failing"} {
		for in, intro := range map[Language]string{English: "The webhook is off: ", Dutch: "De webhook staat uit: "} {
			why, off := Disabled(reason, in), Off(reason, in)
			assert.True(t, strings.HasPrefix(off.Message, intro), off.Message)
			assert.True(t, strings.EqualFold(intro+why.Message, off.Message))
			assert.NotEmpty(t, off.Advice)
		}
		assert.NotEqual(t, Disabled(reason, English), Disabled(reason, Dutch))
	}
	assert.Contains(t, Disabled("gone", English).Message, "410")
	assert.Contains(t, Disabled("failing", Dutch).Message, "Vijf dagen")
	assert.Equal(t, Disabled("", English), Disabled("of a newer version", English))
}

// What goes for the receiver is told from what became of one delivery.
func TestOfReceiver(t *testing.T) {
	for _, outcome := range []webhooksv1.Outcome{webhooksv1.Outcome_OUTCOME_RETRY, webhooksv1.Outcome_OUTCOME_EXHAUSTED, webhooksv1.Outcome_OUTCOME_GONE} {
		f := Fact{Outcome: outcome, Reason: webhooksv1.Reason_REASON_STATUS, StatusCode: 404}
		assert.Equal(t, Sentence{
			Message: "The receiver answered 404 Not Found: nothing is listening at this URL.",
			Advice:  "Check that the URL is complete and still in use.",
		}, OfReceiver(Say(f, English), English), outcome)
		assert.Equal(t, Sentence{
			Message: "De ontvanger antwoordde 404 Not Found: dit adres bestaat daar niet.",
			Advice:  "Controleer of het adres volledig is en nog wordt gebruikt.",
		}, OfReceiver(Say(f, Dutch), Dutch), outcome)
	}
}
