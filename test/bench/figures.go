package main

import (
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dembrane/webhooks/test/internal/run"
)

// figure is one measured quantity, once a round.
type figure struct {
	Key     string
	Section string
	Label   string
	Values  []float64
}

// figures is everything that was measured, in the order of the table.
type figures struct{ list []*figure }

// add notes the value that a figure has in this round.
func (f *figures) add(section, key, label string, value float64) {
	known := f.find(key)
	if known == nil {
		known = &figure{Key: key, Section: section, Label: label}
		f.list = append(f.list, known)
	}
	known.Values = append(known.Values, value)
}

// find returns a figure, or nil when it was not measured.
func (f *figures) find(key string) *figure {
	i := slices.IndexFunc(f.list, func(known *figure) bool { return known.Key == key })
	if i < 0 {
		return nil
	}
	return f.list[i]
}

func (f *figure) least() float64    { return slices.Min(f.Values) }
func (f *figure) greatest() float64 { return slices.Max(f.Values) }

// median is the middle value, or the mean of the two.
func (f *figure) median() float64 {
	sorted := slices.Sorted(slices.Values(f.Values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// percentile is the least value that a share of all values, 0 to 1, does not
// exceed (nearest rank).
func percentile(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	rank := int(share*float64(len(sorted)) + 0.999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// write prints the table.
func (f *figures) write(w io.Writer) error {
	var rows [][]string
	section := ""
	for _, one := range f.list {
		if one.Section != section {
			section = one.Section
			rows = append(rows, nil, []string{section, "min", "median", "max"})
		}
		rows = append(rows, []string{"  " + one.Label, number(one.least()), number(one.median()), number(one.greatest())})
	}
	return run.Table(w, rows)
}

// number prints as many digits as mean something.
func number(v float64) string {
	switch size := max(v, -v); {
	case size >= 1000:
		digits := strconv.FormatFloat(v, 'f', 0, 64)
		return digits[:len(digits)-3] + "," + digits[len(digits)-3:]
	case size >= 100 || v == float64(int64(v)):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// results is the JSON file.
type results struct {
	StartedAt time.Time      `json:"started_at"`
	Took      string         `json:"took"`
	Machine   machine        `json:"machine"`
	Options   map[string]any `json:"options"`
	Lost      int            `json:"lost"`
	Summary   []verdict      `json:"summary"`
	Figures   []result       `json:"figures"`
}

type machine struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
	Go   string `json:"go"`
	// Load is the load average before the start: what else the machine was doing.
	Load string `json:"load,omitempty"`
}

type result struct {
	Key    string    `json:"key"`
	Figure string    `json:"figure"`
	Min    float64   `json:"min"`
	Median float64   `json:"median"`
	Max    float64   `json:"max"`
	Rounds []float64 `json:"rounds"`
}

func thisMachine() machine {
	load, _ := os.ReadFile("/proc/loadavg") // only Linux has it
	return machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0), Go: runtime.Version(),
		Load: strings.TrimSpace(string(load)),
	}
}

func (f *figures) results() []result {
	list := make([]result, len(f.list))
	for i, one := range f.list {
		list[i] = result{
			Key: one.Key, Figure: one.Section + ": " + one.Label,
			Min: one.least(), Median: one.median(), Max: one.greatest(), Rounds: one.Values,
		}
	}
	return list
}
