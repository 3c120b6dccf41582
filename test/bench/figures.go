package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
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
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	width := 0
	for _, one := range f.list {
		width = max(width, len([]rune(one.Label)), len([]rune(one.Section)))
	}
	section := ""
	for _, one := range f.list {
		if one.Section != section {
			section = one.Section
			_, _ = fmt.Fprintf(table, "\n%s\tmin\tmedian\tmax\t\n", pad(section, width)) // Flush reports
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t\n", pad("  "+one.Label, width),
			number(one.least()), number(one.median()), number(one.greatest())) // Flush reports
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

// pad makes labels equally long: the table aligns everything to the right.
func pad(label string, width int) string {
	return label + strings.Repeat(" ", max(0, width+2-len([]rune(label))))
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

func (r results) save(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the results: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("make a folder for the results: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}
