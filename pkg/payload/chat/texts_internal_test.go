package chat

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/dembrane/webhooks/pkg/payload"
)

func TestEachLanguageHasEachText(t *testing.T) {
	tags := []string{"en", "nl", "de", "fr", "es", "it", "uk", "cs"}
	assert.Len(t, languages(), len(tags))
	for _, language := range tags {
		texts, known := languages()[payload.Locale(language)]
		assert.True(t, known, language)
		value := reflect.ValueOf(texts)
		for i := range value.NumField() {
			text := value.Field(i).String()
			name := value.Type().Field(i).Name
			assert.NotEmpty(t, text, "%s %s", language, name)
			assert.Less(t, utf8.RuneCountInString(text), 100, "%s %s", language, name)
		}
	}
}

func TestDurations(t *testing.T) {
	english := textsFor("en")
	for seconds, want := range map[float64]string{
		0: "", 0.4: "", -1: "", 1e300: "", 0.6: "1\u00a0s", 59.4: "59\u00a0s", 59.6: "1\u00a0min",
		1789.34: "30\u00a0min", 3599: "60\u00a0min", 3600: "1\u00a0h 0\u00a0min", 86_400: "24\u00a0h 0\u00a0min",
	} {
		assert.Equal(t, want, english.lasting(seconds), "%v", seconds)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1_234_567: "1,234,567"} {
		assert.Equal(t, want, textsFor("en").number(n))
	}
}

func TestCharactersAreNotCutInTwo(t *testing.T) {
	for _, character := range []string{"é", "👍🏽", "👩‍👩‍👧‍👦", "🇳🇱", "नि"} {
		runes := []rune(" " + strings.Repeat(character, 3))
		each := (len(runes) - 1) / 3
		for most := 1; most < len(runes); most++ {
			if at := boundary(runes, most); at > 1 {
				assert.Zero(t, (at-1)%each, "%s at %d", character, most)
			}
		}
	}
}

// A stranger's summary costs milliseconds, whatever it is.
func TestReadingASummaryIsBounded(t *testing.T) {
	for name, pattern := range map[string]string{
		"brackets": "[", "images": "![", "stars": "*a_", "quotes": ">", "lists": "- ", "ticks": "`a", "html": "<a ", "links": "[a](", "entities": "&", "tables": "|a\n|-\n", "refs": "[a]: b\n",
	} {
		near := strings.Repeat(pattern, maxDelimiters/len(pattern)) + "\n\n"
		pattern = strings.Repeat(near, 1+1000/len(pattern)) // as much as is parsed
		text := make([]byte, 0, 4<<20)
		for len(text) < 4<<20 {
			text = append(text, pattern...)
		}
		began := time.Now()
		parseMarkdown(string(text))
		assert.Less(t, time.Since(began), 5*time.Second, name)
	}
}
