package event

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func samples(tb testing.TB) map[string][]byte {
	tb.Helper()
	files, err := filepath.Glob("../../proto/webhooksv1/testdata/events/*.json")
	require.NoError(tb, err)
	require.NotEmpty(tb, files)
	all := map[string][]byte{}
	for _, file := range files {
		all[filepath.Base(file)], err = os.ReadFile(file)
		require.NoError(tb, err)
	}
	return all
}

// sameAsProtojson checks the promise of readFast, and reports whether it read.
func sameAsProtojson(tb testing.TB, data []byte) bool {
	tb.Helper()
	got, ok := readFast(data)
	if !ok {
		return false
	}
	want := new(webhooksv1.Event)
	options := protojson.UnmarshalOptions{DiscardUnknown: true}
	if options.Unmarshal(data, want) != nil {
		mended, _ := mendTime(data) // a time that both read, if not as it stands
		require.NotNil(tb, mended, "%q", data)
		want.Reset()
		require.NoError(tb, options.Unmarshal(mended, want), "%q", data)
	}
	require.True(tb, proto.Equal(want, got), "%v\n%v", want, got)
	return true
}

func TestWhatPublishersWriteIsReadFast(t *testing.T) {
	plain := map[string]string{
		"nothing":         `{}`,
		"nulls":           `{"id":null,"type":null,"occurred_at":null,"project":null,"conversation":null}`,
		"null report":     `{"report":null}`,
		"nulls inside":    `{"conversation":{"id":null,"duration":null,"is_finished":null,"is_all_chunks_transcribed":null,"tags":null,"transcript":null}}`,
		"null and a text": `{"report":null,"conversation":{"id":"c"}}`,
		"empty values":    `{"id":"","conversation":{"tags":[],"duration":0,"transcript":"","is_all_chunks_transcribed":false}}`,
		"white space":     " \r\n\t{ \"id\" : \"e\" , \"project\" : { } } \n",
		"escapes":         `{"id":"\u0000\n\"\\\/\ud83d\ude00é","conversation":{"transcript":"\u041f\u0440\u0438"}}`,
		"numbers":         `{"conversation":{"duration":-1.5e-3},"project":{}}`,
		"minus zero":      `{"conversation":{"duration":-0.0}}`,
		"report number":   `{"report":{"id":9007199254740993}}`,
		"time zone":       `{"occurred_at":"2026-01-20T12:00:00+05:30"}`,
		"nanoseconds":     `{"occurred_at":"2026-01-20T12:00:00.123456789-00:00"}`,
		"too fine a time": `{"occurred_at":"2026-01-20T12:00:00.1234567890Z"}`,
		"a space for T":   `{"occurred_at":"2026-01-20 12:00:00+01"}`,
		"any order":       `{"report":{"date_created":"x","language":"nl","status":"s","id":"r"},"type":"t","id":"e"}`,
	}
	for name, data := range samples(t) {
		plain[name] = string(data)
	}
	for name, data := range plain {
		t.Run(name, func(t *testing.T) {
			assert.True(t, sameAsProtojson(t, []byte(data)))
		})
	}
}

func TestWhatIsOddIsLeftToProtojson(t *testing.T) {
	for name, data := range map[string]string{
		"no value":              ``,
		"null":                  `null`,
		"no object":             `["id"]`,
		"cut off":               `{"id":"e"`,
		"cut off in a text":     `{"id":"e`,
		"cut off in a list":     `{"conversation":{"tags":["a"`,
		"more than one":         `{}{}`,
		"more after it":         `{} x`,
		"newer field":           `{"mood":"x"}`,
		"newer field inside":    `{"project":{"colour":"red"}}`,
		"name in JSON's style":  `{"occurredAt":"2026-01-20T12:00:00Z"}`,
		"escape in a name":      `{"\u0069d":"e"}`,
		"name twice":            `{"id":"e","id":"e"}`,
		"name twice, one null":  `{"id":null,"id":"e"}`,
		"two subjects":          `{"report":{},"conversation":{}}`,
		"number as text":        `{"conversation":{"duration":"1.5"}}`,
		"number beyond double":  `{"conversation":{"duration":1e400}}`,
		"number for a text":     `{"id":1}`,
		"text for a bool":       `{"conversation":{"is_finished":"true"}}`,
		"null in a list":        `{"conversation":{"tags":[null]}}`,
		"null for an id":        `{"report":{"id":null}}`,
		"object for an id":      `{"report":{"id":{}}}`,
		"not UTF-8":             "{\"id\":\"\xff\"}",
		"lone surrogate":        `{"id":"\ud800"}`,
		"not a time":            `{"occurred_at":"yesterday"}`,
		"time before the years": `{"occurred_at":"0000-12-31T23:59:59Z"}`,
		"deep":                  `{"report":{"id":` + strings.Repeat("[", 1<<16),
	} {
		t.Run(name, func(t *testing.T) {
			e, ok := readFast([]byte(data))
			assert.False(t, ok, e)
		})
	}
}

// A field that was forgotten would be read by protojson, slowly.
func TestEveryFieldIsReadFast(t *testing.T) {
	for message, known := range map[proto.Message][]string{
		&webhooksv1.Event{}:        names(eventFields),
		&webhooksv1.Project{}:      names(projectFields),
		&webhooksv1.Conversation{}: names(conversationFields),
		&webhooksv1.Report{}:       names(reportFields),
	} {
		fields := message.ProtoReflect().Descriptor().Fields()
		want := fields.Len()
		if message.ProtoReflect().Descriptor().Name() == "Event" {
			want-- // a webhook: our own events are too few to be worth it
		}
		assert.Len(t, known, want)
		for _, name := range known {
			assert.NotNil(t, fields.ByName(protoreflect.Name(name)), name)
		}
	}
}

func names[T any](fields fastFields[T]) []string {
	var all []string
	for _, field := range fields {
		all = append(all, field.name)
	}
	return all
}

// What is read next must not show in what has been read, nor be kept.
func TestFastReadersShareNothing(t *testing.T) {
	data := []byte(`{"id":"first","conversation":{"tags":["a","b"],"transcript":"words"}}`)
	first, ok := readFast(data)
	require.True(t, ok)
	before := proto.CloneOf(first)
	clear(data)
	_, ok = readFast([]byte(`{"id":"other","conversation":{"tags":["c","d"],"transcript":"WORDS"}}`))
	require.True(t, ok)
	assert.True(t, proto.Equal(before, first))
	_, ok = readFast([]byte(`{"id":`))
	require.False(t, ok)
	again, ok := readFast([]byte(`{"id":"third"}`))
	require.True(t, ok)
	assert.Equal(t, "third", again.GetId())
}

func FuzzFastReader(f *testing.F) {
	for _, data := range samples(f) {
		f.Add(data)
	}
	f.Add([]byte(`{"report":{"id":1e3},"occurred_at":"2026-01-20T12:00:00,5Z","conversation":null}`))
	f.Add([]byte(`{"conversation":{"duration":-0,"tags":["\ud83d\ude00",""],"is_finished":true}}`))
	f.Fuzz(func(t *testing.T, data []byte) { sameAsProtojson(t, data) })
}
