package command

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// readable writes letters as they are in place of their escapes, with what could do
// things to a terminal left escaped. It is for people; the bytes are others then.
func readable(text []byte) string {
	var out bytes.Buffer
	for len(text) > 0 {
		i := bytes.IndexByte(text, '\\')
		if i < 0 || i+1 == len(text) {
			break
		}
		out.Write(text[:i])
		end := i + 2
		if text[i+1] == 'u' {
			end = min(i+6, len(text))
			if next := min(end+6, len(text)); bytes.HasPrefix(text[end:], []byte(`\u`)) && bytes.HasPrefix(bytes.ToLower(text[i:]), []byte(`\ud`)) {
				end = next // half of a pair means nothing
			}
		}
		piece := text[i:end]
		var letter string
		if text[i+1] == 'u' && json.Unmarshal(append(append([]byte{'"'}, piece...), '"'), &letter) == nil && clean(letter) == letter {
			out.WriteString(letter)
		} else {
			out.Write(piece)
		}
		text = text[end:]
	}
	out.Write(text)
	return out.String()
}

// dashed is a field's name as a flag.
func dashed(name string) string { return strings.ReplaceAll(name, "_", "-") }

func sortedNumbers(m map[uint64]bool) []uint64 { return slices.Sorted(maps.Keys(m)) }

// buildOf is the build that a dispatcher says it is of.
func buildOf(info []byte) string {
	var said struct {
		Metadata struct {
			Build string `json:"build"`
		} `json:"metadata"`
	}
	if json.Unmarshal(info, &said) != nil || said.Metadata.Build == "" {
		return "an unknown version"
	}
	return clean(said.Metadata.Build)
}
