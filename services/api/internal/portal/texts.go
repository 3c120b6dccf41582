package portal

import (
	"embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/dembrane/webhooks/pkg/words"
)

//go:embed texts/*.txt
var textFiles embed.FS

// catalogue has every text of the pages, by language and key.
type catalogue map[words.Language]map[string]string

func loadTexts() (catalogue, error) {
	all := catalogue{}
	for _, in := range words.Languages() {
		name := "texts/" + in.Tag() + ".txt"
		file, err := textFiles.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("open: %w", err)
		}
		if all[in], err = parseTexts(string(file)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return all, nil
}

// parseTexts reads lines of `key = text`; a line that begins with # is a comment.
func parseTexts(file string) (map[string]string, error) {
	texts := map[string]string{}
	for number, line := range strings.Split(file, "\n") {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, text, isText := strings.Cut(line, " = ")
		key = strings.TrimSpace(key)
		if _, twice := texts[key]; !isText || twice {
			return nil, fmt.Errorf("line %d is not a new `key = text`", number+1)
		}
		texts[key] = strings.TrimSpace(text)
	}
	return texts, nil
}

// text is the text of a key. What stands in braces is replaced: names and values are
// given in turn. A key that is unknown is shown as it is; tests find it.
func (c catalogue) text(in words.Language, key string, values ...any) string {
	text, known := c[in][key]
	if !known {
		return key
	}
	if len(values) < 2 {
		return text
	}
	pairs := make([]string, 0, len(values))
	for i := 0; i+1 < len(values); i += 2 {
		pairs = append(pairs, "{"+fmt.Sprint(values[i])+"}", fmt.Sprint(values[i+1]))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// plural is the text of key.one or key.other, in which {n} is the number.
func (c catalogue) plural(in words.Language, key string, n uint64, values ...any) string {
	form := ".other"
	if n == 1 {
		form = ".one"
	}
	return c.text(in, key+form, append(values, "n", number(in, n))...)
}

// number is a whole number as it is written in a language.
func number(in words.Language, n uint64) string {
	digits := strconv.FormatUint(n, 10)
	separator := ","
	if in == words.Dutch {
		separator = "."
	}
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + separator + digits[at:]
	}
	return digits
}

// typedNumber reads a number as somebody types it: with a comma or a point before the
// decimals, and the language's own separator between thousands.
func typedNumber(in words.Language, text string) (float64, bool) {
	separator := ","
	if in == words.Dutch {
		separator = "."
	}
	before, after, found := strings.Cut(text, separator)
	if found && len(after) == len("000") && before != "" && before[0] != '0' {
		text = before + after
	}
	text = strings.Replace(text, ",", ".", 1)
	if strings.Trim(text, "0123456789.") != "" {
		return 0, false // what only programs write, such as NaN and 1e3
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil
}

// decimal is a number with at most two decimals.
func decimal(in words.Language, f float64) string {
	text := strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(f, 'f', 2, 64), "0"), ".")
	if in == words.Dutch {
		return strings.Replace(text, ".", ",", 1)
	}
	return text
}
