package portal

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload/chat"
)

// testBody is the page from which a test is sent, and what became of one.
type testBody struct {
	Events  []eventChoice
	Formats []formatChoice
	Result  *testResult
	// Fault says why no test was sent.
	Fault string
}

// testResult is what became of a test.
type testResult struct {
	// Works says that it was delivered.
	Works           bool
	State           state
	Message, Advice string
	When            moment
	StatusCode      int
	StatusText      string
	Took            string
	Phases          []phase
	// Answer is what the receiver said, Cut that it said more.
	Answer string
	Cut    bool
	// Noted says why nothing came back, or what was odd about what did.
	Noted string
}

// state is an icon and a word.
type state struct{ Tone, Icon, Word string }

// phase is a part of the time that a request took, as a bar from 0 to 100.
type phase struct {
	Name, Took   string
	Start, Width int
}

func testPage(v *visit) error {
	if err := v.mayChange(); err != nil {
		return err
	}
	return v.renderTest(http.StatusOK, testBody{}, event.Test, v.webhook.Format)
}

func (v *visit) renderTest(status int, body testBody, eventType, format string) error {
	for _, name := range append([]string{event.Test}, event.Subscribable()...) {
		body.Events = append(body.Events, eventChoice{Name: name, Title: v.t("event." + name), Chosen: name == eventType})
	}
	for _, known := range chat.Formats() {
		body.Formats = append(body.Formats, formatChoice{
			Name: string(known), Title: v.t("format." + string(known)), Chosen: string(known) == format,
		})
	}
	title := v.t("test.title")
	if body.Result != nil {
		title = body.Result.State.Word + " · " + title
	}
	return v.render(status, "test", title, body)
}

func testAgain(v *visit) error {
	if err := v.mayChange(); err != nil {
		return err
	}
	return v.renderTest(http.StatusUnprocessableEntity, testBody{}, v.field("event"), v.field("format"))
}

// sendTest sends one and shows what became of it. Sending the form again sends
// another test, which is what it looks like.
func sendTest(v *visit) error {
	eventType, format := v.field("event"), v.field("format")
	tested, err := v.api.test(v.webhook.ID, eventType, format)
	if refusal, isRefused := refusalOf(err); isRefused && refusal.Status != http.StatusUnauthorized &&
		refusal.Status != http.StatusForbidden && refusal.Status != http.StatusNotFound {
		return v.renderTest(refusal.Status, testBody{Fault: refusal.Detail}, eventType, format)
	}
	if err != nil {
		return err
	}
	return v.renderTest(http.StatusOK, testBody{Result: v.testResult(tested)}, eventType, format)
}

func (v *visit) testResult(tested apiTest) *testResult {
	answer := cutText(tested.ResponseBody)
	result := &testResult{
		State:   state{Tone: "bad", Icon: "alert", Word: v.t("test.failed")},
		Message: tested.Message, Advice: tested.Advice, When: v.exact(tested.StartedAt), Took: took(v.in, float64(tested.DurationMS)),
		Answer: visible(answer), Cut: tested.ResponseTruncated || len(answer) < len(tested.ResponseBody), Noted: v.whyNoAnswer(tested.Detail, tested.Reason, tested.StatusCode != nil),
	}
	if strings.HasPrefix(result.Message, result.Noted) { // it is not said twice
		result.Noted = ""
	}
	if result.Works = tested.Success; result.Works {
		result.State = state{Tone: "good", Icon: "check", Word: v.t("test.delivered")}
	}
	if tested.StatusCode != nil {
		result.StatusCode, result.StatusText = *tested.StatusCode, http.StatusText(*tested.StatusCode)
	}
	if tested.Timing != nil {
		result.Phases = v.phases(*tested.Timing)
	}
	return result
}

// phases are in the order in which they happen; what took no time is left out.
func (v *visit) phases(t apiTiming) []phase {
	all := []struct {
		name string
		ms   float64
	}{{v.t("phase.dns"), t.DNS}, {v.t("phase.connect"), t.Connect}, {v.t("phase.tls"), t.TLS}, {v.t("phase.wait"), t.Wait}}
	var total, before float64
	for _, one := range all {
		total += one.ms
	}
	var phases []phase
	for _, one := range all {
		if one.ms <= 0 {
			continue
		}
		start := int(before / total * 100)
		phases = append(phases, phase{Name: one.name, Took: took(v.in, one.ms), Start: min(start, 99), Width: max(1, int(one.ms/total*100))})
		before += one.ms
	}
	return phases
}

// visible shows characters that would turn a text around, or hide, as what they are:
// what a receiver answers must not look like something else.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if isHidden(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ReplaceAll(text, "\r\n", "\n"))
}

// isHidden reports whether a character is one that is not shown as itself: marks and
// overrides of the direction, and control characters but line breaks and tabs.
func isHidden(r rune) bool {
	switch {
	case '\u202a' <= r && r <= '\u202e', '\u2066' <= r && r <= '\u206f', r == '\u200e', r == '\u200f', r == '\u061c', r == '\ufeff',
		'\ufff9' <= r && r <= '\ufffb':
		return true
	default:
		return unicode.IsControl(r) && r != '\n' && r != '\t'
	}
}
