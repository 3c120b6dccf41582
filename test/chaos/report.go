package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dembrane/webhooks/test/internal/ledger"
	"github.com/dembrane/webhooks/test/internal/run"
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
	// Otherwise ended with another outcome, which is in the delivery log: given up,
	// although the receiver would have taken it. Nothing may be.
	Otherwise int `json:"ended_otherwise"`
	Lost      int `json:"lost"`
	// Unrecorded deliveries were made, and the delivery log does not say so.
	Unrecorded int `json:"unrecorded"`
	// Posts are all that arrived; Duplicates of them repeat an attempt, or follow
	// one that was answered with 200.
	Posts      int `json:"posts"`
	Duplicates int `json:"duplicates"`
	// Repeated came after one that was answered with 200: 0 unless something crashed.
	Repeated int `json:"repeated_after_success"`
	// AtRisk is how many POSTs were in flight when the fault struck, summed up.
	AtRisk   int            `json:"in_flight"`
	Recovery []float64      `json:"recovery_seconds"`
	Notes    map[string]int `json:"notes,omitempty"`
	Backlog  *backlog       `json:"backlog,omitempty"`

	book  *ledger.Book
	crash bool // see fault
}

// strike adds one time that the fault struck.
func (r *row) strike(x *strike, recovery time.Duration) {
	r.Rounds++
	r.AtRisk += x.atRisk
	r.Recovery = append(r.Recovery, recovery.Seconds())
	r.Backlog = x.backlog
	if x.note != "" {
		r.note(x.note, 1)
	}
}

// close takes the sums over from the book.
func (r *row) close() {
	s := r.book.Sums()
	r.Published, r.Acknowledged, r.Owed, r.Delivered = s.Published, s.Acknowledged, s.Owed, s.Delivered
	r.Posts, r.Duplicates, r.Repeated = s.Posts, s.Duplicates, s.Repeated
	r.Lost = s.Owed - s.Delivered - r.Otherwise
}

// compare looks up in the delivery log how each delivery ended.
func (r *row) compare(endings map[string]string) {
	ends := r.book.Compare(endings)
	r.Unrecorded = ends.Unrecorded
	for ending, count := range ends.Otherwise {
		r.Otherwise += count
		r.note("ended "+ending, count)
	}
	r.close()
}

func (r *row) note(text string, count int) {
	if r.Notes == nil {
		r.Notes = map[string]int{}
	}
	r.Notes[text] += count
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
	lost, unrecorded, otherwise, repeated := 0, 0, 0, 0
	for _, one := range r.Rows {
		lost += one.Lost
		unrecorded += one.Unrecorded
		otherwise += one.Otherwise
		if !one.crash {
			repeated += one.Repeated
		}
	}
	if lost+unrecorded+otherwise+repeated+r.Wrong == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d lost, %d not in the delivery log, %d given up, %d sent again after 200 without a crash, %d wrong\n%s",
		errBroken, lost, unrecorded, otherwise, repeated, r.Wrong, strings.Join(r.Examples, "\n"))
}

// print prints the table.
func (r report) print(w io.Writer) error {
	rows := [][]string{{
		"fault", "struck", "published", "acknowledged", "owed", "delivered", "lost", "unrecorded", "duplicates", "after 200", "in flight",
		"recovered (min / median / max)",
	}}
	for _, one := range r.Rows {
		row := []string{one.Fault}
		for _, n := range []int{
			one.Rounds, one.Published, one.Acknowledged, one.Owed, one.Delivered + one.Otherwise, one.Lost, one.Unrecorded,
			one.Duplicates, one.Repeated, one.AtRisk,
		} {
			row = append(row, strconv.Itoa(n))
		}
		rows = append(rows, append(row, one.seconds()))
	}
	err := run.Table(w, rows)
	for _, one := range r.Rows {
		if one.Backlog != nil && err == nil {
			_, err = fmt.Fprintln(w, one.Backlog)
		}
	}
	return err
}
