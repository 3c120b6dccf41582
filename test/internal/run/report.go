package run

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// Table prints rows, the first column aligned to the left and the others to the
// right. A row without columns begins another table.
func Table(w io.Writer, rows [][]string) error {
	width := 0
	for _, row := range rows {
		if len(row) > 0 {
			width = max(width, len([]rune(row[0])))
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		for i, cell := range row {
			if i == 0 {
				cell += strings.Repeat(" ", width-len([]rune(cell)))
			}
			_, _ = fmt.Fprint(table, cell, "\t") // Flush reports
		}
		_, _ = fmt.Fprintln(table) // as above
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

// Save writes a report as JSON.
func Save(path string, report any) error {
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("make a folder for the report: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
