package portal

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A text is laid out as everybody does it.
func TestTextsAreIndentedAsUsual(t *testing.T) {
	for _, text := range []string{
		`{}`, `[]`, `{"a":[]}`, `{"a":{},"b":[ ],"c":[{}]}`, `[1,2.5e-3,true,null,"x"]`, ` { "a" : "b\"{}[],:\\" , "c":[ [ [ ] ] ] } `, `"text"`, `12`,
		`{"a":"\u00e9\ud83d\ude00","b":["c",{"d":-1}]}`,
	} {
		var want bytes.Buffer
		require.NoError(t, json.Indent(&want, []byte(strings.TrimSpace(text)), "", "  "))
		assert.Equal(t, want.String(), indented(text, len(text)*10), text)
	}
	for _, text := range []string{"", "<html>", `{"a":}`, "{", "[1,]", `{"a":1}}`} {
		assert.Empty(t, pretty(text), text)
	}
	assert.JSONEq(t, `{"a":"é"}`, pretty(`{"a":"\u00e9"}`))
	assert.Contains(t, pretty(`{"a":"\u00e9"}`), "é")
	assert.Contains(t, pretty(`{"a":"\u202e"}`), `\u202e`, "it would turn the text around")
}

// What a stranger answers, or a participant says, takes next to nothing to show,
// whatever it is: deep, long, or full of escapes.
func TestShowingATextTakesNoTime(t *testing.T) {
	long, err := json.Marshal(map[string]string{"transcript": strings.Repeat("é\"<\u202e", 1<<20)})
	require.NoError(t, err)
	const reasonable = 200 * time.Millisecond // under the race detector; half a second and more before there was a bound
	for name, text := range map[string]string{
		"deep lists":   strings.Repeat("[", 8000) + strings.Repeat("]", 8000),
		"deep objects": strings.Repeat(`{"":`, 3000) + "1" + strings.Repeat("}", 3000),
		"a long list":  "[" + strings.Repeat("1,", 4<<20) + "1]",
		"blanks":       "[" + strings.Repeat(" ", 8<<20) + "]",
		"a transcript": string(long),
	} {
		shown, quickest := "", time.Hour
		for range 5 { // whatever else the machine does counts, too
			began := time.Now()
			shown = pretty(text)
			quickest = min(quickest, time.Since(began))
		}
		assert.Less(t, quickest, reasonable, name)
		assert.NotEmpty(t, shown, name)
		assert.LessOrEqual(t, len(shown), 2*maxShownBytes, name)
	}
}
