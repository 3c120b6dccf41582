package main

import "github.com/dembrane/webhooks/test/internal/run"

// unacknowledgedLarge bounds the publishes of 1 MB that JetStream has not answered:
// it takes in 128 MB ahead of its store and refuses what is more.
const unacknowledgedLarge = 64

// largeBodies measures bodies of 1 MB, which is what a day of speech comes to.
func (b *bench) largeBodies(t run.T) {
	b.within(t, surroundings{name: largeScenario, warm: []*load{b.large}}, func(t run.T, s *system) {
		c := b.compare(t, s, b.large, b.largeEvents)
		section := sectionOf(b.large, c.whole, b.largeEvents)
		b.figures.add(section, "large.megabytes", "end to end, MB/s", c.whole.megabytes())
		b.figures.add(section, "large.raw.megabytes", "raw POST loop, MB/s", c.raw.megabytes())
		b.figures.add(section, "large.megabytes.ratio", "MB/s end to end / raw POST loop", c.whole.megabytes()/c.raw.megabytes())
	})
}

// megabytes is how many of them a second arrived.
func (m measurement) megabytes() float64 { return float64(m.Bytes) / megabyte / m.took.Seconds() }
