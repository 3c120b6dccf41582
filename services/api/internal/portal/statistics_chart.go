package portal

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The charts of the statistics are drawings that the browser stretches to the width
// there is: one unit is one hour across. What is written stands beside them in HTML,
// so that it has the same size on a phone.
const (
	hoursADay = 24
	// barHours is how much of a day one bar of the counts is.
	barHours = 6
	// plotHeight is the height of a drawing.
	plotHeight = 100
)

// span is the hours of the statistics by the reader's days: the first and the last
// day may be there in part.
type span struct {
	hours []apiCounts
	// at is where each hour begins, in hours from the first midnight; equal for the
	// two hours that a clock repeats in autumn.
	at []int
	// midnights are the beginnings of the days.
	midnights []time.Time
}

func newSpan(hours []apiCounts, zone *time.Location) span {
	s := span{hours: hours}
	for _, h := range hours {
		local := h.Since.In(zone)
		midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, zone)
		if n := len(s.midnights); n == 0 || midnight.After(s.midnights[n-1]) {
			s.midnights = append(s.midnights, midnight)
		}
		s.at = append(s.at, (len(s.midnights)-1)*hoursADay+local.Hour())
	}
	return s
}

// width is that of a drawing; never 0.
func (s span) width() int { return max(1, len(s.midnights)) * hoursADay }

// dayLabel is below the part of a chart that is one day.
type dayLabel struct{ Short, Long string }

func (v *visit) dayLabels(s span) []dayLabel {
	labels := make([]dayLabel, len(s.midnights))
	for i, midnight := range s.midnights {
		labels[i] = dayLabel{Short: v.t("when.short." + strconv.Itoa(int(midnight.Weekday()))), Long: v.date(midnight, v.now.In(v.zone))}
	}
	return labels
}

// axis is the labels on the left of a chart, from above, and where the lines to them
// are in the drawing.
type axis struct {
	Labels []string
	Lines  []int
}

// bar is a span of time: from below what was delivered, above it what was not.
type bar struct {
	X, Width          int
	GoodY, GoodHeight int
	BadY, BadHeight   int
	Title             string
}

// countsChart has a bar for each quarter of a day.
type countsChart struct {
	Width, Height int
	Axis          axis
	Bars          []bar
	Label         string
}

func (v *visit) countsChart(s span) countsChart {
	c := countsChart{Width: s.width(), Height: plotHeight}
	quarters := make([]apiCounts, s.width()/barHours)
	var total apiCounts
	for i, h := range s.hours {
		quarter := &quarters[s.at[i]/barHours]
		quarter.Delivered, quarter.Failed = quarter.Delivered+h.Delivered, quarter.Failed+h.Failed
		total.Delivered, total.Failed = total.Delivered+h.Delivered, total.Failed+h.Failed
	}
	c.Label = v.n("chart.delivered", total.Delivered) + ", " + v.n("chart.failed", total.Failed)
	var most uint64
	for _, q := range quarters {
		most = max(most, q.Delivered+q.Failed)
	}
	top := roundUp(most)
	c.Axis = axis{Labels: []string{number(v.in, top), number(v.in, top/2), "0"}, Lines: []int{0, plotHeight / 2, plotHeight}}
	for i, q := range quarters {
		if q.Delivered+q.Failed > 0 {
			c.Bars = append(c.Bars, v.quarter(s, i, q, top))
		}
	}
	return c
}

// quarter is the bar of one quarter of a day, a little narrower than that is.
func (v *visit) quarter(s span, i int, q apiCounts, top uint64) bar {
	b := bar{X: i*barHours + 1, Width: barHours - 2}
	b.GoodHeight, b.BadHeight = part(q.Delivered, top), part(q.Failed, top)
	b.GoodY = plotHeight - b.GoodHeight
	b.BadY = b.GoodY - b.BadHeight
	day, hour := s.midnights[i*barHours/hoursADay], i*barHours%hoursADay
	b.Title = fmt.Sprintf("%s, %02d:00–%02d:00: %s, %s", v.date(day, v.now.In(v.zone)), hour, hour+barHours,
		v.n("chart.delivered", q.Delivered), v.n("chart.failed", q.Failed))
	return b
}

// part is the height of a part of a bar: something is never nothing.
func part(n, top uint64) int {
	if n == 0 {
		return 0
	}
	return max(1, int(float64(n)/float64(top)*(plotHeight-1)))
}

// roundUp is the next even number that is good to read on an axis.
func roundUp(most uint64) uint64 {
	step := uint64(1)
	for {
		for _, digit := range []uint64{2, 4, 6, 10} {
			if digit*step >= most {
				return digit * step
			}
		}
		step *= 10
	}
}

// durationChart says within which time half, 95 % and 99 % of the requests of each
// hour were done. Its scale is logarithmic: a receiver that mostly takes 20 ms and at
// times 10 s is usual.
type durationChart struct {
	Width, Height int
	Axis          axis
	// P50 is the path of a line for each hour, P95 and P99 of bars from there.
	P50, P95, P99 string
	Label         string
}

// durationChart is nil when no request was made.
func (v *visit) durationChart(s span) *durationChart {
	lowest, highest := math.Inf(1), 0.0
	for _, h := range s.hours {
		if h.P50 != nil && h.P99 != nil {
			lowest, highest = min(lowest, *h.P50), max(highest, *h.P99)
		}
	}
	if highest <= 0 {
		return nil
	}
	scale := newScale(lowest, highest)
	c := &durationChart{Width: s.width(), Height: plotHeight, Label: v.t("statistics.duration.label", "from", took(v.in, lowest), "to", took(v.in, highest))}
	for decade := scale.to; decade >= scale.from; decade-- {
		c.Axis.Labels = append(c.Axis.Labels, took(v.in, math.Pow10(decade)))
		c.Axis.Lines = append(c.Axis.Lines, int(scale.y(math.Pow10(decade))))
	}
	var p50, p95, p99 strings.Builder
	for i, h := range s.hours {
		if h.P50 == nil || h.P95 == nil || h.P99 == nil {
			continue
		}
		fmt.Fprintf(&p50, "M%d %.1fh1", s.at[i], scale.y(*h.P50))
		fmt.Fprintf(&p95, "M%d %.1fh1V%.1fh-1z", s.at[i], scale.y(*h.P95), scale.y(*h.P50))
		fmt.Fprintf(&p99, "M%d %.1fh1V%.1fh-1z", s.at[i], scale.y(*h.P99), scale.y(*h.P50))
	}
	c.P50, c.P95, c.P99 = p50.String(), p95.String(), p99.String()
	return c
}

// scale is logarithmic, from a power of ten to another, in milliseconds.
type scale struct{ from, to int }

func newScale(lowest, highest float64) scale {
	const shortest = 0.1 // what takes less is as good as nothing
	from := int(math.Floor(math.Log10(max(lowest, shortest))))
	to := int(math.Ceil(math.Log10(max(highest, shortest))))
	return scale{from: from, to: max(to, from+1)}
}

// y is how far below the upper edge a duration is.
func (s scale) y(ms float64) float64 {
	share := (math.Log10(max(ms, math.Pow10(s.from))) - float64(s.from)) / float64(s.to-s.from)
	return plotHeight * (1 - share)
}
