package topology_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/topology"
)

// The table of streams in docs/flow.md is what the code creates.
func TestFlowPageShowsTheStreams(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/flow.md")
	require.NoError(t, err)
	settings := topology.Settings{Replicas: 1, EventsMaxAge: 30 * 24 * time.Hour, DuplicateWindow: 10 * time.Minute}

	for _, stream := range topology.Streams(settings) {
		subjects := "`" + strings.Join(stream.Subjects, "` `") + "`"
		require.Contains(t, string(page), fmt.Sprintf("| stream `%s` | %s | %s | %s |",
			stream.Name, subjects, retention(stream), stream.Description))
	}
	for key, bucket := range map[string]jetstream.KeyValueConfig{
		topology.KeyRegistration("{project}", "{webhook}"): topology.Bucket(settings),
		"{consumer}": topology.Checkpoints(settings),
		"{webhook}":  topology.Limits(settings),
	} {
		kept := "last value"
		if bucket.TTL > 0 {
			kept += fmt.Sprintf(", %d hours, in memory", int(bucket.TTL.Hours()))
		}
		require.Contains(t, string(page), fmt.Sprintf("| bucket `%s` | `%s` | %s | %s |",
			bucket.Bucket, key, kept, bucket.Description))
	}
}

// Every page that says how many parts there are says how many there are.
func TestPagesNameTheNumberOfParts(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]string{
		"flow.md":      "`intake-0` to `intake-%[2]d`",
		"operating.md": "`intake-0` to `intake-%[2]d`",
		"settings.md":  "1 to 256; 0: %[1]d)",
	} {
		page, err := os.ReadFile("../../docs/" + name)
		require.NoError(t, err)
		want := fmt.Sprintf(says, topology.Partitions, topology.Partitions-1)
		if !strings.Contains(string(page), want) { // Contains would print the page
			t.Errorf("docs/%s does not say %q", name, want)
		}
	}
}

func retention(stream jetstream.StreamConfig) string {
	var words []string
	switch stream.Retention {
	case jetstream.WorkQueuePolicy:
		words = append(words, "work queue")
	case jetstream.LimitsPolicy:
		words = append(words, "limits")
	case jetstream.InterestPolicy:
		words = append(words, "interest")
	}
	if stream.MaxAge > 0 {
		words = append(words, fmt.Sprintf("%d days", int(stream.MaxAge.Hours()/24)))
	}
	if stream.Retention == jetstream.LimitsPolicy && stream.Discard == jetstream.DiscardNew {
		words = append(words, "new messages refused when full")
	}
	if stream.AllowMsgSchedules {
		words = append(words, "message schedules")
	}
	return strings.Join(words, ", ")
}
