package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBounds(t *testing.T) {
	for _, row := range []struct {
		bound    bound
		shown    string
		met, not float64
	}{
		{atLeast(0.6), ">= 0.6", 0.6, 0.599},
		{atMost(15), "<= 15", 15, 15.01},
		{atMost(1.5), "<= 1.5", 0, 1.6},
	} {
		assert.Equal(t, row.shown, row.bound.String())
		assert.True(t, row.bound.met(row.met))
		assert.False(t, row.bound.met(row.not))
	}
}

func TestSummaryJudgesTheMedianOfWhatWasMeasured(t *testing.T) {
	var f figures
	var nothing bytes.Buffer
	require.NoError(t, f.writeSummary(&nothing))
	assert.Empty(t, nothing.String())
	for _, v := range []float64{0.5, 0.7, 0.6} {
		f.add("one endpoint", "one.ratio", "ratio", v)
		f.add("latency", "latency.p99", "p99, ms", 25*v)
	}

	var table bytes.Buffer
	require.NoError(t, f.writeSummary(&table))
	assert.Equal(t, ""+
		"\n  figure                                                target   min  median   max  met\n"+
		"  deliveries/s, one endpoint, over the raw POST loop    >= 0.6  0.50    0.60  0.70  yes\n"+
		"  publish to receive, p99, ms                            <= 15  12.5      15  17.5  yes\n", table.String())

	f.add("latency", "latency.p99", "p99, ms", 80)
	f.add("latency", "latency.p99", "p99, ms", 90)
	data, err := json.Marshal(f.summary()[1])
	require.NoError(t, err)
	assert.JSONEq(t, `{"figure":"publish to receive, p99, ms","key":"latency.p99","target":"<= 15",
		"min":12.5,"median":17.5,"max":90,"met":false}`, string(data))
}

func TestReadMatching(t *testing.T) {
	m, err := readMatching("goos: linux\nBenchmarkMatch/webhooks=100-2    14560033    24.62 ns/op\n" +
		"BenchmarkMatch/webhooks=100000-2    1397970    252.6 ns/op\nPASS\n")
	require.NoError(t, err)
	assert.Equal(t, matching{few: 24.62, many: 252.6}, m)
	for _, broken := range []string{"", "PASS\n", "BenchmarkMatch/webhooks=100-2 1 2 ns/op\n", "BenchmarkMatch/webhooks=100-2 1 x ns/op\n"} {
		_, err := readMatching(broken)
		require.Error(t, err, broken)
	}
}

func TestDurationsByTarget(t *testing.T) {
	const ms = 1_000_000
	sent := []int64{1 * ms, 2 * ms, 3 * ms, 4 * ms}
	arrived := []int64{2 * ms, 0, 6 * ms, 4*ms + ms/2, 0, 0}
	assert.Equal(t, []float64{1, 3, 0.5}, durations(sent, arrived))
	by := byTarget(sent, arrived, 2)
	assert.Equal(t, [][]float64{{1, 3}, {0.5}}, by)
	least, most := extremes(append(by, nil))
	assert.InDelta(t, 0.5, least, 0)
	assert.InDelta(t, 1, most, 0)
}
