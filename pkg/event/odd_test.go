package event_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
)

// slowly adds a field that the fast JSON reader does not know, so that protojson
// reads the event.
func slowly(body string) string { return strings.Replace(body, "{", `{"newer":1,`, 1) }

// Row B24: one broken character must not cost a transcript. Both readers mend it,
// wherever it is.
func TestALoneSurrogateBecomesTheReplacementCharacter(t *testing.T) {
	for written, want := range map[string]string{
		`Zoë \ud83d`:               "Zoë \ufffd",
		`\uD83D`:                   "\ufffd",
		`\ude00 Zoë`:               "\ufffd Zoë",
		`\ud83d\ud83d\ude00`:       "\ufffd😀",
		`\ud83d\u0041`:             "\ufffdA",
		`\ud83d\n`:                 "\ufffd\n",
		`\ud83dude00`:              "\ufffdude00",
		`\ude00\ud83d`:             "\ufffd\ufffd",
		`\\ud83d`:                  `\ud83d`,
		`\\\ud83d`:                 "\\\ufffd",
		`\ud83d\ude00`:             "😀",
		"\xed\xa0\xbd":             "\ufffd", // the same surrogates in the bytes that some libraries write
		"a\xed\xb8\x80b":           "a\ufffdb",
		"\xed\xa0\xbd\xed\xb8\x80": "😀",
		"한국어":                      "한국어", // begins with the same byte
	} {
		body := `{"id":"e1","project":{"id":"p1","name":"` + written + `"},"conversation":{"participant_name":"` + written +
			`","tags":["` + written + `","b"],"transcript":"` + written + `"}}`
		for _, data := range []string{body, slowly(body)} {
			e, err := event.Decode("", []byte(data))
			require.NoError(t, err, "%q", written)
			assert.Equal(t, want, e.GetProject().GetName(), "%q", written)
			assert.Equal(t, want, e.GetConversation().GetParticipantName(), "%q", written)
			assert.Equal(t, []string{want, "b"}, e.GetConversation().GetTags(), "%q", written)
			assert.Equal(t, want, e.GetConversation().GetTranscript(), "%q", written)
		}
	}
}

// Whatever is cut off in the middle of an escape is refused, and nothing else.
func TestWhatIsCutOffInAnEscapeIsRefused(t *testing.T) {
	whole := `{"id":"e1\\ud83d\\ud83d\ude00","x":"` + "\xed\xa0\xbd\xed\xb8\x80" + `"}`
	for size := 1; size < len(whole); size++ {
		_, err := event.Decode("", []byte(whole[:size]))
		require.ErrorIs(t, err, event.ErrUnreadable, "%q", whole[:size])
	}
}

// What is mended is a copy: the message belongs to whoever handed it over.
func TestMendingChangesNothingOfTheCallers(t *testing.T) {
	data := []byte(`{"id":"e1","conversation":{"participant_name":"Zoë \ud83d"}}`)
	before := string(data)
	_, err := event.Decode("", data)
	require.NoError(t, err)
	assert.Equal(t, before, string(data))
}

func TestAByteOrderMarkIsNoReasonToLoseAnEvent(t *testing.T) {
	for _, body := range []string{`{"id":"e1"}`, slowly(`{"id":"e1"}`)} {
		e, err := event.Decode("", []byte("\ufeff"+body))
		require.NoError(t, err)
		assert.Equal(t, "e1", e.GetId())
	}
}

// A time that can be meant in one way only is read, however it is written.
func TestTimesThatLeaveNoDoubtAreRead(t *testing.T) {
	noon := time.Date(2026, 1, 20, 12, 0, 0, 123456000, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-01-20T12:00:00.123456Z":       noon,
		"2026-01-20t12:00:00.123456z":       noon,
		"2026-01-20 12:00:00.123456+00:00":  noon, // what Python's str writes
		"2026-01-20 12:00:00.123456+00":     noon, // what PostgreSQL writes
		"2026-01-20T13:30:00.123456+0130":   noon, // what strftime's %z writes
		"2026-01-20T12:00:00.123456000000Z": noon,
		"2026-01-20T07:00:00.123456-05:00":  noon,
		"2026-01-20T12:00:00,123456Z":       noon,
		"2026-01-20T12:00Z":                 noon.Truncate(time.Minute),
	} {
		for _, name := range []string{"occurred_at", "occurredAt"} {
			body := `{"id":"e1","` + name + `":"` + text + `","project":{"id":"p1"}}`
			for _, data := range []string{body, slowly(body)} {
				e, err := event.Decode("", []byte(data))
				require.NoError(t, err, data)
				assert.True(t, want.Equal(e.GetOccurredAt().AsTime()), data)
				assert.Equal(t, "p1", e.GetProject().GetId(), data)
			}
		}
	}
}

// Row B25: a refusal says what to write instead.
func TestTimesThatLeaveDoubtAreRefusedWithAnExample(t *testing.T) {
	for value, want := range map[string]string{
		`"2026-01-20T12:00:00.123456"`: "occurred_at has no time zone: add Z for UTC, or an offset such as +01:00",
		`"2026-01-20 12:00:00"`:        "occurred_at has no time zone",
		`"2026-01-20"`:                 "occurred_at is not a time",
		`"secret"`:                     "occurred_at is not a time",
		`""`:                           "occurred_at is not a time",
		`"2026-13-20T12:00:00Z"`:       "occurred_at is not a time",
		`"0000-12-31T23:59:59Z"`:       "occurred_at is not a time between the years 1 and 9999",
		`1768910400`:                   "occurred_at must be a string",
		`{"seconds":1768910400}`:       "occurred_at must be a string",
		`true`:                         "occurred_at must be a string",
	} {
		body := `{"id":"e1","occurred_at":` + value + `}`
		for _, data := range []string{body, slowly(body)} {
			_, err := event.Decode("", []byte(data))
			require.ErrorIs(t, err, event.ErrUnreadable, data)
			require.ErrorContains(t, err, want, data)
			require.ErrorContains(t, err, "2026-01-20T12:00:00.123456Z", data)
			assert.NotContains(t, err.Error(), "secret")
		}
	}
}

// Nasty case 29: a pipeline developer learns from the reason what to change.
func TestReasonsSayWhatToChange(t *testing.T) {
	for _, test := range []struct{ contentType, data, want string }{
		{"", `{"id":12345}`, "id must be a string: put it in quotes"},
		{"", `{"conversation":{"participant_name":7}}`, "conversation.participant_name must be a string: put it in quotes"},
		{"", `{"conversation":{"tags":["a",null]}}`, "conversation.tags must be a list of strings"},
		{"", `{"conversation":{"is_finished":"secret"}}`, "conversation.is_finished must be true or false, without quotes"},
		{"", `{"conversation":{"duration":"secret"}}`, "conversation.duration must be a number"},
		{"", `{"conversation":{"duration":1e400}}`, "leave it out if it is not known"},
		{"", `{"conversation":{"duration":NaN}}`, "JSON has no such value"},
		{"", `{"id":secret}`, "texts are in quotes"},
		{"", `{"id":"e1","id":"secret"}`, "say it once"},
		{"", `{"report":{},"conversation":{"id":"secret"}}`, "leave one of them out"},
		{"", `{"project":"secret"}`, "project must be an object"},
		{"", `{"conversation":{"tags":"secret"}}`, "conversation.tags must be a list of strings"},
		{"", "{\"id\":\"secret\xff\"}", "encode the body as UTF-8"},
		{"", `{"id":"secret\x"}`, "let a JSON library write it"},
		{"", `{"id":"Zoë secret`, "the body ends too early"},
		{"", `null`, "the body must be one JSON object"},
		{"", `[]`, "the body must be one JSON object"},
		{"", `"secret"`, "the body must be one JSON object"},
		{"", `{}{}`, "the body must be one JSON object"},
		{"", "\x0a\x09", "the body must be one JSON object"},
		{event.Protobuf, `{"id":"secret"}`, "it looks like JSON: set the header Content-Type to application/json"},
		{event.Protobuf, "\x0a\x09secret", "must be the message dembrane.webhooks.v1.Event"},
		{event.Protobuf, "\x0a\x07secret\xff", "encode its texts as UTF-8"},
	} {
		_, err := event.Decode(test.contentType, []byte(test.data))
		require.ErrorIs(t, err, event.ErrUnreadable, test.data)
		require.ErrorContains(t, err, test.want, test.data)
		assert.NotContains(t, err.Error(), "secret", test.data)
	}
	// Protobuf that is called JSON, or nothing at all.
	e, err := event.Decode("", []byte(`{"id":"e1","type":"conversation.started"}`))
	require.NoError(t, err)
	binary, err := event.Encode(event.Protobuf, e)
	require.NoError(t, err)
	_, err = event.Decode("", binary)
	require.ErrorContains(t, err, "it looks like protobuf: set the header Content-Type to application/x-protobuf")
}

// The registered name, and the one that came before it, mean the same.
func TestOtherNamesOfTheEncodingsAreKnown(t *testing.T) {
	binary, err := event.Encode(event.Protobuf, validConversation())
	require.NoError(t, err)
	for _, contentType := range []string{"application/protobuf", "application/vnd.google.protobuf; messageType=x"} {
		e, err := event.Decode(contentType, binary)
		require.NoError(t, err, contentType)
		assert.Equal(t, validConversation().GetId(), e.GetId())
	}
	_, err = event.Decode("text/json", []byte(`{"id":"e1"}`))
	require.NoError(t, err)
}

// A negative duration is odd, and can be delivered as it is.
func TestAnOddDurationCostsNoTranscript(t *testing.T) {
	e := validConversation()
	e.GetConversation().Duration = new(-1.5)
	require.NoError(t, event.Validate(e))
}
