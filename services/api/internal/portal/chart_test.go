package portal

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// The bars of a chart are two outlines: of what was delivered, over that of everything
// in the hours in which something failed.
func TestChart(t *testing.T) {
	hours := make([]apiCounts, 30) // the oldest six are not drawn
	hours[0].Delivered = 1000
	hours[6].Delivered = 4
	hours[7].Delivered, hours[7].Failed = 2, 2
	hours[8].Failed = 1
	hours[29].Delivered = 1
	c := newChart(hours)
	assert.Equal(t, chart{
		Width: 24, Height: 32, Delivered: 7, Other: 3,
		Good: "M0 0v-32h1v16h1v16h21v-8h1v8",
		Bad:  "M1 0v-32h1v24h1v8",
	}, c)

	assert.Equal(t, chart{Width: 24, Height: 32}, newChart(nil))
	newest := newChart([]apiCounts{{Delivered: 1}})
	assert.Equal(t, "M23 0v-32h1v32", newest.Good, "hours before the first have nothing")
	most := newChart([]apiCounts{{Delivered: 1 << 40, Failed: 1}})
	assert.Equal(t, "M23 0v-30h1v30", most.Good, "what failed is seen, however little it is")
	assert.Equal(t, "M23 0v-32h1v32", most.Bad)
}
