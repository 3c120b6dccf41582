package main

import (
	"fmt"

	"github.com/dembrane/webhooks/test/internal/run"
)

// burstEndpoints is how many webhooks get a burst, each of its own project.
const burstEndpoints = 4

// burst measures many events at once to a few receivers that answer at once: on a
// system that has just started and knows nothing of them, and on the same system
// again; beside the raw loop.
func (b *bench) burst(t run.T) {
	var raw, cold, warm measurement
	b.inOrder(func() { raw = b.post(t, b.bursting, b.burstEvents) }, func() {
		b.within(t, surroundings{name: burstScenario}, func(t run.T, s *system) {
			cold = b.deliver(t, s, b.bursting, b.burstEvents)
			// The raw loop never closes a connection. The dispatcher has closed those that
			// were unused while the log was waited for.
			b.warmUp(t, s, b.bursting)
			warm = b.deliver(t, s, b.bursting, b.burstEvents)
		})
	})
	section := fmt.Sprintf("%d events at once to %d webhooks of as many projects", b.burstEvents, burstEndpoints)
	for _, each := range []struct {
		key, title string
		m          measurement
	}{{"cold", "just started", cold}, {"warm", "again", warm}} {
		note := func(key, label string, value float64) {
			b.figures.add(section, "burst."+each.key+"."+key, each.title+": "+label, value)
		}
		note("ratio", "end to end / raw POST loop", each.m.rate/raw.rate)
		note("rate", "end to end, deliveries/s", each.m.rate)
		note("rate.most", "end to end, the first 90 %, deliveries/s", each.m.rateOf(0.9))
		note("parked", "parked, of all deliveries", each.m.parkedShare())
		note("duplicates", "received twice", float64(each.m.Duplicates))
		t.Logf("burst, %s: %.0f/s end to end, %.0f/s raw: %.2f; %.0f %% parked; %d lost, %d twice",
			each.title, each.m.rate, raw.rate, each.m.rate/raw.rate, 100*each.m.parkedShare(), each.m.lost, each.m.Duplicates)
	}
	b.figures.add(section, "burst.raw.rate", fmt.Sprintf("raw POST loop, %d at once, POSTs/s", b.bursting.concurrency), raw.rate)
}

// parkedShare is how many deliveries were parked, of those that arrived. One that
// was parked twice counts twice.
func (m measurement) parkedShare() float64 { return float64(m.parked) / float64(max(1, m.Distinct)) }
