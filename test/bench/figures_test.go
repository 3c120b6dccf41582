package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/test/internal/run"
)

func TestFigureSummaries(t *testing.T) {
	for _, row := range []struct {
		values             []float64
		least, median, max float64
	}{
		{[]float64{4}, 4, 4, 4},
		{[]float64{3, 1}, 1, 2, 3},
		{[]float64{9, 1, 5}, 1, 5, 9},
		{[]float64{4, 1, 3, 2}, 1, 2.5, 4},
	} {
		f := figure{Values: row.values}
		assert.InDelta(t, row.least, f.least(), 0)
		assert.InDelta(t, row.median, f.median(), 0)
		assert.InDelta(t, row.max, f.greatest(), 0)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[len(hundred)-1-i] = float64(i + 1)
	}
	assert.InDelta(t, 50, percentile(hundred, 0.5), 0)
	assert.InDelta(t, 99, percentile(hundred, 0.99), 0)
	assert.InDelta(t, 1, percentile(hundred, 0), 0)
	assert.InDelta(t, 100, percentile(hundred, 1), 0)
	assert.InDelta(t, 7, percentile([]float64{7}, 0.99), 0)
}

func TestNumber(t *testing.T) {
	for want, v := range map[string]float64{
		"0": 0, "3": 3, "0.62": 0.6199, "9.50": 9.5, "12.3": 12.34, "123": 123.4, "999": 999.4,
		"1,000": 1000, "21,437": 21436.7, "-1,500": -1500,
	} {
		assert.Equal(t, want, number(v))
	}
}

func TestTableAndFile(t *testing.T) {
	var f figures
	for _, v := range []float64{0.5, 0.7, 0.6} {
		f.add("one endpoint", "one.ratio", "ratio", v)
		f.add("one endpoint", "one.rate", "deliveries/s", v*20_000)
	}
	f.add("latency", "latency.p50", "p50, ms", 1.25)

	var table bytes.Buffer
	require.NoError(t, f.write(&table))
	assert.Equal(t, ""+
		"\n  one endpoint       min  median     max\n"+
		"    ratio           0.50    0.60    0.70\n"+
		"    deliveries/s  10,000  12,000  14,000\n"+
		"\n  latency          min  median   max\n"+
		"    p50, ms       1.25    1.25  1.25\n", table.String())

	path := filepath.Join(t.TempDir(), "out", "results.json")
	require.NoError(t, run.Save(path, results{Lost: 1, Machine: thisMachine(), Figures: f.results()}))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var read results
	require.NoError(t, json.Unmarshal(data, &read))
	assert.Equal(t, 1, read.Lost)
	assert.Equal(t, result{
		Key: "one.ratio", Figure: "one endpoint: ratio", Min: 0.5, Median: 0.6, Max: 0.7, Rounds: []float64{0.5, 0.7, 0.6},
	}, read.Figures[0])
}
