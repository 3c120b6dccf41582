package main

import (
	"fmt"
	"time"

	"github.com/dembrane/webhooks/test/internal/ledger"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// attemptsToSettle is how many timeouts long the endpoints have hung before
	// anything is measured: as many failures in a row as open a breaker.
	attemptsToSettle = 5
	// settleAlone is how long the same rate lasts before, without hanging ones.
	settleAlone = 5 * time.Second
)

// mix is what was measured at the healthy endpoints.
type mix struct {
	// settling and steady are how long each event was under way, in milliseconds:
	// before the hanging endpoints were known, and after.
	settling, steady []float64
	// flood is of the healthy ones' events.
	flood measurement
	// hung is how many attempts were never answered.
	hung int
	peak int64
}

// hangingMix measures endpoints that answer, with and without others that do not.
// These take a connection and a request and stay silent until the attempt is given
// up. Every endpoint gets as many events as every other one.
func (b *bench) hangingMix(t run.T) {
	var alone, beside mix
	b.inOrder(func() { alone = b.measureMix(t, nil) }, func() { beside = b.measureMix(t, b.endpoints.hanging) })
	healthy, hanging := len(b.healthy()), len(b.endpoints.hanging)
	section := fmt.Sprintf("%d of %d endpoints hang, given up after %s", hanging, healthy+hanging, b.attempt)
	note := func(key, label string, value float64) { b.figures.add(section, "hanging."+key, label, value) }
	for _, p := range percentiles() {
		with, without := percentile(beside.steady, p.share), percentile(alone.steady, p.share)
		note(p.name+".ratio", "healthy ones, publish to receive, "+p.name+", with / without", with/without)
		note(p.name, "the same with, ms", with)
		note(p.name+".alone", "the same without, ms", without)
		t.Logf("healthy %s: %.2f ms beside hanging ones, %.2f ms without", p.name, with, without)
	}
	note("settling.p99", "healthy p99 with, before the hanging ones were known, ms", percentile(beside.settling, 0.99))
	note("rate.ratio", "healthy ones, deliveries/s in a flood, with / without", beside.flood.rate/alone.flood.rate)
	note("rate", "the same with", beside.flood.rate)
	note("rate.alone", "the same without", alone.flood.rate)
	note("duplicates", "received twice", float64(beside.flood.Duplicates))
	note("hung", "attempts that were never answered", float64(beside.hung))
	note("memory.system", "peak memory, MB: standalone, with", float64(beside.peak)/megabyte)
	t.Logf("healthy in a flood: %.0f/s beside hanging ones, %.0f/s without: %.2f", beside.flood.rate, alone.flood.rate, beside.flood.rate/alone.flood.rate)
}

func (b *bench) measureMix(t run.T, hanging []target) (m mix) {
	healthy := newLoad("healthy", "healthy endpoints", b.healthy())
	needs := surroundings{
		name: hangingScenario, warm: []*load{healthy},
		// What is still owed when the system stops is of no use to anybody.
		settings: []string{"ATTEMPT_TIMEOUT=" + b.attempt.String(), "SHUTDOWN_GRACE=0s"},
	}
	if len(hanging) == 0 {
		needs.name += "-alone"
	}
	b.within(t, needs, func(t run.T, s *system) {
		before := b.receiver.report(t, b.receiver.begin(t, 1), 0, 0).Hung
		used := b.meter(s.pid)
		b.steadily(t, s, &m, hanging)
		s.await(t, s.Logged)
		b.floodBeside(t, s, &m, hanging)
		m.hung, m.peak = m.flood.Hung-before, used()["system"].Peak
	})
	return m
}

// steadily publishes at a fixed rate until the hanging endpoints are known to hang,
// and then for as long as a latency measurement lasts.
func (b *bench) steadily(t run.T, s *system, m *mix, hanging []target) {
	healthy := b.healthy()
	all := len(healthy) + len(b.endpoints.hanging) // also where these get nothing: the healthy ones' rate is the same
	rate := max(1, 2*b.rate*len(healthy)/all)
	settle := min(settleAlone, attemptsToSettle*b.attempt)
	if len(hanging) > 0 {
		settle = attemptsToSettle * b.attempt
	}
	unmeasured := int(settle.Seconds() * float64(rate))
	count := unmeasured + b.calmCount(rate)
	phase := b.receiver.begin(t, count)
	t.Logf("%d events/s to %d endpoints, to another %d that hang as many each; measuring after %s", rate, len(healthy), len(hanging), settle)
	var sent []int64
	enough := make(chan struct{})
	run.Together(t, func(t run.T) {
		defer close(enough)
		var err error
		sent, err = s.calm(t.Context(), rhythm{phase: phase, count: count, rate: rate}, healthy...)
		run.Must(t, err, "publish to the healthy ones")
	}, func(t run.T) {
		if len(hanging) > 0 {
			r := rhythm{phase: silentPhase(0), count: count, rate: max(1, rate*len(hanging)/len(healthy)), enough: enough}
			_, err := s.beside.calm(t.Context(), r, hanging...)
			run.Must(t, err, "publish to those that hang")
		}
	})
	arrived := b.arrivedOf(t, s, phase, count)
	m.settling, m.steady = durations(sent[:unmeasured], arrived), durations(sent[unmeasured:], arrived[unmeasured:])
	if len(m.settling) == 0 || len(m.steady) == 0 {
		run.Must(t, errLost, "nothing arrived at the healthy endpoints")
	}
}

// silentPhase names events that never arrive: no phase of the receiver has this
// name.
func silentPhase(number int) string { return fmt.Sprintf("s%04d", number) }

// floodBeside publishes as many events to each endpoint as fast as possible and
// waits for the healthy ones'.
func (b *bench) floodBeside(t run.T, s *system, m *mix, hanging []target) {
	healthy := b.healthy()
	count := max(1, b.events*len(healthy)/(len(healthy)+len(b.endpoints.hanging)))
	phase := b.receiver.begin(t, count)
	started := time.Now()
	silent := 0
	for i := range count {
		run.Must(t, s.publish(healthy[i%len(healthy)].stencil, ledger.EventID(phase, i)), "publish")
		for ; silent*len(healthy) < (i+1)*len(hanging); silent++ {
			run.Must(t, s.publish(hanging[silent%len(hanging)].stencil, ledger.EventID(silentPhase(1), silent)), "publish")
		}
	}
	run.Must(t, s.acknowledged(t.Context()), "publish")
	m.flood.report = b.arrived(t, s, phase, count)
	b.lost += count - m.flood.Distinct
	m.flood.since(started)
}
