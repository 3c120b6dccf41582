package portal

import (
	"fmt"
	"strings"
)

// The size of the small chart, in the units of its drawing.
const (
	chartHours  = 24
	chartHeight = 32
)

// chart is what became of the deliveries of the last 24 hours, one bar an hour: from
// below what was delivered, above it what was not. A page can have many charts, so
// each is two outlines, and the style sheet cuts the bars apart.
type chart struct {
	Width, Height int
	// Good is the outline of what was delivered, drawn over Bad, that of everything in
	// the hours in which something failed.
	Good, Bad        string
	Delivered, Other uint64
}

// newChart draws the newest hours, which are in order of time.
func newChart(hours []apiCounts) chart {
	hours = hours[max(0, len(hours)-chartHours):]
	most := uint64(1)
	c := chart{Width: chartHours, Height: chartHeight}
	for _, h := range hours {
		most = max(most, h.Delivered+h.Failed)
		c.Delivered += h.Delivered
		c.Other += h.Failed
	}
	var good, bad [chartHours]int
	from := chartHours - len(hours) // nothing, for hours before the first
	for i, h := range hours {
		up, down := scaled(h.Delivered, most), scaled(h.Failed, most)
		good[from+i] = up - max(0, up+down-chartHeight)
		if down > 0 {
			bad[from+i] = good[from+i] + down
		}
	}
	c.Good, c.Bad = outline(good[:]), outline(bad[:])
	return c
}

// outline is the path around bars that stand on 0 side by side, each 1 wide; empty when
// all have no height.
func outline(heights []int) string {
	var path strings.Builder
	at, height := 0, 0
	for i, next := range append(heights, 0) {
		if next == height {
			continue
		}
		if path.Len() == 0 {
			fmt.Fprintf(&path, "M%d 0", i)
		} else {
			fmt.Fprintf(&path, "h%d", i-at)
		}
		fmt.Fprintf(&path, "v%d", height-next)
		at, height = i, next
	}
	return path.String()
}

// scaled is the height of a part of a bar: something is never nothing.
func scaled(n, most uint64) int {
	if n == 0 {
		return 0
	}
	return max(2, int(float64(n)/float64(most)*chartHeight))
}
