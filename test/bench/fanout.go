package main

import (
	"fmt"

	"github.com/dembrane/webhooks/test/internal/run"
)

// fanOut measures events that each go to 50 webhooks of one project, and as many
// deliveries of events that each go to one, to as many endpoints; each on a system of
// its own, until everything has arrived.
func (b *bench) fanOut(t run.T) {
	one := newLoad("fanout.one", "one to one", b.endpoints.many[:min(fanoutWebhooks, len(b.endpoints.many))])
	all := newLoad("fanout", fmt.Sprintf("one to %d", fanoutWebhooks), b.fanout)
	all.webhooks = fanoutWebhooks
	events := max(1, b.events/fanoutWebhooks)
	alone := func(each *load, events int) (m measurement) {
		b.within(t, surroundings{name: each.key, warm: []*load{each}}, func(t run.T, s *system) { m = b.flood(t, s, each, events) })
		return m
	}
	var single, fanned measurement
	b.inOrder(func() { single = alone(one, events*fanoutWebhooks) }, func() { fanned = alone(all, events) })
	t.Logf("one event to %d webhooks: %.0f deliveries/s, one to one: %.0f/s: %.2f", fanoutWebhooks, fanned.rate, single.rate, fanned.rate/single.rate)
	section := fmt.Sprintf("one event to %d webhooks, %d events", fanoutWebhooks, events)
	note := func(key, label string, value float64) { b.figures.add(section, "fanout."+key, label, value) }
	note("ratio", "one to many / one to one", fanned.rate/single.rate)
	note("rate", "one to many, deliveries/s", fanned.rate)
	note("one.rate", fmt.Sprintf("one to one, %d endpoints, deliveries/s", len(one.targets)), single.rate)
	note("duplicates", "received twice", float64(fanned.Duplicates))
	note("scheduled", "messages on DELIVERIES and RANGES (parked, retried)", float64(fanned.scheduled))
}
