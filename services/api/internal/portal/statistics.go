package portal

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"time"
)

// apiCounts is what became of the attempts of a span of time: an hour, a day, a week.
type apiCounts struct {
	Since     time.Time         `json:"since"`
	Attempts  uint64            `json:"attempts"`
	Delivered uint64            `json:"delivered"`
	Failed    uint64            `json:"failed"`
	ByReason  map[string]uint64 `json:"failed_by_reason"`
	// Ended are deliveries that ended without a request.
	Ended uint64 `json:"ended"`
	// The durations are null when no request was made.
	P50 *float64 `json:"p50_ms"`
	P95 *float64 `json:"p95_ms"`
	P99 *float64 `json:"p99_ms"`
}

// share is how many percent were delivered; false when nothing was sent. What failed
// once is never rounded up to nothing.
func (c apiCounts) share() (float64, bool) {
	sent := c.Delivered + c.Failed
	if sent == 0 {
		return 0, false
	}
	tenths := c.Delivered * 1000 / sent
	return float64(tenths) / 10, true
}

// statisticsBody is the page of the statistics.
type statisticsBody struct {
	Day, Week figures
	// IsEmpty says that nothing was sent in the whole week.
	IsEmpty  bool
	Days     []dayLabel
	Counts   countsChart
	Duration *durationChart
	Hours    []hourRow
	Reasons  []reasonRow
}

// figures are one span of time in numbers; texts are "–" when nothing was sent.
type figures struct {
	Delivered, Failed, Share string
	P50, P95, P99            string
}

// hourRow is one hour in the table beside the charts.
type hourRow struct {
	When moment
	figures
}

// reasonRow is one reason of failures. Width is its part of the widest, of 100.
type reasonRow struct {
	Text  string
	Count uint64
	Width int
}

const none = "–"

func statisticsPage(v *visit) error {
	s, err := v.api.statistics(v.webhook.ID)
	if err != nil {
		return err
	}
	span := newSpan(s.Hours, v.zone)
	body := statisticsBody{
		Day: v.figures(s.Last24h), Week: v.figures(s.Last7d), IsEmpty: s.Last7d.Attempts == 0,
		Days: v.dayLabels(span), Counts: v.countsChart(span), Duration: v.durationChart(span), Reasons: v.reasons(s.Last7d.ByReason),
	}
	for _, h := range slices.Backward(s.Hours) {
		if h.Delivered+h.Failed > 0 {
			body.Hours = append(body.Hours, hourRow{When: v.moment(h.Since), figures: v.figures(h)})
		}
	}
	return v.render(http.StatusOK, "statistics", v.t("tab.statistics"), body)
}

func (v *visit) figures(c apiCounts) figures {
	f := figures{
		Delivered: number(v.in, c.Delivered), Failed: number(v.in, c.Failed), Share: none,
		P50: v.within(c.P50), P95: v.within(c.P95), P99: v.within(c.P99),
	}
	if percent, ok := c.share(); ok {
		f.Share = decimal(v.in, percent) + "%"
	}
	return f
}

func (v *visit) within(ms *float64) string {
	if ms == nil {
		return none
	}
	return took(v.in, *ms)
}

// reasons are why attempts failed, the most frequent first.
func (v *visit) reasons(counts map[string]uint64) []reasonRow {
	labels := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var rows []reasonRow
	for _, label := range labels {
		rows = append(rows, reasonRow{
			Text: v.t("reason." + label), Count: counts[label], Width: max(1, int(float64(counts[label])/float64(counts[labels[0]])*100)),
		})
	}
	return rows
}
