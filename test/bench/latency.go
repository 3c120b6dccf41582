package main

import (
	"context"
	"fmt"
	"time"
)

// latency measures how long an event takes from before its publish to the
// receiver when there is little to do, and how long a bare POST takes.
func (b *bench) latency(ctx context.Context) error {
	return b.within(ctx, surroundings{name: latencyScenario, warm: []*load{b.one}}, func(s *system) error {
		return b.latencyOf(ctx, s)
	})
}

func (b *bench) latencyOf(ctx context.Context, s *system) error {
	var raw, whole []float64
	posting := func() (err error) {
		raw, err = b.calmly(ctx, s, b.raw.calm)
		return err
	}
	delivering := func() (err error) {
		whole, err = b.calmly(ctx, s, s.calm)
		return err
	}
	if err := inOrder(b.firstFirst(), posting, delivering); err != nil {
		return err
	}
	section := fmt.Sprintf("latency at %d events/s for %s", b.rate, b.calm)
	for _, p := range percentiles() {
		end, bare := percentile(whole, p.share), percentile(raw, p.share)
		b.figures.add(section, "latency."+p.name, "publish to receive, "+p.name+", ms", end)
		b.figures.add(section, "latency.raw."+p.name, "raw POST to receive, "+p.name+", ms", bare)
		b.figures.add(section, "latency.ratio."+p.name, "publish to receive / raw POST, "+p.name, end/bare)
		b.say("latency %s: %.2f ms end to end, %.2f ms raw", p.name, end, bare)
	}
	return nil
}

type namedShare struct {
	name  string
	share float64
}

func percentiles() []namedShare { return []namedShare{{"p50", 0.5}, {"p99", 0.99}} }

// calmly sends events to one endpoint at the given rate and returns how long each
// was under way, in milliseconds.
func (b *bench) calmly(ctx context.Context, s *system,
	send func(ctx context.Context, r rhythm, targets ...target) ([]int64, error),
) ([]float64, error) {
	count := b.calmCount(b.rate)
	phase, err := b.receiver.begin(ctx, count)
	if err != nil {
		return nil, err
	}
	sent, err := send(ctx, rhythm{phase: phase, count: count, rate: b.rate}, b.endpoints.one...)
	if err != nil {
		return nil, err
	}
	took, err := b.took(ctx, s, phase, sent)
	if err != nil {
		return nil, err
	}
	_, err = s.recorded(ctx)
	return took, err
}

// calmCount is how many events a latency measurement at a rate has.
func (b *bench) calmCount(rate int) int { return max(1, int(b.calm.Seconds()*float64(rate))) }

// took waits for the events that were sent and returns how long each was under way,
// in milliseconds.
func (b *bench) took(ctx context.Context, s *system, phase string, sent []int64) ([]float64, error) {
	r, err := b.arrived(ctx, s, phase, len(sent))
	if err != nil {
		return nil, err
	}
	b.lost += len(sent) - r.Distinct
	took := durations(sent, r.Arrived)
	if len(took) == 0 {
		return nil, fmt.Errorf("%w: nothing arrived", errLost)
	}
	return took, nil
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
