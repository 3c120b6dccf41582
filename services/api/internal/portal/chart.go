package portal

// The size of the small chart, in the units of its drawing.
const (
	chartHours  = 24
	chartHeight = 32
	barWidth    = 7
	barStep     = 9
)

// chart is what became of the deliveries of the last 24 hours, one bar an hour.
type chart struct {
	Width, Height int
	Bars          []bar
	// Label says it in words.
	Label            string
	Delivered, Other uint64
}

// bar is one hour: from below what was delivered, above it what was not.
type bar struct {
	X, Width            int
	GoodY, GoodHeight   int
	BadY, BadHeight     int
	Title               string
	IsEmpty             bool
	EmptyY, EmptyHeight int
}

// chart draws the newest hours of the statistics, which are in order of time.
func (v *visit) chart(s apiStatistics) chart {
	hours := s.Hours
	if len(hours) > chartHours {
		hours = hours[len(hours)-chartHours:]
	}
	most := uint64(1)
	c := chart{Width: chartHours*barStep - (barStep - barWidth), Height: chartHeight}
	for _, h := range hours {
		most = max(most, h.Delivered+h.Failed)
		c.Delivered += h.Delivered
		c.Other += h.Failed
	}
	c.Label = v.n("chart.delivered", c.Delivered) + ", " + v.n("chart.failed", c.Other)
	if len(hours) == 0 {
		c.Bars = []bar{{Width: c.Width, IsEmpty: true, EmptyY: chartHeight - 1, EmptyHeight: 1, Title: c.Label}}
	}
	for i, h := range hours {
		b := bar{X: (chartHours - len(hours) + i) * barStep, Width: barWidth}
		b.GoodHeight, b.BadHeight = scaled(h.Delivered, most), scaled(h.Failed, most)
		if over := b.GoodHeight + b.BadHeight - chartHeight; over > 0 {
			b.GoodHeight -= over
		}
		b.GoodY = chartHeight - b.GoodHeight
		b.BadY = b.GoodY - b.BadHeight
		if h.Delivered+h.Failed == 0 {
			b.IsEmpty, b.EmptyY, b.EmptyHeight = true, chartHeight-1, 1
		}
		b.Title = h.Since.In(v.zone).Format("15:04 MST") + ": " + v.n("chart.delivered", h.Delivered) + ", " + v.n("chart.failed", h.Failed)
		c.Bars = append(c.Bars, b)
	}
	return c
}

// scaled is the height of a part of a bar: something is never nothing.
func scaled(n, most uint64) int {
	if n == 0 {
		return 0
	}
	return max(2, int(float64(n)/float64(most)*chartHeight))
}
