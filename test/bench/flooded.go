package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/topology"
)

const (
	// watchRate is how many events a second go to each group of endpoints that is
	// watched.
	watchRate = 50
	// slowFloodRate is how many events a second go to an endpoint that is flooded
	// because it is slow: several times what it can take.
	slowFloodRate = 5000
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

// flooding is one endpoint that is flooded, and who is watched meanwhile.
type flooding struct {
	// key begins those of its figures.
	key, title string
	endpoint   *load
	// neighbour is another endpoint of its project.
	neighbour *load
	groups    []*group
	// flood publishes, and returns when the flood is over.
	flood func(ctx context.Context, s *system, phase string) (measurement, error)
}

// floodOne measures how long events are under way to endpoints of other projects,
// and to another one of the same project, while one endpoint gets more events than
// it can take; and before that.
func (b *bench) floodOne(ctx context.Context) error {
	for _, f := range []flooding{b.fastFlood(), b.slowFlood()} {
		if err := b.measureFlood(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", f.title, err)
		}
	}
	return nil
}

// fastFlood publishes as fast as JetStream takes events to an endpoint that answers
// at once, and ends when all have been delivered. All processors are busy with it.
func (b *bench) fastFlood() flooding {
	f := flooding{
		key: "flood", title: fmt.Sprintf("%d events at once to one endpoint", b.floodEvents),
		endpoint:  newLoad("flooded", "the endpoint to be flooded", b.flooded),
		neighbour: newLoad("same", "same project, another endpoint", b.neighbour),
	}
	f.flood = func(ctx context.Context, s *system, phase string) (measurement, error) {
		m, err := b.floodPhase(ctx, s, f.endpoint, phase, b.floodEvents)
		b.lost += m.lost
		return m, err
	}
	return f
}

// slowFlood publishes far more events than an endpoint can take that needs a while
// to answer, and ends when all have been published. There is enough of everything
// but of that endpoint; what it is still owed then is of no use to anybody.
func (b *bench) slowFlood() flooding {
	f := flooding{
		key:       "flood.slow",
		title:     fmt.Sprintf("%d events, %d/s, to one endpoint that takes %s", b.floodEvents, slowFloodRate, slowAnswer),
		endpoint:  newLoad("flooded-slow", "the slow endpoint to be flooded", b.slow),
		neighbour: newLoad("same", "same project, another endpoint", b.slowNeighbour),
	}
	f.flood = func(ctx context.Context, s *system, phase string) (m measurement, err error) {
		err = s.putOff(ctx, &m, func() error {
			started := time.Now()
			r := rhythm{phase: phase, count: b.floodEvents, rate: slowFloodRate}
			if err := second(s.calm(ctx, r, f.endpoint.targets...)); err != nil {
				return err
			}
			m.published = time.Since(started)
			m.report, err = b.receiver.report(ctx, phase, 0, 0)
			m.rate = float64(m.Distinct) / m.published.Seconds()
			return err
		})
		return m, err
	}
	return f
}

// watched is who is watched during a flood: other projects, those whose events are
// taken in by themselves and those that are taken in together with the flood, and
// another endpoint of the flooded project.
func (b *bench) watched(ctx context.Context, s *system, f flooding) ([]*group, error) {
	other, part := &group{key: "other"}, &group{key: "part"}
	flooded, err := s.partOf(ctx, f.endpoint.targets[0].project)
	if err != nil {
		return nil, err
	}
	for _, t := range b.others {
		of, err := s.partOf(ctx, t.project)
		if err != nil {
			return nil, err
		}
		in := other
		if of == flooded {
			in = part
		}
		in.targets = append(in.targets, t)
	}
	other.title = fmt.Sprintf("%d projects of other parts", len(other.targets))
	part.title = fmt.Sprintf("%d projects of the same part", len(part.targets))
	all := []*group{other, part, {key: f.neighbour.key, title: f.neighbour.title, targets: f.neighbour.targets}}
	// With one part only, there are no others.
	return slices.DeleteFunc(all, func(g *group) bool { return len(g.targets) == 0 }), nil
}

// partOf is the part of the intake that a project belongs to, as JetStream wrote it
// into the subject of the project's last event.
func (s *system) partOf(ctx context.Context, project string) (string, error) {
	events, err := s.js.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return "", fmt.Errorf("look for the part of %s: %w", project, err)
	}
	last, err := events.GetLastMsgForSubject(ctx, "dembrane.events.*."+project+".>")
	if err != nil {
		return "", fmt.Errorf("look for the part of %s: %w", project, err)
	}
	part, _, _ := strings.Cut(last.Subject, "."+project+".")
	return part, nil
}

func (b *bench) measureFlood(ctx context.Context, f flooding) error {
	warm := []*load{f.endpoint, newLoad("other", "other projects", b.others), f.neighbour}
	needs := surroundings{name: f.key, warm: warm, settings: []string{"SHUTDOWN_GRACE=0s"}}
	return b.within(ctx, needs, func(s *system) error {
		var err error
		if f.groups, err = b.watched(ctx, s, f); err != nil {
			return err
		}
		calm, err := b.watch(ctx, s, f.groups, b.calmCount(watchRate), nil)
		if err != nil {
			return err
		}
		if err := second(s.recorded(ctx)); err != nil {
			return err
		}
		used := b.meter(s.pid)
		var m measurement
		beside, err := b.watch(ctx, s, f.groups, int(watchAtMost.Seconds())*watchRate, func(ctx context.Context, phase string) (err error) {
			m, err = f.flood(ctx, s, phase)
			return err
		})
		if err != nil {
			return err
		}
		for i, g := range f.groups {
			g.calm, g.beside = calm[i], beside[i]
		}
		b.noteFlood(f, m, used()["system"])
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

func (b *bench) noteFlood(f flooding, m measurement, used usage) {
	section := fmt.Sprintf("%s, %d/s to others meanwhile", f.title, watchRate)
	note := func(key, label string, value float64) { b.figures.add(section, f.key+"."+key, label, value) }
	for _, g := range f.groups {
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
	note("parked", "parked, of all deliveries", float64(m.parked)/float64(b.floodEvents))
	note("scheduled", "messages on DELIVERIES and RANGES (parked, retried)", float64(m.scheduled))
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
