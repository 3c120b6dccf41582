package portal_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// fullProject fills a project with as many webhooks as it can have, each with that
// many attempts in the last days, of which some failed; every fifth webhook fails. It
// returns the path of one that fails.
func (s *site) fullProject(attempts int) string {
	s.t.Helper()
	path := ""
	for i := range 50 {
		w := store.Webhook{
			ID: registration.NewID(), ProjectID: "p1", Name: fmt.Sprintf("Interviews of district %d to the archive", i),
			URL: fmt.Sprintf("https://hooks.zapier.com/hooks/catch/%d/abcdefgh", i), Events: event.Types(),
			Status: registration.Published, CreatedAt: time.Now().UTC(),
		}
		_, err := s.store.Create(s.t.Context(), w, 50)
		require.NoError(s.t, err)
		fails := i%5 == 0
		log := make([]*webhooksv1.LogEntry, attempts)
		for j := range log {
			log[j] = weekOld(j, attempts, j%9 == 0 || fails && j == attempts-1)
		}
		require.NoError(s.t, s.store.AppendLog(s.t.Context(), "p1", w.ID, log, func(string) bool { return false }))
		health := store.Health{LastAttemptAt: new(time.Now()), LastSuccessAt: new(time.Now())}
		if fails {
			health.LastSuccessAt, health.FailingSince = new(time.Now().Add(-time.Hour)), new(time.Now())
			path = overview + "/" + w.ID
		}
		_, err = s.store.MergeHealth(s.t.Context(), w.ID, health)
		require.NoError(s.t, err)
	}
	return path
}

// weekOld is one attempt of many, spread over a week.
func weekOld(number, of int, failed bool) *webhooksv1.LogEntry { //nolint:revive // that is what became of it
	at := time.Now().Add(-7 * 24 * time.Hour).Add(time.Duration(number) * 7 * 24 * time.Hour / time.Duration(of))
	e := &webhooksv1.Attempt{
		DeliveryId: "dlv_" + ulid.Make().String(), EventId: "evt_" + ulid.Make().String(), EventType: "conversation.summarized",
		Number: 1, Trigger: webhooksv1.Trigger_TRIGGER_EVENT, DurationUs: 83_000,
		Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: 200,
	}
	if failed {
		e.Outcome, e.Reason, e.StatusCode = webhooksv1.Outcome_OUTCOME_RETRY, webhooksv1.Reason_REASON_STATUS, 404
	}
	return activity.Entry(e, ulid.MustNewDefault(at))
}

// A full project with a full log is shown at once, also on a slow line.
func TestPagesOfAFullProjectAreSmall(t *testing.T) {
	here := newSite(t)
	failing := here.fullProject(300)
	host := here.as("good")
	for _, path := range []string{overview, failing, failing + "/deliveries", failing + "/statistics"} {
		page := host.get(path)
		require.Equal(t, http.StatusOK, page.status, path)
		assert.LessOrEqual(t, len(page.body), 100<<10, path)
	}
	page := host.get(overview).body
	assert.Equal(t, 50, strings.Count(page, `<article class="card webhook"`))
	assert.Equal(t, 10, strings.Count(page, "The receiver answered 404"), "each says why it fails")
}

// The pages that are looked at most, of such a project with 100,000 attempts in the log.
func BenchmarkPages(b *testing.B) {
	here := newSite(b)
	failing := here.fullProject(2000)
	host := here.as("good")
	for name, path := range map[string]string{
		"overview": overview, "summary": failing, "deliveries": failing + "/deliveries", "statistics": failing + "/statistics",
	} {
		b.Run(name, func(b *testing.B) {
			bytes := 0
			for b.Loop() {
				page := host.get(path)
				require.Equal(b, http.StatusOK, page.status)
				bytes = len(page.body)
			}
			b.ReportMetric(float64(bytes)/1024, "KiB")
		})
	}
}
