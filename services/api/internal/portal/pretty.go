package portal

import (
	"bytes"
	"encoding/json"
	"strings"
)

// maxChecked is the longest text that is looked at as a whole before it is laid out.
// What is longer was made by us: of an answer, less is kept.
const maxChecked = 64 << 10

// pretty is the beginning of a JSON text as people read it; empty for any other text.
func pretty(text string) string {
	text = strings.TrimSpace(text)
	isJSON := strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[")
	if len(text) <= maxChecked {
		isJSON = json.Valid([]byte(text))
	}
	if !isJSON {
		return ""
	}
	// Letters that are written as \uXXXX take less when they are shown as they are.
	const longer = 3
	return visible(cutText(unescaped(indented(text, longer*maxShownBytes))))
}

// indented lays the beginning of a JSON text out in lines. It goes no further than it
// has to: how deep a text is, is its writer's choice, and each level is in every line.
func indented(text string, most int) string {
	var out strings.Builder
	depth, inString := 0, false
	line := func() {
		out.WriteByte('\n')
		out.WriteString(strings.Repeat("  ", max(0, depth)))
	}
	for i := 0; i < len(text) && out.Len() <= most; i++ {
		switch c := text[i]; {
		case inString:
			out.WriteByte(c)
			if c == '\\' && i+1 < len(text) {
				i++
				out.WriteByte(text[i])
			}
			inString = c != '"'
		case strings.IndexByte(" \t\r\n", c) >= 0:
		case c == '{' || c == '[':
			out.WriteByte(c)
			rest := strings.TrimLeft(text[i+1:], " \t\r\n")
			if strings.HasPrefix(rest, "}") || strings.HasPrefix(rest, "]") {
				i = len(text) - len(rest)
				out.WriteByte(rest[0])
				continue
			}
			depth++
			line()
		case c == '}' || c == ']':
			depth--
			line()
			out.WriteByte(c)
		case c == ',':
			out.WriteByte(c)
			line()
		case c == ':':
			out.WriteString(": ")
		default:
			inString = c == '"'
			out.WriteByte(c)
		}
	}
	return out.String()
}

// unescaped shows the letters of a JSON text that are written as \uXXXX, but for
// control characters and what turns the direction of writing.
func unescaped(indented string) string {
	lines := strings.Split(indented, "\n")
	for i, line := range lines {
		key, value, isPair := strings.Cut(line, `": "`)
		if !isPair || !strings.Contains(value, `\u`) {
			continue
		}
		value, comma := strings.CutSuffix(value, ",")
		var text string
		if json.Unmarshal([]byte(`"`+value), &text) != nil || visible(text) != text {
			continue
		}
		var quoted bytes.Buffer
		encoder := json.NewEncoder(&quoted)
		encoder.SetEscapeHTML(false)
		if encoder.Encode(text) != nil {
			continue
		}
		lines[i] = key + `": ` + strings.TrimSuffix(quoted.String(), "\n")
		if comma {
			lines[i] += ","
		}
	}
	return strings.Join(lines, "\n")
}
