package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is what came of one fault.
type row struct {
	Key   string `json:"key"`
	Fault string `json:"fault"`
	// Rounds is how often it struck and was recovered from.
	Rounds int `json:"rounds"`
	// Published events were handed to the publisher, Acknowledged ones are owed.
	Published    int `json:"events_published"`
	Acknowledged int `json:"events_acknowledged"`
	// Owed is an acknowledged event to a webhook that wants it.
	Owed      int `json:"deliveries_owed"`
	Delivered int `json:"delivered"`
	// Otherwise ended with another outcome, which is in the delivery log.
	Otherwise int `json:"ended_otherwise"`
	Lost      int `json:"lost"`
	// Unrecorded deliveries were made, and the delivery log does not say so.
	Unrecorded int `json:"unrecorded"`
	// Posts are all that arrived; Duplicates of them repeat an attempt, or follow
	// one that was answered with 200.
	Posts      int `json:"posts"`
	Duplicates int `json:"duplicates"`
	// AtRisk is how many POSTs were in flight when the fault struck, summed up.
	AtRisk   int            `json:"in_flight"`
	Recovery []float64      `json:"recovery_seconds"`
	Notes    map[string]int `json:"notes,omitempty"`
	Backlog  *backlog       `json:"backlog,omitempty"`

	book *book
}

// strike adds one time that the fault struck.
func (r *row) strike(x *strike, recovery time.Duration) {
	r.Rounds++
	r.AtRisk += x.atRisk
	r.Recovery = append(r.Recovery, recovery.Seconds())
	r.Backlog = x.backlog
	if x.note != "" {
		if r.Notes == nil {
			r.Notes = map[string]int{}
		}
		r.Notes[x.note]++
	}
}

// close takes the sums over from the book.
func (r *row) close() {
	b := r.book
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	r.Published, r.Acknowledged, r.Owed, r.Delivered = b.published, b.acknowledged, b.owed, b.served
	r.Posts, r.Duplicates = b.posts, b.duplicates
	r.Lost = b.owed - b.served
}

// compare looks up in the delivery log how each delivery ended.
func (r *row) compare(endings map[string]string) {
	b := r.book
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	for _, l := range b.lines {
		ending, recorded := endings[l.delivery]
		switch {
		case !l.owed:
		case !l.delivered && recorded:
			r.Otherwise++
			r.Lost--
			r.note("ended " + ending)
		case l.delivered && !recorded:
			r.Unrecorded++
		}
	}
}

func (r *row) note(text string) {
	if r.Notes == nil {
		r.Notes = map[string]int{}
	}
	r.Notes[text]++
}

// seconds is least, median and greatest time to recover.
func (r *row) seconds() string {
	if len(r.Recovery) == 0 {
		return "–"
	}
	sorted := slices.Sorted(slices.Values(r.Recovery))
	return fmt.Sprintf("%.1f / %.1f / %.1f s", sorted[0], sorted[len(sorted)/2], sorted[len(sorted)-1])
}

// report is everything, as it is written to the file.
type report struct {
	StartedAt time.Time `json:"started_at"`
	Took      string    `json:"took"`
	Seed      string    `json:"seed"`
	Rate      int       `json:"events_per_second"`
	AckWait   string    `json:"ack_wait"`
	Rows      []*row    `json:"faults"`
	// Wrong POSTs had a signature that does not fit, another body or another id
	// than the first of their delivery, or an event that nobody published.
	Wrong    int      `json:"wrong"`
	Examples []string `json:"examples,omitempty"`
}

// verdict is an error when a promise was broken.
func (r report) verdict() error {
	lost, unrecorded := 0, 0
	for _, one := range r.Rows {
		lost += one.Lost
		unrecorded += one.Unrecorded
	}
	if lost+unrecorded+r.Wrong == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d lost, %d not in the delivery log, %d wrong\n%s",
		errBroken, lost, unrecorded, r.Wrong, strings.Join(r.Examples, "\n"))
}

// print prints the table.
func (r report) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	width := 0
	for _, one := range r.Rows {
		width = max(width, len(one.Fault))
	}
	cell := func(format string, args ...any) { _, _ = fmt.Fprintf(table, format+"\t", args...) } // Flush reports
	for _, title := range []string{
		pad("fault", width), "struck", "published", "acknowledged", "owed", "delivered", "lost", "unrecorded",
		"duplicates", "in flight", "recovered (min / median / max)",
	} {
		cell("%s", title)
	}
	endLine := func() { _, _ = fmt.Fprintln(table) } // as above
	endLine()
	for _, one := range r.Rows {
		cell("%s", pad(one.Fault, width))
		for _, n := range []int{
			one.Rounds, one.Published, one.Acknowledged, one.Owed, one.Delivered + one.Otherwise, one.Lost, one.Unrecorded,
			one.Duplicates, one.AtRisk,
		} {
			cell("%d", n)
		}
		cell("%s", one.seconds())
		endLine()
	}
	err := table.Flush()
	for _, one := range r.Rows {
		if one.Backlog != nil && err == nil {
			_, err = fmt.Fprintln(w, one.Backlog)
		}
	}
	if err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

// pad makes labels equally long: the table aligns everything to the right.
func pad(label string, width int) string {
	return label + strings.Repeat(" ", max(0, width-len(label)))
}

func (r report) save(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the table: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("make a folder for the table: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}
