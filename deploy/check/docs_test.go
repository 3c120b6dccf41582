package check

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Every test that docs/cases.md names is where it says, every row names one, and
// no number is there twice.
func TestTheCasesNameTestsThatExist(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/cases.md"))
	require.NoError(t, err)
	link := regexp.MustCompile(`\[((?:Test|Fuzz)\w+)\]\(\.\./([^)]+_test\.go)\)`)
	number := regexp.MustCompile(`^\| (\d+) \|`)
	files := map[string]string{}
	last, named := 0, 0
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasSuffix(line, "| Tests |\n") {
			continue
		}
		if found := number.FindStringSubmatch(line); found != nil {
			this, err := strconv.Atoi(found[1])
			require.NoError(t, err)
			assert.Greater(t, this, last, "in order, each once")
			last = this
		}
		tests := link.FindAllStringSubmatch(line, -1)
		assert.NotEmpty(t, tests, "no test in: %s", line)
		for _, test := range tests {
			named++
			source, known := files[test[2]]
			if !known {
				content, err := os.ReadFile(filepath.Join(root, test[2]))
				require.NoError(t, err)
				source = string(content)
				files[test[2]] = source
			}
			if !strings.Contains(source, "\nfunc "+test[1]+"(") { // Contains would print the file
				t.Errorf("%s has no %s", test[2], test[1])
			}
		}
	}
	assert.Greater(t, named, 150)
}

// What /readyz can say is what docs/operating.md explains, by service.
func TestOperatingExplainsEveryLineOfReadiness(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/operating.md"))
	require.NoError(t, err)
	registers := regexp.MustCompile(`health\.(?:Add|Notice)\("(\w+)"`)
	rows := regexp.MustCompile("(?m)^\\| (api|dispatcher) \\| `(\\w+)`")
	explained, registered := map[string][]string{}, map[string][]string{}
	for _, row := range rows.FindAllStringSubmatch(string(page), -1) {
		explained[row[1]] = append(explained[row[1]], row[2])
	}
	for _, service := range []string{"api", "dispatcher"} {
		files, err := filepath.Glob(filepath.Join(root, "services", service, "app", "*.go"))
		require.NoError(t, err)
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, call := range registers.FindAllStringSubmatch(string(source), -1) {
				registered[service] = append(registered[service], call[1])
			}
		}
		assert.NotEmpty(t, registered[service])
		assert.ElementsMatch(t, registered[service], explained[service], "the page and the %s disagree", service)
	}
}

// The states in which the diagram of docs/flow.md ends are the outcomes that a
// delivery can end with; the other outcomes are states on the way.
func TestTheDiagramEndsWithTheOutcomes(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/flow.md"))
	require.NoError(t, err)
	_, diagram, found := strings.Cut(string(page), "stateDiagram-v2")
	require.True(t, found)
	diagram, _, found = strings.Cut(diagram, "```")
	require.True(t, found)

	var drawn, ends []string
	for _, arrow := range regexp.MustCompile(`(?m)^\s*(\S+) --> (\w+|\[\*\])(?::.*)?$`).FindAllStringSubmatch(diagram, -1) {
		drawn = append(drawn, arrow[1], arrow[2])
		if arrow[2] == "[*]" {
			ends = append(ends, arrow[1])
		}
	}
	var terminal []string
	for value := range webhooksv1.Outcome_name {
		outcome := webhooksv1.Outcome(value)
		if outcome == webhooksv1.Outcome_OUTCOME_UNSPECIFIED {
			continue
		}
		assert.Contains(t, drawn, outcome.Label())
		if outcome != webhooksv1.Outcome_OUTCOME_RETRY {
			terminal = append(terminal, outcome.Label())
		}
	}
	slices.Sort(ends)
	slices.Sort(terminal)
	assert.Equal(t, terminal, ends)
}
