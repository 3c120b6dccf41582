package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dembrane/webhooks/test/internal/run"
)

// latency measures how long an event takes from before its publish to the
// receiver when there is little to do, and how long a bare POST takes.
func (b *bench) latency(t run.T) {
	b.within(t, surroundings{name: latencyScenario, warm: []*load{b.one}}, func(t run.T, s *system) {
		var raw, whole []float64
		b.inOrder(func() { raw = b.calmly(t, s, b.raw.calm) }, func() { whole = b.calmly(t, s, s.calm) })
		section := fmt.Sprintf("latency at %d events/s for %s", b.rate, b.calm)
		for _, p := range percentiles() {
			end, bare := percentile(whole, p.share), percentile(raw, p.share)
			b.figures.add(section, "latency."+p.name, "publish to receive, "+p.name+", ms", end)
			b.figures.add(section, "latency.raw."+p.name, "raw POST to receive, "+p.name+", ms", bare)
			b.figures.add(section, "latency.ratio."+p.name, "publish to receive / raw POST, "+p.name, end/bare)
			t.Logf("latency %s: %.2f ms end to end, %.2f ms raw", p.name, end, bare)
		}
	})
}

type namedShare struct {
	name  string
	share float64
}

func percentiles() []namedShare { return []namedShare{{"p50", 0.5}, {"p99", 0.99}} }

// calmly sends events to one endpoint at the given rate and returns how long each
// was under way, in milliseconds.
func (b *bench) calmly(t run.T, s *system,
	send func(ctx context.Context, r rhythm, targets ...target) ([]int64, error),
) []float64 {
	count := b.calmCount(b.rate)
	phase := b.receiver.begin(t, count)
	sent, err := send(t.Context(), rhythm{phase: phase, count: count, rate: b.rate}, b.endpoints.one...)
	run.Must(t, err, "send at a fixed rate")
	took := durations(sent, b.arrivedOf(t, s, phase, len(sent)))
	s.recorded(t)
	return took
}

// calmCount is how many events a latency measurement at a rate has.
func (b *bench) calmCount(rate int) int { return max(1, int(b.calm.Seconds()*float64(rate))) }

// arrivedOf waits for the events that were sent and returns when each arrived.
func (b *bench) arrivedOf(t run.T, s *system, phase string, sent int) []int64 {
	r := b.arrived(t, s, phase, sent)
	b.lost += sent - r.Distinct
	if r.Distinct == 0 {
		run.Must(t, errLost, "nothing arrived")
	}
	return r.Arrived
}

// durations is how long each event that arrived was under way, in milliseconds.
func durations(sent, arrived []int64) []float64 {
	var took []float64
	for i := range sent {
		if arrived[i] != 0 {
			took = append(took, float64(arrived[i]-sent[i])/float64(time.Millisecond))
		}
	}
	return took
}
