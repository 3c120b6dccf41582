package payload_test

import (
	"strings"
	"testing"

	"github.com/dembrane/webhooks/pkg/payload"
)

func BenchmarkAppend(b *testing.B) {
	started := readEvent(b, "events/01-conversation-started.json")
	hour := readEvent(b, "events/02-conversation-transcribed.json")
	hour.GetConversation().Transcript = new(
		strings.Repeat("Nou, wat mij vooral opvalt is dat de bushalte wég is. ", 1150))
	cyrillic := readEvent(b, "events/05-conversation-transcribed.json")
	cyrillic.GetConversation().Transcript = new(strings.Repeat("Ми приїхали сюди три роки тому. ", 1150))
	r := payload.Renderer{AdminBaseURL: base}
	for _, bench := range []struct {
		name string
		body func(dst []byte) []byte
	}{
		{"started", func(dst []byte) []byte { return r.Append(dst, started) }},
		{"hour", func(dst []byte) []byte { return r.Append(dst, hour) }},
		{"hour/cyrillic", func(dst []byte) []byte { return r.Append(dst, cyrillic) }},
	} {
		for name, room := range map[string][]byte{"roomy": make([]byte, 0, 1<<20), "nil": nil} {
			b.Run(bench.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(bench.body(nil))))
				for b.Loop() {
					bench.body(room)
				}
			})
		}
	}
}
