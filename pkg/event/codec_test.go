package event_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

const fixtures = "../../proto/webhooksv1/testdata/events"

func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(fixtures, name))
	require.NoError(tb, err)
	return data
}

func TestContentTypes(t *testing.T) {
	e := &webhooksv1.Event{Id: "e1"}
	binary, err := event.Encode(event.Protobuf, e)
	require.NoError(t, err)
	known := map[string][]byte{
		"":                                     []byte(`{"id":"e1"}`),
		"application/json":                     []byte(`{"id":"e1"}`),
		"application/json; charset=utf-8":      []byte(`{"id":"e1"}`),
		" Application/JSON ;charset=UTF-8":     []byte(`{"id":"e1"}`),
		"; charset=utf-8":                      []byte(`{"id":"e1"}`),
		"application/x-protobuf":               binary,
		"application/x-protobuf; v=1":          binary,
		"APPLICATION/X-PROTOBUF; x=\"unclosed": binary,
	}
	for contentType, data := range known {
		got, err := event.Decode(contentType, data)
		require.NoError(t, err, contentType)
		assert.True(t, proto.Equal(e, got), contentType)
		again, err := event.Encode(contentType, got)
		require.NoError(t, err, contentType)
		assert.NotEmpty(t, again)
	}
	for _, contentType := range []string{"text/plain", "application/xml", "json", "application/json,application/json", "*/*"} {
		_, err := event.Decode(contentType, []byte(`{}`))
		require.ErrorIs(t, err, event.ErrContentType)
		require.ErrorContains(t, err, "application/json")
		require.ErrorContains(t, err, "application/x-protobuf")
		_, err = event.Encode(contentType, e)
		require.ErrorIs(t, err, event.ErrContentType)
	}
	_, err = event.Decode(strings.Repeat("x", 10_000), nil)
	assert.Less(t, len(err.Error()), 400)
}

func TestJSONHasTheFieldNamesOfTheProto(t *testing.T) {
	e, err := event.Decode("", fixture(t, "03-conversation-summarized.json"))
	require.NoError(t, err)
	data, err := event.Encode(event.JSON, e)
	require.NoError(t, err)
	for _, name := range []string{"occurred_at", "workspace_id", "participant_name", "is_all_chunks_transcribed", "emails_csv"} {
		assert.Contains(t, string(data), `"`+name+`"`)
	}
	assert.JSONEq(t, string(fixture(t, "03-conversation-summarized.json")), string(data))
}

func TestFieldsOfNewerPublishersAreIgnored(t *testing.T) {
	e, err := event.Decode("", []byte(`{"id":"e1","mood":{"x":[1,null]},"project":{"id":"p1","colour":"red"}}`))
	require.NoError(t, err)
	assert.Equal(t, "p1", e.GetProject().GetId())
	// Field 1000, a string.
	e, err = event.Decode(event.Protobuf, []byte{0x0a, 2, 'e', '1', 0xc2, 0x3e, 1, 'x'})
	require.NoError(t, err)
	assert.Equal(t, "e1", e.GetId())
}

// Nasty case 29: what cannot be read is refused with a reason that says where,
// and never repeats what participants wrote.
func TestUnreadableEventsAreRefusedWithAReason(t *testing.T) {
	tests := map[string]struct{ contentType, data, want string }{
		"empty body":           {"", "", "the body is empty"},
		"empty binary":         {event.Protobuf, "", "the body is empty"},
		"white space":          {"", " \n", "as application/json: syntax error"},
		"null":                 {"", "null", "as application/json: syntax error (line 1:1): unexpected token null"},
		"list":                 {"", "[]", "unexpected token ["},
		"text":                 {"", `"Zoë secret"`, "unexpected token"},
		"cut off":              {"", `{"id":"Zoë secret`, "as application/json"},
		"two values":           {"", `{}{}`, "unexpected token {"},
		"not UTF-8":            {"", "{\"id\":\"secret\xff\"}", "invalid UTF-8"},
		"number for text":      {"", `{"id":12345}`, "id must be a string: put it in quotes, and leave it out if it is not known (line 1:7)"},
		"text for bool":        {"", `{"conversation":{"is_finished":"secret"}}`, "conversation.is_finished must be true or false"},
		"text for number":      {"", `{"conversation":{"duration":"secret"}}`, "conversation.duration must be a number"},
		"list for text":        {"", `{"id":["secret"]}`, "id must be a string"},
		"text for list":        {"", `{"conversation":{"tags":"secret"}}`, "as application/json"},
		"null in a list":       {"", `{"conversation":{"tags":[null]}}`, "conversation.tags must be a list of strings"},
		"text for message":     {"", `{"project":"secret"}`, "as application/json"},
		"not a time":           {"", `{"occurred_at":"secret"}`, "occurred_at is not a time"},
		"number for time":      {"", `{"occurred_at":1768910400}`, "as application/json"},
		"number beyond double": {"", `{"conversation":{"duration":1e400}}`, "conversation.duration must be a number"},
		"field twice":          {"", `{"id":"e1","id":"secret"}`, `duplicate field "id"`},
		"two subjects":         {"", `{"report":{},"conversation":{"id":"secret"}}`, "oneof"},
		"unquoted word":        {"", `{"id":secret}`, "invalid value"},
		"not protobuf":         {event.Protobuf, "{}", "as application/x-protobuf"},
		"binary cut off":       {event.Protobuf, "\x0a\x09secret", "as application/x-protobuf"},
		"binary not UTF-8":     {event.Protobuf, "\x0a\x07secret\xff", "invalid UTF-8"},
		"JSON named binary":    {event.Protobuf, `{"id":"secret"}`, "as application/x-protobuf"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e, err := event.Decode(test.contentType, []byte(test.data))
			require.ErrorIs(t, err, event.ErrUnreadable)
			require.ErrorContains(t, err, test.want)
			assert.Nil(t, e)
			assert.NotContains(t, err.Error(), "secret")
			assert.NotContains(t, err.Error(), "\u00a0")
			assert.Less(t, len(err.Error()), 256)
		})
	}
}

func TestDeepAndLongValuesAreRefused(t *testing.T) {
	_, err := event.Decode("", []byte(`{"report":{"id":`+strings.Repeat("[", 1<<20)))
	require.ErrorIs(t, err, event.ErrUnreadable)
	_, err = event.Decode("", []byte(`{"newer":`+strings.Repeat("[", 1<<20)))
	require.ErrorIs(t, err, event.ErrUnreadable)
	_, err = event.Decode("", []byte(`{"conversation":{"duration":"`+strings.Repeat("9", 1<<20)+`"}}`))
	require.ErrorIs(t, err, event.ErrUnreadable)
	assert.Less(t, len(err.Error()), 256)
}

func TestTextThatIsNotUTF8IsNotEncoded(t *testing.T) {
	e := &webhooksv1.Event{Id: "e1", Project: &webhooksv1.Project{Name: new("secret\xff")}}
	for _, contentType := range []string{event.JSON, event.Protobuf} {
		_, err := event.Encode(contentType, e)
		require.ErrorIs(t, err, event.ErrInvalid)
		require.ErrorContains(t, err, "UTF-8")
		assert.NotContains(t, err.Error(), "secret")
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(fixtures, "*.json"))
	require.NoError(f, err)
	for _, file := range files {
		data := fixture(f, filepath.Base(file))
		f.Add(event.JSON, data)
		e, err := event.Decode(event.JSON, data)
		require.NoError(f, err)
		binary, err := event.Encode(event.Protobuf, e)
		require.NoError(f, err)
		f.Add(event.Protobuf, binary)
	}
	f.Add("", []byte(`{"report":{"id":[[{"a":1e308}]]}}`))
	f.Add("text/plain", []byte(nil))
	f.Add(strings.Repeat("\x00", 200), []byte(nil))
	f.Fuzz(func(t *testing.T, contentType string, data []byte) {
		e, err := event.Decode(contentType, data)
		if err != nil {
			require.NotErrorIs(t, err, event.ErrInvalid)
			assert.Less(t, len(err.Error()), 1024)
			return
		}
		if err := event.Validate(e); err != nil {
			require.ErrorIs(t, err, event.ErrInvalid)
			assert.Less(t, len(err.Error()), 2048)
			return
		}
		// What is valid survives both encodings.
		for _, encoding := range []string{event.JSON, event.Protobuf} {
			again, err := event.Encode(encoding, e)
			require.NoError(t, err)
			back, err := event.Decode(encoding, again)
			require.NoError(t, err)
			require.NoError(t, event.Validate(back))
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	long := strings.Repeat("Nou, wat mij vooral opvalt is dat de bushalte wég is. ", 1150)
	for _, name := range []string{"02-conversation-transcribed.json", "hour"} {
		var data []byte
		if name == "hour" {
			e, err := event.Decode("", fixture(b, "02-conversation-transcribed.json"))
			require.NoError(b, err)
			e.GetConversation().Transcript = &long
			data, err = event.Encode(event.JSON, e)
			require.NoError(b, err)
		} else {
			data = fixture(b, name)
		}
		e, err := event.Decode("", data)
		require.NoError(b, err)
		binary, err := event.Encode(event.Protobuf, e)
		require.NoError(b, err)
		for contentType, body := range map[string][]byte{event.JSON: data, event.Protobuf: binary} {
			b.Run(strings.TrimSuffix(name, ".json")+"/"+contentType, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					if _, err := event.Decode(contentType, body); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
