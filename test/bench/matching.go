package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/dembrane/webhooks/test/internal/ledger"
)

const (
	registryPackage = "github.com/dembrane/webhooks/services/dispatcher/internal/registry"
	// matchBenchmark is its benchmark: with few webhooks, and with very many.
	matchBenchmark = "BenchmarkMatch"
	matchFew       = matchBenchmark + "/webhooks=100"
	matchMany      = matchBenchmark + "/webhooks=100000"
	// matchTime is how long each of the two lasts.
	matchTime = "300ms"
)

// matching is how long it takes to find the webhooks that want an event, in
// nanoseconds.
type matching struct{ few, many float64 }

// buildMatcher builds the benchmark of the package that matches: what it does is
// too little to be told from outside.
func buildMatcher(ctx context.Context, program string) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, registryPackage) //nolint:gosec // in a temporary folder of our own
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the registry's benchmark: %w\n%s", err, output)
	}
	return nil
}

func measureMatching(ctx context.Context, program string) (m matching, _ error) {
	cmd := exec.CommandContext(ctx, program, "-test.run", "^$",
		"-test.bench", "^"+matchBenchmark+"$", "-test.benchtime", matchTime)
	output, err := cmd.CombinedOutput()
	if err == nil {
		m, err = readMatching(string(output))
	}
	if err != nil {
		return m, fmt.Errorf("measure matching: %w\n%s", err, output)
	}
	return m, nil
}

// readMatching finds the times of one operation in what the benchmark printed.
func readMatching(output string) (m matching, _ error) {
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != "ns/op" {
			continue
		}
		took, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return m, fmt.Errorf("read a time: %w", err)
		}
		name, _ := ledger.CutLast(fields[0], '-') // the number of processors
		switch name {
		case matchFew:
			m.few = took
		case matchMany:
			m.many = took
		}
	}
	if m.few == 0 || m.many == 0 {
		return m, errors.New("the benchmark has not said how long it took")
	}
	return m, nil
}
