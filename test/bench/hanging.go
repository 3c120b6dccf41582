package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// attemptsToSettle is how many timeouts long the endpoints have hung before
	// anything is measured: as many failures in a row as break a lane.
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
func (b *bench) hangingMix(ctx context.Context) error {
	var alone, beside mix
	without := func() (err error) {
		alone, err = b.measureMix(ctx, nil)
		return err
	}
	with := func() (err error) {
		beside, err = b.measureMix(ctx, b.endpoints.hanging)
		return err
	}
	if err := inOrder(b.firstFirst(), without, with); err != nil {
		return err
	}
	healthy, hanging := len(b.healthy()), len(b.endpoints.hanging)
	section := fmt.Sprintf("%d of %d endpoints hang, given up after %s", hanging, healthy+hanging, b.attempt)
	note := func(key, label string, value float64) { b.figures.add(section, "hanging."+key, label, value) }
	for _, p := range percentiles() {
		with, without := percentile(beside.steady, p.share), percentile(alone.steady, p.share)
		note(p.name+".ratio", "healthy ones, publish to receive, "+p.name+", with / without", with/without)
		note(p.name, "the same with, ms", with)
		note(p.name+".alone", "the same without, ms", without)
		b.say("healthy %s: %.2f ms beside hanging ones, %.2f ms without", p.name, with, without)
	}
	note("settling.p99", "healthy p99 with, before the hanging ones were known, ms", percentile(beside.settling, 0.99))
	note("rate.ratio", "healthy ones, deliveries/s in a flood, with / without", beside.flood.rate/alone.flood.rate)
	note("rate", "the same with", beside.flood.rate)
	note("rate.alone", "the same without", alone.flood.rate)
	note("duplicates", "received twice", float64(beside.flood.Duplicates))
	note("hung", "attempts that were never answered", float64(beside.hung))
	note("memory.system", "peak memory, MB: standalone, with", float64(beside.peak)/megabyte)
	b.say("healthy in a flood: %.0f/s beside hanging ones, %.0f/s without: %.2f", beside.flood.rate, alone.flood.rate, beside.flood.rate/alone.flood.rate)
	return nil
}

func (b *bench) measureMix(ctx context.Context, hanging []target) (m mix, _ error) {
	healthy := newLoad("healthy", "healthy endpoints", b.healthy())
	needs := surroundings{
		name: hangingScenario, warm: []*load{healthy},
		// What is still owed when the system stops is of no use to anybody.
		settings: []string{"ATTEMPT_TIMEOUT=" + b.attempt.String(), "SHUTDOWN_GRACE=0s"},
	}
	if len(hanging) == 0 {
		needs.name += "-alone"
	}
	err := b.within(ctx, needs, func(s *system) error {
		before, err := b.hungSoFar(ctx)
		if err != nil {
			return err
		}
		used := b.meter(s.pid)
		if err := b.steadily(ctx, s, &m, hanging); err != nil {
			return err
		}
		if err := s.logged(ctx); err != nil {
			return err
		}
		if err := b.floodBeside(ctx, s, &m, hanging); err != nil {
			return err
		}
		m.hung, m.peak = m.flood.Hung-before, used()["system"].Peak
		return nil
	})
	return m, err
}

// hungSoFar is how many deliveries have never been answered in the receiver's life.
func (b *bench) hungSoFar(ctx context.Context) (int, error) {
	phase, err := b.receiver.begin(ctx, 1)
	if err != nil {
		return 0, err
	}
	r, err := b.receiver.report(ctx, phase, 0, 0)
	return r.Hung, err
}

// steadily publishes at a fixed rate until the hanging endpoints are known to hang,
// and then for as long as a latency measurement lasts.
func (b *bench) steadily(ctx context.Context, s *system, m *mix, hanging []target) error {
	healthy := b.healthy()
	all := len(healthy) + len(b.endpoints.hanging) // also where these get nothing: the healthy ones' rate is the same
	rate := max(1, 2*b.rate*len(healthy)/all)
	settle := min(settleAlone, attemptsToSettle*b.attempt)
	if len(hanging) > 0 {
		settle = attemptsToSettle * b.attempt
	}
	unmeasured := int(settle.Seconds() * float64(rate))
	count := unmeasured + b.calmCount(rate)
	phase, err := b.receiver.begin(ctx, count)
	if err != nil {
		return err
	}
	b.say("%d events/s to %d endpoints, to another %d that hang as many each; measuring after %s", rate, len(healthy), len(hanging), settle)
	var sent []int64
	sending, sendingCtx := errgroup.WithContext(ctx)
	enough := make(chan struct{})
	sending.Go(func() (err error) {
		defer close(enough)
		sent, err = s.calm(sendingCtx, rhythm{phase: phase, count: count, rate: rate}, healthy...)
		return err
	})
	if len(hanging) > 0 {
		sending.Go(func() error {
			r := rhythm{phase: silentPhase(0), count: count, rate: max(1, rate*len(hanging)/len(healthy)), enough: enough}
			return second(s.beside.calm(sendingCtx, r, hanging...))
		})
	}
	if err := sending.Wait(); err != nil {
		return err
	}
	r, err := b.arrived(ctx, s, phase, count)
	if err != nil {
		return err
	}
	b.lost += count - r.Distinct
	m.settling, m.steady = durations(sent[:unmeasured], r.Arrived), durations(sent[unmeasured:], r.Arrived[unmeasured:])
	if len(m.settling) == 0 || len(m.steady) == 0 {
		return fmt.Errorf("%w: nothing arrived at the healthy endpoints", errLost)
	}
	return nil
}

// silentPhase names events that never arrive: no phase of the receiver has this
// name.
func silentPhase(number int) string { return fmt.Sprintf("s%04d", number) }

// floodBeside publishes as many events to each endpoint as fast as possible and
// waits for the healthy ones'.
func (b *bench) floodBeside(ctx context.Context, s *system, m *mix, hanging []target) error {
	healthy := b.healthy()
	count := max(1, b.events*len(healthy)/(len(healthy)+len(b.endpoints.hanging)))
	phase, err := b.receiver.begin(ctx, count)
	if err != nil {
		return err
	}
	started := time.Now()
	silent := 0
	for i := range count {
		if err := s.publish(healthy[i%len(healthy)].stencil, eventID(phase, i)); err != nil {
			return err
		}
		for ; silent*len(healthy) < (i+1)*len(hanging); silent++ {
			if err := s.publish(hanging[silent%len(hanging)].stencil, eventID(silentPhase(1), silent)); err != nil {
				return err
			}
		}
	}
	if err := s.acknowledged(ctx); err != nil {
		return err
	}
	if m.flood.report, err = b.arrived(ctx, s, phase, count); err != nil {
		return err
	}
	b.lost += count - m.flood.Distinct
	m.flood.since(started)
	return nil
}
