package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// watchRate is how many events a second go to each group of endpoints that is
	// watched.
	watchRate = 50
	// watchAtMost bounds how long a flood is watched.
	watchAtMost = 10 * time.Minute
)

// errEndless says that a flood did not end while it was watched.
var errEndless = errors.New("the flood did not end")

// group is endpoints that are watched while another one is flooded.
type group struct {
	key, title string
	targets    []target
	// calm and beside are how long each event was under way, in milliseconds, by
	// target: before the flood, and during it.
	calm, beside [][]float64
}

// floodOne measures how long events are under way to endpoints of other projects,
// and to another one of the same project, while one endpoint gets as many events
// as can be published; and before that.
func (b *bench) floodOne(ctx context.Context) error {
	flooded := newLoad("flooded", "the endpoint to be flooded", b.flooded)
	groups := []*group{
		{key: "other", title: fmt.Sprintf("%d other projects", len(b.others)), targets: b.others},
		{key: "same", title: "same project, another endpoint", targets: b.neighbour},
	}
	warm := []*load{flooded}
	for _, g := range groups {
		warm = append(warm, newLoad(g.key, g.title, g.targets))
	}
	needs := surroundings{name: floodScenario, warm: warm, settings: []string{"SHUTDOWN_GRACE=0s"}}
	return b.within(ctx, needs, func(s *system) error {
		calm, err := b.watch(ctx, s, groups, b.calmCount(watchRate), nil)
		if err != nil {
			return err
		}
		if err := second(s.recorded(ctx)); err != nil {
			return err
		}
		used := b.meter(s.pid)
		var m measurement
		beside, err := b.watch(ctx, s, groups, int(watchAtMost.Seconds())*watchRate, func(ctx context.Context, phase string) (err error) {
			m, err = b.floodPhase(ctx, s, flooded, phase, b.floodEvents)
			return err
		})
		if err != nil {
			return err
		}
		b.lost += m.lost
		for i, g := range groups {
			g.calm, g.beside = calm[i], beside[i]
		}
		b.noteFlood(groups, m, used()["system"])
		return nil
	})
}

// watch publishes to each group at a fixed rate, and waits for what it published.
// With something to do meanwhile, in a phase of its own, it ends when that has.
// It returns how long events were under way, by group and target.
func (b *bench) watch(ctx context.Context, s *system, groups []*group, count int,
	meanwhile func(ctx context.Context, phase string) error,
) ([][][]float64, error) {
	other, err := b.receiver.open(ctx, expectation{events: b.floodEvents, webhooks: 1})
	if err != nil {
		return nil, err
	}
	phases, sent := make([]string, len(groups)), make([][]int64, len(groups))
	for i := range groups {
		if phases[i], err = b.receiver.open(ctx, expectation{events: count, webhooks: 1, beside: true}); err != nil {
			return nil, err
		}
	}
	var over chan struct{} // nil: never
	all, allCtx := errgroup.WithContext(ctx)
	if meanwhile != nil {
		over = make(chan struct{})
		all.Go(func() error {
			defer close(over)
			return meanwhile(allCtx, other)
		})
	}
	for i, g := range groups {
		all.Go(func() (err error) {
			sent[i], err = s.beside.calm(allCtx, rhythm{phase: phases[i], count: count, rate: watchRate, enough: over}, g.targets...)
			if err == nil && over != nil && len(sent[i]) == count {
				err = errEndless
			}
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	result := make([][][]float64, len(groups))
	for i, g := range groups {
		r, err := b.arrived(ctx, s, phases[i], len(sent[i]))
		if err != nil {
			return nil, err
		}
		b.lost += len(sent[i]) - r.Distinct
		result[i] = byTarget(sent[i], r.Arrived, len(g.targets))
		if len(slices.Concat(result[i]...)) == 0 {
			return nil, fmt.Errorf("%w: nothing arrived at %s", errLost, g.title)
		}
	}
	return result, nil
}

// byTarget is how long events were under way, in milliseconds, where one target
// after the other got one.
func byTarget(sent, arrived []int64, targets int) [][]float64 {
	all := make([][]float64, targets)
	for i := range sent {
		all[i%targets] = append(all[i%targets], durations(sent[i:i+1], arrived[i:i+1])...)
	}
	return all
}

func (b *bench) noteFlood(groups []*group, m measurement, used usage) {
	section := fmt.Sprintf("%d events to one endpoint, %d/s to others meanwhile", b.floodEvents, watchRate)
	note := func(key, label string, value float64) { b.figures.add(section, "flood."+key, label, value) }
	for _, g := range groups {
		calm, beside := slices.Concat(g.calm...), slices.Concat(g.beside...)
		for _, p := range percentiles() {
			during, before := percentile(beside, p.share), percentile(calm, p.share)
			note(g.key+"."+p.name+".ratio", g.title+", publish to receive, "+p.name+", during / before", during/before)
			note(g.key+"."+p.name, "the same during, ms", during)
			note(g.key+"."+p.name+".calm", "the same before, ms", before)
			b.say("%s, %s: %.2f ms during the flood, %.2f ms before", g.title, p.name, during, before)
		}
		if len(g.targets) > 1 {
			least, most := extremes(g.beside)
			note(g.key+".median.least", "the least disturbed of them, p50 during, ms", least)
			note(g.key+".median.most", "the most disturbed of them, p50 during, ms", most)
		}
	}
	b.say("flooded endpoint: %.0f/s; %d lost, %d twice, %d on DELIVERIES", m.rate, m.lost, m.Duplicates, m.scheduled)
	note("rate", "the flooded endpoint, deliveries/s", m.rate)
	note("published.rate", "publishes acknowledged/s", float64(b.floodEvents)/m.published.Seconds())
	note("duplicates", "received twice", float64(m.Duplicates))
	note("scheduled", "messages on DELIVERIES (parked, retried)", float64(m.scheduled))
	note("memory.system", "peak memory, MB: standalone", float64(used.Peak)/megabyte)
}

// extremes is the least and the greatest median of several lists; an empty one has
// none.
func extremes(lists [][]float64) (least, greatest float64) {
	var medians []float64
	for _, list := range lists {
		if len(list) > 0 {
			medians = append(medians, percentile(list, 0.5))
		}
	}
	return slices.Min(medians), slices.Max(medians)
}
