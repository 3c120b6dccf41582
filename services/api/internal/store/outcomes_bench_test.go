package store_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// What it costs to write down what became of a thousand deliveries, beside writing
// the attempts themselves and the logs: to one webhook, and to a thousand.
func BenchmarkRecord(b *testing.B) {
	const batch = 1000
	for _, webhooks := range []int{1, batch} {
		for _, what := range []string{"attempts", "outcomes", "log"} {
			b.Run(what+"/webhooks="+strconv.Itoa(webhooks), func(b *testing.B) {
				server := mongotest.Start(b)
				s, err := store.Open(b.Context(), server.URI(), server.Database(), zap.NewNop())
				require.NoError(b, err)
				defer func() { require.NoError(b, s.Close(context.Background())) }()
				require.NoError(b, s.Prepare(b.Context()))
				server.IndexIDs()
				s.Alone()
				sequence := uint64(0)
				for b.Loop() {
					list := make([]*webhooksv1.Attempt, batch)
					for i := range list {
						sequence++
						list[i] = outcomeOf("webhook-"+strconv.Itoa(i%webhooks), sequence, webhooksv1.Outcome_OUTCOME_DELIVERED)
					}
					switch what {
					case "attempts":
						_, err = s.InsertAttempts(b.Context(), list)
					case "outcomes":
						err = s.AppendOutcomes(b.Context(), list)
					default:
						err = appendLogs(b.Context(), s, list)
					}
					require.NoError(b, err)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "us/delivery")
			})
		}
	}
}

func appendLogs(ctx context.Context, s *store.Store, list []*webhooksv1.Attempt) error {
	logs := map[string][]*webhooksv1.LogEntry{}
	for _, a := range list {
		logs[a.GetWebhookId()] = append(logs[a.GetWebhookId()], activity.Entry(a, ulid.MustParse(a.GetId())))
	}
	for webhook, entries := range logs {
		if err := s.AppendLog(ctx, "p1", webhook, entries, never); err != nil {
			return err
		}
	}
	return nil
}
