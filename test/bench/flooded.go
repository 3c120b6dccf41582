package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/run"
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
	flood func(t run.T, s *system, phase string) measurement
}

// floodOne measures how long events are under way to endpoints of other projects,
// and to another one of the same project, while one endpoint gets more events than
// it can take; and before that.
func (b *bench) floodOne(t run.T) {
	b.measureFlood(t, b.fastFlood())
	b.measureFlood(t, b.slowFlood())
}

// fastFlood publishes as fast as JetStream takes events to an endpoint that answers
// at once, and ends when all have been delivered. All processors are busy with it.
func (b *bench) fastFlood() *flooding {
	f := &flooding{
		key: "flood", title: fmt.Sprintf("%d events at once to one endpoint", b.floodEvents),
		endpoint:  newLoad("flooded", "the endpoint to be flooded", b.flooded),
		neighbour: newLoad("same", "same project, another endpoint", b.neighbour),
	}
	f.flood = func(t run.T, s *system, phase string) measurement {
		m := b.floodPhase(t, s, f.endpoint, phase, b.floodEvents)
		b.lost += m.lost
		return m
	}
	return f
}

// slowFlood publishes far more events than an endpoint can take that needs a while
// to answer, and ends when all have been published. There is enough of everything
// but of that endpoint; what it is still owed then is of no use to anybody.
func (b *bench) slowFlood() *flooding {
	f := &flooding{
		key:       "flood.slow",
		title:     fmt.Sprintf("%d events, %d/s, to one endpoint that takes %s", b.floodEvents, slowFloodRate, slowAnswer),
		endpoint:  newLoad("flooded-slow", "the slow endpoint to be flooded", b.slow),
		neighbour: newLoad("same", "same project, another endpoint", b.slowNeighbour),
	}
	f.flood = func(t run.T, s *system, phase string) (m measurement) {
		s.putOff(t, &m, func() {
			started := time.Now()
			r := rhythm{phase: phase, count: b.floodEvents, rate: slowFloodRate}
			_, err := s.calm(t.Context(), r, f.endpoint.targets...)
			run.Must(t, err, "flood")
			m.published = time.Since(started)
			m.report = b.receiver.report(t, phase, 0, 0)
			m.rate = float64(m.Distinct) / m.published.Seconds()
		})
		return m
	}
	return f
}

// watched is who is watched during a flood: other projects, those whose events are
// taken in by themselves and those that are taken in together with the flood, and
// another endpoint of the flooded project.
func (b *bench) watched(t run.T, s *system, f *flooding) []*group {
	other, part := &group{key: "other"}, &group{key: "part"}
	flooded := s.partOf(t, f.endpoint.targets[0].project)
	for _, to := range b.others {
		in := other
		if s.partOf(t, to.project) == flooded {
			in = part
		}
		in.targets = append(in.targets, to)
	}
	other.title = fmt.Sprintf("%d projects of other parts", len(other.targets))
	part.title = fmt.Sprintf("%d projects of the same part", len(part.targets))
	all := []*group{other, part, {key: f.neighbour.key, title: f.neighbour.title, targets: f.neighbour.targets}}
	// With one part only, there are no others.
	return slices.DeleteFunc(all, func(g *group) bool { return len(g.targets) == 0 })
}

// partOf is the part of the intake that a project belongs to, as JetStream wrote it
// into the subject of the project's last event.
func (s *system) partOf(t run.T, project string) string {
	events, err := s.Streams.Stream(t.Context(), topology.StreamEvents)
	run.Must(t, err, "look for the part of %s", project)
	last, err := events.GetLastMsgForSubject(t.Context(), "dembrane.events.*."+project+".>")
	run.Must(t, err, "look for the part of %s", project)
	part, _, _ := strings.Cut(last.Subject, "."+project+".")
	return part
}

func (b *bench) measureFlood(t run.T, f *flooding) {
	warm := []*load{f.endpoint, newLoad("other", "other projects", b.others), f.neighbour}
	needs := surroundings{name: f.key, warm: warm, settings: []string{"SHUTDOWN_GRACE=0s"}}
	b.within(t, needs, func(t run.T, s *system) {
		f.groups = b.watched(t, s, f)
		calm := b.watch(t, s, f.groups, b.calmCount(watchRate), nil)
		s.recorded(t)
		used := b.meter(s.pid)
		var m measurement
		beside := b.watch(t, s, f.groups, int(watchAtMost.Seconds())*watchRate, func(t run.T, phase string) {
			m = f.flood(t, s, phase)
		})
		for i, g := range f.groups {
			g.calm, g.beside = calm[i], beside[i]
		}
		b.noteFlood(t, f, m, used()["system"])
	})
}

// watch publishes to each group at a fixed rate, and waits for what it published.
// With something to do meanwhile, in a phase of its own, it ends when that has.
// It returns how long events were under way, by group and target.
func (b *bench) watch(t run.T, s *system, groups []*group, count int, meanwhile func(t run.T, phase string)) [][][]float64 {
	other := b.receiver.begin(t, b.floodEvents)
	phases, sent := make([]string, len(groups)), make([][]int64, len(groups))
	var steps []func(run.T)
	var over chan struct{} // nil: never
	if meanwhile != nil {
		over = make(chan struct{})
		steps = append(steps, func(t run.T) {
			defer close(over)
			meanwhile(t, other)
		})
	}
	for i, g := range groups {
		phases[i] = b.receiver.open(t, expectation{events: count, webhooks: 1, beside: true})
		steps = append(steps, func(t run.T) {
			var err error
			sent[i], err = s.beside.calm(t.Context(), rhythm{phase: phases[i], count: count, rate: watchRate, enough: over}, g.targets...)
			run.Must(t, err, "publish to %s", g.title)
			if over != nil && len(sent[i]) == count {
				run.Must(t, errEndless, "publish to %s", g.title)
			}
		})
	}
	run.Together(t, steps...)
	result := make([][][]float64, len(groups))
	for i, g := range groups {
		result[i] = byTarget(sent[i], b.arrivedOf(t, s, phases[i], len(sent[i])), len(g.targets))
	}
	return result
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

func (b *bench) noteFlood(t run.T, f *flooding, m measurement, used process.Usage) {
	section := fmt.Sprintf("%s, %d/s to others meanwhile", f.title, watchRate)
	note := func(key, label string, value float64) { b.figures.add(section, f.key+"."+key, label, value) }
	b.noteWatched(t, section, f.key, f.groups)
	t.Logf("flooded endpoint: %.0f/s; %d lost, %d twice, %d on DELIVERIES", m.rate, m.lost, m.Duplicates, m.scheduled)
	note("rate", "the flooded endpoint, deliveries/s", m.rate)
	note("published.rate", "publishes acknowledged/s", float64(b.floodEvents)/m.published.Seconds())
	note("duplicates", "received twice", float64(m.Duplicates))
	note("parked", "parked, of all deliveries", float64(m.parked)/float64(b.floodEvents))
	note("scheduled", "messages on DELIVERIES and RANGES (parked, retried)", float64(m.scheduled))
	note("memory.system", "peak memory, MB: standalone", float64(used.Peak)/megabyte)
}

// noteWatched notes how long events were under way to those that were watched.
func (b *bench) noteWatched(t run.T, section, scenario string, groups []*group) {
	note := func(key, label string, value float64) { b.figures.add(section, scenario+"."+key, label, value) }
	for _, g := range groups {
		calm, beside := slices.Concat(g.calm...), slices.Concat(g.beside...)
		for _, p := range percentiles() {
			during, before := percentile(beside, p.share), percentile(calm, p.share)
			note(g.key+"."+p.name+".ratio", g.title+", publish to receive, "+p.name+", during / before", during/before)
			note(g.key+"."+p.name, "the same during, ms", during)
			note(g.key+"."+p.name+".calm", "the same before, ms", before)
			t.Logf("%s, %s: %.2f ms during, %.2f ms before", g.title, p.name, during, before)
		}
		if len(g.targets) > 1 {
			least, most := extremes(g.beside)
			note(g.key+".median.least", "the least disturbed of them, p50 during, ms", least)
			note(g.key+".median.most", "the most disturbed of them, p50 during, ms", most)
		}
	}
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
