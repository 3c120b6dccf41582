package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// The benchmark's scenario odd compares their times, over TLS as well.
func TestOddReceiversGetEverythingOnceAndSoon(t *testing.T) {
	const events = 300
	var usual time.Duration
	for _, odd := range receiver.Odds() {
		if odd.Secure {
			continue
		}
		t.Run(odd.Name, func(t *testing.T) {
			s := start(t, nil)
			to := odd.Start(t, nil)
			s.registerWith(t, fields{"url": to.URL, "events": event.Types()})

			began := time.Now()
			publishing, ctx := errgroup.WithContext(t.Context())
			publishing.SetLimit(64)
			for range events {
				publishing.Go(func() error { return s.Publisher.Publish(ctx, started()) })
			}
			require.NoError(t, publishing.Wait())
			eventually(t, "everything has arrived", func() bool {
				distinct, _, _ := to.Arrived()
				return distinct == events
			})
			_, _, last := to.Arrived()
			took := last.Sub(began)
			if usual == 0 {
				usual = took
			}
			assert.Less(t, took, 3*usual+2*time.Second)
			s.wantLogged(t, events)
			failed, err := s.Attempts.CountDocuments(t.Context(), bson.M{"project_id": project, "outcome": bson.M{"$ne": delivered}})
			require.NoError(t, err)
			assert.Zero(t, failed)
			_, posts, _ := to.Arrived()
			t.Logf("%v, %d POSTs", took, posts)
			assert.Equal(t, events, posts)
		})
	}
}
