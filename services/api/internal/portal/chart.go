package portal

import (
	"fmt"
	"strings"
)

// The size of the small chart, in the units of its drawing.
const (
	chartHours  = 24
	chartHeight = 32
	barWidth    = 8 // as in the style sheet
	barStep     = 10
)

// chart is what became of the deliveries of the last 24 hours, one bar an hour: from
// below what was delivered, above it what was not. A page can have many charts, so
// each is three paths of thick lines.
type chart struct {
	Width, Height    int
	Good, Bad, None  string
	Label            string // says it in words
	Delivered, Other uint64
}

// chart draws the newest hours, which are in order of time.
func (v *visit) chart(hours []apiCounts) chart {
	hours = hours[max(0, len(hours)-chartHours):]
	most := uint64(1)
	c := chart{Width: chartHours*barStep - (barStep - barWidth), Height: chartHeight}
	for _, h := range hours {
		most = max(most, h.Delivered+h.Failed)
		c.Delivered += h.Delivered
		c.Other += h.Failed
	}
	c.Label = v.n("chart.delivered", c.Delivered) + ", " + v.n("chart.failed", c.Other)
	var good, bad, none strings.Builder
	for i := range chartHours {
		var h apiCounts // nothing, for hours before the first
		if from := chartHours - len(hours); i >= from {
			h = hours[i-from]
		}
		up, down := scaled(h.Delivered, most), scaled(h.Failed, most)
		up -= max(0, up+down-chartHeight)
		drawBar(&good, i, chartHeight, up)
		drawBar(&bad, i, chartHeight-up, down)
		if up+down == 0 {
			drawBar(&none, i, chartHeight, 1)
		}
	}
	c.Good, c.Bad, c.None = good.String(), bad.String(), none.String()
	return c
}

// drawBar adds the bar of an hour to a path: a line up from a foot, as thick as a bar is wide.
func drawBar(path *strings.Builder, hour, foot, height int) {
	if height > 0 {
		fmt.Fprintf(path, "M%d %dv-%d", hour*barStep+barWidth/2, foot, height)
	}
}

// scaled is the height of a part of a bar: something is never nothing.
func scaled(n, most uint64) int {
	if n == 0 {
		return 0
	}
	return max(2, int(float64(n)/float64(most)*chartHeight))
}
