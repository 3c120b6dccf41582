package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Names of the scenarios, as -only takes them.
const (
	throughputScenario = "throughput"
	latencyScenario    = "latency"
	hangingScenario    = "hanging"
	burstScenario      = "burst"
	floodScenario      = "flood"
	fanoutScenario     = "fanout"
	largeScenario      = "large"
	registryScenario   = "registry"
)

// scenario is something that is measured once a round.
type scenario struct {
	name    string
	measure func(*bench, context.Context) error
}

// scenarios returns all of them, in the order in which they are measured.
func scenarios() []scenario {
	return []scenario{
		{throughputScenario, (*bench).throughput},
		{latencyScenario, (*bench).latency},
		{hangingScenario, (*bench).hangingMix},
		{burstScenario, (*bench).burst},
		{floodScenario, (*bench).floodOne},
		{fanoutScenario, (*bench).fanOut},
		{largeScenario, (*bench).largeBodies},
		{registryScenario, (*bench).registry},
	}
}

func scenarioNames() []string {
	var list []string
	for _, s := range scenarios() {
		list = append(list, s.name)
	}
	return list
}

// measureRound measures everything once. What is compared is measured one after the
// other, in another order every round, so that a machine that grows warm or busy
// favours neither.
func (b *bench) measureRound(ctx context.Context) error {
	for _, s := range scenarios() {
		if !b.wants(s.name) {
			continue
		}
		if err := s.measure(b, ctx); err != nil {
			return fmt.Errorf("measure %s: %w", s.name, err)
		}
	}
	return nil
}

// firstFirst says which of two measurements goes first in this round.
func (b *bench) firstFirst() bool { return b.round%2 == 0 }

// surroundings is what a measurement needs.
type surroundings struct {
	// name tells its folder from others.
	name string
	// settings are for this measurement.
	settings []string
	// warm are the loads whose endpoints have to be known before it begins.
	warm []*load
}

// within runs a system with no past but its registrations, and takes it away with
// all it has stored.
func (b *bench) within(ctx context.Context, needs surroundings, do func(*system) error) error {
	folder := filepath.Join(b.folder, fmt.Sprintf("round-%d-%s", b.round+1, needs.name))
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(b.folder, "seed"))); err != nil {
		return fmt.Errorf("copy the registrations: %w", err)
	}
	if !b.keep {
		defer func() { _ = os.RemoveAll(folder) }() //nolint:gosec // it is in the run's own folder, which is removed as well
	}
	o := b.plan
	o.settings = slices.Concat(o.settings, needs.settings)
	s, err := startSystem(ctx, o, b.program, folder)
	if err != nil {
		return err
	}
	defer s.stop()
	for _, each := range needs.warm {
		if err := b.warmUp(ctx, s, each); err != nil {
			return err
		}
	}
	return do(s)
}

// warmUp sees one event arrive at each endpoint.
func (b *bench) warmUp(ctx context.Context, s *system, each *load) error {
	events := len(each.targets) / each.webhooks
	for range warmUpTries {
		phase, err := b.receiver.open(ctx, expectation{events: events, webhooks: each.webhooks})
		if err != nil {
			return err
		}
		if err := s.flood(ctx, phase, events, each.targets); err != nil {
			return err
		}
		r, err := b.receiver.report(ctx, phase, len(each.targets), warmUpWait)
		if err != nil {
			return err
		}
		if r.Distinct == len(each.targets) {
			_, err = s.recorded(ctx)
			return err
		}
		b.say("%d of %d webhooks are in force", r.Distinct, len(each.targets))
	}
	return fmt.Errorf("not every webhook of %s came into force", each.title)
}
