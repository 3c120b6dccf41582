package portal

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/words"
)

// Both languages have the same texts, with the same values in them, and none is left
// in the other language.
func TestEveryTextIsTranslated(t *testing.T) {
	texts, err := loadTexts()
	require.NoError(t, err)
	english, dutch := texts[words.English], texts[words.Dutch]
	value := regexp.MustCompile(`\{\w+\}`)
	values := func(text string) []string {
		return slices.Compact(slices.Sorted(slices.Values(value.FindAllString(text, -1))))
	}
	for key, text := range english {
		if _, translated := dutch[key]; assert.True(t, translated, "%s is not translated", key) {
			assert.Equal(t, values(text), values(dutch[key]), key)
			assert.Equal(t, strings.Count(text, "`"), strings.Count(dutch[key], "`"), key)
			// Names, and words that both languages have, are short.
			same := text == dutch[key] && strings.Count(text, " ") > 1
			assert.False(t, same, "%s is the same in both languages: %s", key, text)
		}
	}
	for key := range dutch {
		_, known := english[key]
		assert.True(t, known, "%s is not there in English", key)
	}
}

// Every text that is used is there, and every text that is there is used.
func TestEveryTextIsUsed(t *testing.T) {
	texts, err := loadTexts()
	require.NoError(t, err)
	var source strings.Builder
	require.NoError(t, fs.WalkDir(os.DirFS("."), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") || !strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".gohtml") {
			return err
		}
		content, err := os.ReadFile(path)
		source.Write(content)
		return err
	}))
	all := regexp.MustCompile(`(?m)^//.*$`).ReplaceAllString(source.String(), "")
	used := map[string]bool{}
	for _, pattern := range []string{`\bv\.t\("([^"]+)"`, `[{(]t "([^"]+)"`, `text\(in, "([^"]+)"`} {
		for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(all, -1) {
			used[found[1]] = true
		}
	}
	for _, pattern := range []string{`\bv\.n\("([^"]+)"`, `[{(]n "([^"]+)"`} {
		for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(all, -1) {
			used[found[1]+".one"], used[found[1]+".other"] = true, true
		}
	}
	for _, found := range regexp.MustCompile(`v\.done\([^\n]*, "([^"]*)"\)`).FindAllStringSubmatch(all, -1) {
		used["done."+found[1]] = found[1] != ""
	}
	prefixes := map[string]bool{"done.": true}
	for key := range used {
		if strings.HasSuffix(key, ".") { // it goes on with what is known when the page is made
			prefixes[key] = true
			delete(used, key)
		}
	}
	for _, found := range regexp.MustCompile(`\(print "([^"]+)" `).FindAllStringSubmatch(all, -1) {
		prefixes[found[1]] = true
	}
	delete(used, "done.")
	for key := range used {
		_, known := texts[words.English][key]
		assert.True(t, known, "%s is used and not there", key)
	}
	for key := range texts[words.English] {
		known := used[key]
		for prefix := range prefixes {
			known = known || strings.HasPrefix(key, prefix)
		}
		assert.True(t, known, "%s is not used", key)
	}
}
