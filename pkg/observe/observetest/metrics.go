// Package observetest compares the metrics of a service with the page that tells
// operators what to do about them.
package observetest

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// description is how [prometheus.Desc] writes itself: it has no getters.
var description = regexp.MustCompile(
	`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), (?:unit: "", )?constLabels: \{\}, variableLabels: \{([^}]*)\}\}$`)

// PageHasMetrics fails unless the table under "metrics of the {service}" in a page
// has exactly the metrics of the service that are registered, each with its labels
// and its help text.
func PageHasMetrics(t *testing.T, page, service string, registered *prometheus.Registry) {
	t.Helper()
	content, err := os.ReadFile(page) //nolint:gosec // the test names it
	require.NoError(t, err)
	_, table, found := strings.Cut(string(content), "<!-- metrics of the "+service+":")
	require.True(t, found, "the page has no table of the metrics of the %s", service)
	var rows []string
	for line := range strings.Lines(table) {
		switch line = strings.TrimSuffix(line, "\n"); {
		case strings.HasPrefix(line, "| `webhooks_"):
			rows = append(rows, line)
		case line == "" && len(rows) > 0:
			slices.Sort(rows)
			assert.Equal(t, wanted(t, registered), rows, "the page and the code disagree about the metrics of the %s", service)
			return
		}
	}
	require.Fail(t, "the table does not end with an empty line")
}

// wanted are the rows that the table should have.
func wanted(t *testing.T, registered *prometheus.Registry) []string {
	t.Helper()
	all := make(chan *prometheus.Desc)
	go func() {
		registered.Describe(all)
		close(all)
	}()
	var rows []string
	for desc := range all {
		parts := description.FindStringSubmatch(desc.String())
		if !strings.HasPrefix(desc.String(), `Desc{fqName: "webhooks_`) {
			continue // of the Go runtime, or of the process
		}
		require.NotNil(t, parts, desc.String())
		name, err := strconv.Unquote(parts[1])
		require.NoError(t, err)
		help, err := strconv.Unquote(parts[2])
		require.NoError(t, err)
		if parts[3] != "" {
			name += "{" + parts[3] + "}"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s |", name, help))
	}
	slices.Sort(rows)
	return rows
}
