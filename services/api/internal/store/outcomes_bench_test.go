package store_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// What it costs to write down what became of a thousand deliveries, beside writing
// the attempts themselves: to one webhook, and to a thousand.
func BenchmarkRecord(b *testing.B) {
	const batch = 1000
	for _, webhooks := range []int{1, batch} {
		for _, what := range []string{"attempts", "outcomes"} {
			b.Run(what+"/webhooks="+strconv.Itoa(webhooks), func(b *testing.B) {
				server := mongotest.Start(b)
				s, err := store.Open(b.Context(), server.URI(), server.Database(), zap.NewNop())
				require.NoError(b, err)
				defer func() { require.NoError(b, s.Close(context.Background())) }()
				require.NoError(b, s.Prepare(b.Context()))
				sequence := uint64(0)
				for b.Loop() {
					list := make([]*webhooksv1.Attempt, batch)
					for i := range list {
						sequence++
						list[i] = outcomeOf("webhook-"+strconv.Itoa(i%webhooks), sequence, webhooksv1.Outcome_OUTCOME_DELIVERED)
					}
					if what == "attempts" {
						_, err = s.InsertAttempts(b.Context(), list)
					} else {
						err = s.AppendOutcomes(b.Context(), list)
					}
					require.NoError(b, err)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "us/delivery")
			})
		}
	}
}
