package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/dembrane/webhooks/test/internal/run"
)

// Names of the scenarios, as -only takes them.
const (
	throughputScenario = "throughput"
	latencyScenario    = "latency"
	hangingScenario    = "hanging"
	burstScenario      = "burst"
	floodScenario      = "flood"
	oddScenario        = "odd"
	fanoutScenario     = "fanout"
	largeScenario      = "large"
	registryScenario   = "registry"
	syncScenario       = "sync"
	logScenario        = "log"
	replayScenario     = "replay"
)

// scenario is something that is measured once a round.
type scenario struct {
	name    string
	measure func(*bench, run.T)
}

// scenarios returns all of them, in the order in which they are measured.
func scenarios() []scenario {
	return []scenario{
		{throughputScenario, (*bench).throughput},
		{latencyScenario, (*bench).latency},
		{hangingScenario, (*bench).hangingMix},
		{burstScenario, (*bench).burst},
		{floodScenario, (*bench).floodOne},
		{oddScenario, (*bench).oddReceivers},
		{fanoutScenario, (*bench).fanOut},
		{largeScenario, (*bench).largeBodies},
		{registryScenario, (*bench).registry},
		{syncScenario, (*bench).syncs},
		{logScenario, (*bench).deliveryLog},
		{replayScenario, (*bench).replay},
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
func (b *bench) measureRound(t run.T) {
	for _, s := range scenarios() {
		if b.wants(s.name) {
			run.Together(t, func(t run.T) { s.measure(b, t) })
		}
	}
}

// inOrder measures two things, in another order every round.
func (b *bench) inOrder(first, second func()) {
	if b.round%2 != 0 {
		first, second = second, first
	}
	first()
	second()
}

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
func (b *bench) within(t run.T, needs surroundings, do func(run.T, *system)) {
	run.Together(t, func(t run.T) {
		folder := filepath.Join(b.folder, fmt.Sprintf("round-%d-%s", b.round+1, needs.name))
		run.Must(t, os.CopyFS(folder, os.DirFS(filepath.Join(b.folder, "seed"))), "copy the registrations")
		if !b.keep {
			t.Cleanup(func() { _ = os.RemoveAll(folder) }) // the run's own folder is removed as well
		}
		s := b.startSystem(t, folder, needs.settings)
		for _, each := range needs.warm {
			b.warmUp(t, s, each)
		}
		do(t, s)
	})
}

// warmUp sees one event arrive at each endpoint.
func (b *bench) warmUp(t run.T, s *system, each *load) {
	events := len(each.targets) / each.webhooks
	for range warmUpTries {
		phase := b.receiver.open(t, expectation{events: events, webhooks: each.webhooks})
		s.flood(t, phase, events, each.targets)
		r := b.receiver.report(t, phase, len(each.targets), warmUpWait)
		if r.Distinct == len(each.targets) {
			s.recorded(t)
			return
		}
		t.Logf("%d of %d webhooks are in force", r.Distinct, len(each.targets))
	}
	run.Must(t, errLost, "wait until every webhook of %s is in force", each.title)
}
