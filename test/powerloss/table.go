package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// row is what all cuts of a set-up did.
type row struct {
	setup        setup
	cuts         int
	acknowledged int
	lost         int
	most, least  int
	oldest       time.Duration
	back         time.Duration
}

func (r *row) add(one result) {
	if r.cuts == 0 || one.lost < r.least {
		r.least = one.lost
	}
	r.cuts++
	r.acknowledged += one.acknowledged
	r.lost += one.lost
	r.most = max(r.most, one.lost)
	r.oldest = max(r.oldest, one.oldest)
	r.back = max(r.back, one.back)
}

// table is Markdown, as the docs show it.
func table(rows []row) string {
	var b strings.Builder
	b.WriteString("| Servers | `sync_interval` | Lose power | Cuts | Acknowledged | Lost | Lost by one cut | Oldest lost | Back after |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %d | %s | %d | %d | %d | %d | %d to %d | %.0f s | %.0f s |\n", r.setup.servers, r.setup.sync, r.setup.cut,
			r.cuts, r.acknowledged, r.lost, r.least, r.most, r.oldest.Seconds(), r.back.Seconds())
	}
	return b.String()
}

// verdict fails when something was lost where nothing may be.
func verdict(rows []row) error {
	var faults []error
	for _, r := range rows {
		if r.setup.safe && r.lost > 0 {
			faults = append(faults, fmt.Errorf("%s lost %d acknowledged events; it must lose none", r.setup.name, r.lost))
		}
	}
	return errors.Join(faults...)
}
