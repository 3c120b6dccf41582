package httpapi

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/pkg/words"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/activity"
)

// statistics is what became of a webhook's attempts of late, tests left out.
type statistics struct {
	Hours     []counted `json:"hours"`
	Last24h   counted   `json:"last_24_hours"`
	Last7Days counted   `json:"last_7_days"`
	// LastFailure is null when the newest request was delivered, or there was none.
	LastFailure *attempted `json:"last_failure"`
	// LastMissedAt is null when all that was given up has arrived since.
	LastMissedAt *timestamp `json:"last_missed_at"`
	MeasuredAt   timestamp  `json:"measured_at"`
}

// counted is a span of time: an hour, a day or a week. The durations are null when
// no request was made in it.
type counted struct {
	Since     timestamp         `json:"since"`
	Attempts  uint64            `json:"attempts"`
	Delivered uint64            `json:"delivered"`
	Failed    uint64            `json:"failed"`
	ByReason  map[string]uint64 `json:"failed_by_reason"`
	Ended     uint64            `json:"ended"`
	P50       *float64          `json:"p50_ms"`
	P95       *float64          `json:"p95_ms"`
	P99       *float64          `json:"p99_ms"`
}

// statistics reads one document, however many attempts there were.
func (s *server) statistics(c echo.Context, grant access.Grant) error {
	w, err := s.find(c, grant)
	if err != nil {
		return err
	}
	a, err := s.Store.Activity(c.Request().Context(), w.ID)
	if err != nil {
		return fmt.Errorf("load statistics: %w", err)
	}
	now := time.Now()
	counts := a.Statistics(now)
	shown := statistics{
		Hours: make([]counted, len(counts.ByHour)), Last24h: showSum(counts.Day), Last7Days: showSum(counts.Week),
		LastFailure: showFailure(a.LastFailure(), language(c)), LastMissedAt: showMissed(a.LastMissed()), MeasuredAt: timestamp(now),
	}
	for i, sum := range counts.ByHour {
		shown.Hours[i] = showSum(sum)
	}
	return c.JSON(http.StatusOK, shown)
}

// lately is what became of the attempts of all webhooks of a project in the last 24
// hours, tests left out.
type lately struct {
	Webhooks   []latelyOne `json:"webhooks"`
	MeasuredAt timestamp   `json:"measured_at"`
}

// latelyOne is one of them.
type latelyOne struct {
	WebhookID    string     `json:"webhook_id"`
	Hours        []hourly   `json:"hours"`
	LastFailure  *attempted `json:"last_failure"`
	LastMissedAt *timestamp `json:"last_missed_at"`
}

type hourly struct {
	Since     timestamp `json:"since"`
	Delivered uint64    `json:"delivered"`
	Failed    uint64    `json:"failed"`
}

// lately reads no attempt, however many there were.
func (s *server) lately(c echo.Context, grant access.Grant) error {
	webhooks, err := s.Store.List(c.Request().Context(), grant.Project.ID)
	if err != nil {
		return fmt.Errorf("list webhooks: %w", err)
	}
	ids := make([]string, len(webhooks))
	for i, w := range webhooks {
		ids[i] = w.ID
	}
	found, err := s.Store.Lately(c.Request().Context(), ids)
	if err != nil {
		return fmt.Errorf("load statistics: %w", err)
	}
	now, in := time.Now(), language(c)
	shown := lately{Webhooks: make([]latelyOne, len(webhooks)), MeasuredAt: timestamp(now)}
	for i, l := range found {
		one := latelyOne{WebhookID: ids[i], LastFailure: showFailure(l.LastFailure(), in), LastMissedAt: showMissed(l.LastMissed())}
		for _, h := range l.Day(now) {
			one.Hours = append(one.Hours, hourly{Since: timestamp(h.Since), Delivered: h.Delivered, Failed: h.Failed})
		}
		shown.Webhooks[i] = one
	}
	return c.JSON(http.StatusOK, shown)
}

// showFailure is null when there is none.
func showFailure(e *webhooksv1.LogEntry, in words.Language) *attempted {
	if e == nil {
		return nil
	}
	shown := showEntry(e, in)
	return &shown
}

// showMissed is null when nothing is missed.
func showMissed(at time.Time) *timestamp {
	if at.IsZero() {
		return nil
	}
	return moment(at)
}

func showSum(sum activity.Sum) counted {
	c := counted{
		Since: timestamp(sum.Since), Attempts: sum.Attempts, Delivered: sum.Delivered, ByReason: sum.Failed, Ended: sum.Ended,
	}
	for _, n := range sum.Failed {
		c.Failed += n
	}
	for _, q := range []struct {
		share float64
		into  **float64
	}{{0.5, &c.P50}, {0.95, &c.P95}, {0.99, &c.P99}} {
		if took, ok := sum.Quantile(q.share); ok {
			ms := float64(took) / float64(time.Millisecond)
			*q.into = &ms
		}
	}
	return c
}
