package registry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// BenchmarkMatch is what one event costs, two webhooks a project, with events of
// all projects in turn: as in production, what is looked at is in no cache unless
// it all fits. The project's id is at hand, as that of an event just received.
func BenchmarkMatch(b *testing.B) {
	const each = 2
	keyset, err := secret.NewKeyset()
	if err != nil {
		b.Fatal(err)
	}
	box, err := secret.OpenKeyset(keyset)
	if err != nil {
		b.Fatal(err)
	}
	for _, webhooks := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("webhooks=%d", webhooks), func(b *testing.B) {
			r, loading := Open(box, zap.NewNop()), newTable()
			for i := range webhooks {
				project := projectID(i / each)
				loading.put(New(&webhooksv1.Registration{
					Id: fmt.Sprintf("01K0BENCH%017d", i), ProjectId: project, Revision: 1,
					Url: fmt.Sprintf("https://hooks.customer-%d.example.org/dembrane", i), Enabled: true,
					Events: []string{event.ConversationTranscribed, event.ConversationSummarized},
				}, box))
			}
			r.replace(loading, time.Now())
			projects := webhooks / each
			var ids strings.Builder // in the order of their turns: reading them costs nothing
			for turn := range projects {
				ids.WriteString(projectID(turn * stride % projects))
			}
			all, long := ids.String(), len(projectID(0))
			var room [4]*Webhook
			turn, published := 0, time.Now()
			for b.Loop() {
				turn = (turn + 1) % projects
				project := all[turn*long : (turn+1)*long]
				if got, _ := r.Match(room[:0], project, event.ConversationSummarized, published); len(got) != each {
					b.Fatalf("%d webhooks match", len(got))
				}
			}
		})
	}
}

// stride leads through all projects, in no order that a processor could guess
// from: it has no divisor in common with their number.
const stride = 30_011

func projectID(number int) string { return fmt.Sprintf("0b9e5f0c-7a43-4f59-8a1e-%012d", number) }
