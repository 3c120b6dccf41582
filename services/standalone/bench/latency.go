package main

import (
	"context"
	"fmt"
	"time"
)

// latency measures how long an event takes from before its publish to the
// receiver when there is little to do, and how long a bare POST takes.
func (b *bench) latency(ctx context.Context, s *system, rawFirst bool) error {
	var raw, whole []float64
	endpoint := b.scenarios[0].targets[0]
	posting := func() (err error) {
		raw, err = b.calmly(ctx, s, endpoint, b.raw.calm)
		return err
	}
	delivering := func() (err error) {
		whole, err = b.calmly(ctx, s, endpoint, s.calm)
		return err
	}
	if err := inOrder(rawFirst, posting, delivering); err != nil {
		return err
	}
	section := fmt.Sprintf("latency at %d events/s for %s", b.rate, b.calm)
	for _, p := range []struct {
		name  string
		share float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		end, bare := percentile(whole, p.share), percentile(raw, p.share)
		b.figures.add(section, "latency."+p.name, "publish to receive, "+p.name+", ms", end)
		b.figures.add(section, "latency.raw."+p.name, "raw POST to receive, "+p.name+", ms", bare)
		b.figures.add(section, "latency.ratio."+p.name, "publish to receive / raw POST, "+p.name, end/bare)
		b.say("latency %s: %.2f ms end to end, %.2f ms raw", p.name, end, bare)
	}
	return nil
}

// calmly sends events at the given rate and returns how long each was under way,
// in milliseconds.
func (b *bench) calmly(ctx context.Context, s *system, to target,
	send func(ctx context.Context, phase string, count, rate int, t target) ([]int64, error),
) ([]float64, error) {
	count := max(1, int(b.calm.Seconds()*float64(b.rate)))
	phase, err := b.receiver.begin(ctx, count)
	if err != nil {
		return nil, err
	}
	sent, err := send(ctx, phase, count, b.rate, to)
	if err != nil {
		return nil, err
	}
	r, err := b.arrived(ctx, s, count)
	if err != nil {
		return nil, err
	}
	b.lost += count - r.Distinct
	var took []float64
	for i, at := range r.Arrived {
		if at != 0 {
			took = append(took, float64(at-sent[i])/float64(time.Millisecond))
		}
	}
	if len(took) == 0 {
		return nil, fmt.Errorf("%w: nothing arrived", errLost)
	}
	_, err = s.recorded(ctx)
	return took, err
}
