package payload_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

const base = "https://dashboard.example.org"

func readEvent(tb testing.TB, file string) *webhooksv1.Event {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	require.NoError(tb, err)
	e, err := event.Decode(event.JSON, data)
	require.NoError(tb, err)
	require.NoError(tb, event.Validate(e))
	return e
}

func render(e *webhooksv1.Event) string {
	return string(payload.Renderer{AdminBaseURL: base}.Append(nil, e))
}

func TestBodiesAreTheVectors(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	require.NoError(t, err)
	var vectors []struct {
		EventFile    string `json:"event_file"`
		AdminBaseURL string `json:"admin_base_url"`
		Body         string `json:"body"`
	}
	require.NoError(t, json.Unmarshal(data, &vectors))
	files := map[string]bool{}
	for _, vector := range vectors {
		if vector.EventFile == "" {
			continue // a vector of the signature alone
		}
		files[vector.EventFile] = true
		e := readEvent(t, vector.EventFile)
		body := payload.Renderer{AdminBaseURL: vector.AdminBaseURL}.Append(nil, e)
		assert.Equal(t, vector.Body, string(body), vector.EventFile)
		wantCanonical(t, body)

		// The binary form of the same event has the same body.
		binary, err := event.Encode(event.Protobuf, e)
		require.NoError(t, err)
		again, err := event.Decode(event.Protobuf, binary)
		require.NoError(t, err)
		assert.Equal(t, vector.Body, render(again), vector.EventFile)
	}
	assert.Len(t, files, 6)
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	e := readEvent(t, "events/01-conversation-started.json")
	body := payload.Renderer{AdminBaseURL: base}.Append([]byte("before "), e)
	assert.Equal(t, "before "+render(e), string(body))
}

func TestAppendAllocatesNothingInARoomyBuffer(t *testing.T) {
	r := payload.Renderer{AdminBaseURL: base + "/"}
	for _, file := range []string{
		"events/03-conversation-summarized.json", "events/04-report-generated.json",
		"events/05-conversation-transcribed.json", "events/06-conversation-started.json",
	} {
		e := readEvent(t, file)
		room := make([]byte, 0, 16<<10)
		assert.Zero(t, testing.AllocsPerRun(100, func() { room = r.Append(room[:0], e) }), file)
	}
}

func TestTextsAreEscaped(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"plain":                   {"a <b> & 'c' / ~", `a <b> & 'c' / ~`},
		"quote and backslash":     {`"\`, `\"\\`},
		"short escapes":           {"\b\f\n\r\t", `\b\f\n\r\t`},
		"NUL and other controls":  {"\x00\x01\x0b\x1f", `\u0000\u0001\u000b\u001f`},
		"DEL":                     {"\x7f", `\u007f`},
		"first beyond ASCII":      {"\u0080", `\u0080`},
		"lower-case digits":       {"é\uabcd", `\u00e9\uabcd`},
		"line separators":         {"\u2028\u2029", `\u2028\u2029`},
		"last of the plane":       {"\uffff", `\uffff`},
		"first pair":              {"\U00010000", `\ud800\udc00`},
		"last pair":               {"\U0010ffff", `\udbff\udfff`},
		"emoji between":           {"a🙏b", `a\ud83d\ude4fb`},
		"not UTF-8":               {"a\xffb", `a\ufffdb`},
		"would be a header":       {"x\r\nX-Evil: 1", `x\r\nX-Evil: 1`},
		"empty":                   {"", ``},
		"replacement as it is":    {"\ufffd", `\ufffd`},
		"combining stays as sent": {"e\u0301", `e\u0301`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := readEvent(t, "events/01-conversation-started.json")
			e.GetConversation().ParticipantName = new(test.text)
			e.GetConversation().Tags = []string{test.text}
			body := render(e)
			assert.Contains(t, body, `"participant_name":"`+test.want+`"`)
			assert.Contains(t, body, `"tags":["`+test.want+`"]`)
			wantCanonical(t, []byte(body))
		})
	}
}

// The texts of this table were written by Python's json.dumps, those of whole
// numbers after json.loads had read an integer.
func TestNumbersAreFixedPoints(t *testing.T) {
	tests := map[string]float64{
		"0": 0, "1": 1, "1789.34": 1789.34, "0.1": 0.1, "0.3333333333333333": 1. / 3,
		"0.30000000000000004": 0.30000000000000004, "29.97": 29.97, "86400.5": 86400.5, "1234567.891": 1234567.891,
		"0.0001": 1e-4, "9.999e-05": 9.999e-5, "1e-05": 1e-5, "9.5367431640625e-07": 0x1p-20, "5e-324": 5e-324,
		"1000000000000000": 1e15, "4503599627370495.5": 4503599627370495.5,
		"9007199254740991": 1<<53 - 1, "9007199254740992": 1 << 53, "10000000000000000": 1e16, "15000000000000000": 1.5e16,
		"123456789012345680000": 123456789012345680000, "100000000000000000000": 1e20, "999999999999999900000": 999999999999999868928,
		"1e+21": 1e21, "1.5e+300": 1.5e300, "1.7976931348623157e+308": math.MaxFloat64,
	}
	for want, n := range tests {
		e := readEvent(t, "events/03-conversation-summarized.json")
		e.GetConversation().Duration = new(n)
		body := render(e)
		assert.Contains(t, body, `"duration":`+want+`,`)
		wantCanonical(t, []byte(body))
	}
}

func TestNumbersAreFixedPointsInPythonAndJavaScript(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(
			rapid.Float64Range(0, math.MaxFloat64),
			rapid.Float64Range(0, 100_000),
			rapid.Map(rapid.Int64Range(0, 1<<62), func(n int64) float64 { return float64(n) }),
			rapid.Map(rapid.Int64Range(0, 1<<62), func(n int64) float64 { return float64(n) / 100 }),
		).Draw(t, "n")
		e := &webhooksv1.Event{Subject: &webhooksv1.Event_Conversation{
			Conversation: &webhooksv1.Conversation{Duration: new(n)},
		}}
		_, rest, _ := strings.Cut(render(e), `"duration":`)
		literal, _, _ := strings.Cut(rest, ",")
		assert.Equal(t, literal, pythonNumber(literal))
		if n == 0 || n >= 1e-4 {
			assert.Equal(t, literal, javaScriptNumber(literal))
		}
		back, err := json.Number(literal).Float64()
		require.NoError(t, err)
		assert.InDelta(t, n, back, 0)
	})
}

func TestTheSignOfZeroIsNotDelivered(t *testing.T) {
	e := readEvent(t, "events/03-conversation-summarized.json")
	e.GetConversation().Duration = new(math.Copysign(0, -1))
	assert.Contains(t, render(e), `"duration":0,`)
}

func TestReportIDIsDeliveredAsPublished(t *testing.T) {
	tests := map[string]*structpb.Value{
		`"412"`:              structpb.NewStringValue("412"),
		`"9007199254740993"`: structpb.NewStringValue("9007199254740993"),
		`"../\u00e9\""`:      structpb.NewStringValue(`../é"`),
		`412`:                structpb.NewNumberValue(412),
		`-7`:                 structpb.NewNumberValue(-7),
		`0`:                  structpb.NewNumberValue(0),
		`9007199254740991`:   structpb.NewNumberValue(1<<53 - 1),
	}
	for want, id := range tests {
		e := readEvent(t, "events/04-report-generated.json")
		e.GetReport().Id = id
		body := render(e)
		assert.Contains(t, body, `"id":`+want+`,`)
		wantCanonical(t, []byte(body))
	}
}

func TestTimestamps(t *testing.T) {
	tests := map[string]string{
		"2026-01-20T12:00:00Z":           "2026-01-20T12:00:00+00:00",
		"2026-01-20T12:00:00.000001Z":    "2026-01-20T12:00:00.000001+00:00",
		"2026-01-20T12:00:00.5Z":         "2026-01-20T12:00:00.500000+00:00",
		"2026-01-20T12:00:00.999999999Z": "2026-01-20T12:00:00.999999+00:00",
		"2026-01-20T12:00:00.000000999Z": "2026-01-20T12:00:00+00:00",
		"2026-01-20T13:00:00+01:00":      "2026-01-20T12:00:00+00:00",
		"0001-01-01T00:00:00Z":           "0001-01-01T00:00:00+00:00",
		"1969-12-31T23:59:59.25Z":        "1969-12-31T23:59:59.250000+00:00",
		"9999-12-31T23:59:59.999999999Z": "9999-12-31T23:59:59.999999+00:00",
	}
	for at, want := range tests {
		e := readEvent(t, "events/04-report-generated.json")
		when, err := time.Parse(time.RFC3339Nano, at)
		require.NoError(t, err)
		e.OccurredAt = timestamppb.New(when)
		assert.Contains(t, render(e), `"timestamp":"`+want+`"`)
	}
}

func TestTextsBelongToTheirTypes(t *testing.T) {
	tests := map[string]struct{ transcript, summary bool }{
		event.ConversationStarted:     {false, false},
		event.ConversationTranscribed: {true, false},
		event.ConversationSummarized:  {true, true},
		event.Test:                    {true, true},
	}
	for eventType, test := range tests {
		for _, text := range []*string{nil, new("words")} {
			e := readEvent(t, "events/01-conversation-started.json")
			e.Type = eventType
			e.GetConversation().Transcript, e.GetConversation().Summary = text, text
			want := `null`
			if text != nil {
				want = `"words"`
			}
			body := render(e)
			assert.Equal(t, test.transcript, strings.Contains(body, `"transcript":`+want), "%s: %s", eventType, body)
			assert.Equal(t, test.summary, strings.Contains(body, `"summary":`+want), "%s: %s", eventType, body)
			assert.Equal(t, test.summary, strings.Contains(body, `"summary"`), "%s: %s", eventType, body)
			wantCanonical(t, []byte(body))
		}
	}
}

func TestAnIncompleteEventStillRendersJSON(t *testing.T) {
	for _, e := range []*webhooksv1.Event{
		nil,
		{},
		{Subject: &webhooksv1.Event_Conversation{}},
		{Subject: &webhooksv1.Event_Report{Report: &webhooksv1.Report{Id: structpb.NewNullValue()}}},
	} {
		wantCanonical(t, []byte(render(e)))
	}
}

// The body of an event of our own, byte for byte.
func TestOurOwnEventsHaveTheirBody(t *testing.T) {
	e := payload.Sample(event.WebhookFailing, &webhooksv1.Project{Id: "p1"}, "evt_1", time.Date(2026, 1, 20, 12, 0, 0, 0, time.UTC))
	e.GetWebhook().Name = "Zapiër"
	want := `{"dashboardUrl":"https://dashboard.example.org/en-US/projects/p1/overview","event":"webhook.failing","id":"evt_1",` +
		`"project":{"id":"p1","language":null,"name":null},"timestamp":"2026-01-20T12:00:00+00:00",` +
		`"webhook":{"failing_since":"2026-01-20T12:00:00+00:00","host":"hooks.example.org","id":"sample-webhook",` +
		`"message":"This is a sample: since just now, the receiver at hooks.example.org answers 404.","name":"Zapi\u00ebr",` +
		`"reason":"status","state":"failing","status_code":404}}`
	assert.Equal(t, want, render(e))
}
