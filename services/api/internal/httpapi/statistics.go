package httpapi

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/activity"
)

// statistics is what became of a webhook's attempts of late, tests left out.
type statistics struct {
	Hours      []counted `json:"hours"`
	Last24h    counted   `json:"last_24_hours"`
	Last7Days  counted   `json:"last_7_days"`
	MeasuredAt timestamp `json:"measured_at"`
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
		MeasuredAt: timestamp(now),
	}
	for i, sum := range counts.ByHour {
		shown.Hours[i] = showSum(sum)
	}
	return c.JSON(http.StatusOK, shown)
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
