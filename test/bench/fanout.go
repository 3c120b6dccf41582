package main

import (
	"context"
	"fmt"
)

// fanOut measures events that each go to 50 webhooks of one project, and as many
// deliveries of events that each go to one, to as many endpoints.
func (b *bench) fanOut(ctx context.Context) error {
	one := newLoad("fanout.one", "one to one", b.endpoints.many[:min(fanoutWebhooks, len(b.endpoints.many))])
	all := newLoad("fanout", fmt.Sprintf("one to %d", fanoutWebhooks), b.fanout)
	all.webhooks = fanoutWebhooks
	events := max(1, b.events/fanoutWebhooks)
	var single, fanned measurement
	separately := func() (err error) {
		single, err = b.alone(ctx, one, events*fanoutWebhooks)
		return err
	}
	together := func() (err error) {
		fanned, err = b.alone(ctx, all, events)
		return err
	}
	if err := inOrder(b.firstFirst(), separately, together); err != nil {
		return err
	}
	b.say("one event to %d webhooks: %.0f deliveries/s, one to one: %.0f/s: %.2f", fanoutWebhooks, fanned.rate, single.rate, fanned.rate/single.rate)
	section := fmt.Sprintf("one event to %d webhooks, %d events", fanoutWebhooks, events)
	note := func(key, label string, value float64) { b.figures.add(section, "fanout."+key, label, value) }
	note("ratio", "one to many / one to one", fanned.rate/single.rate)
	note("rate", "one to many, deliveries/s", fanned.rate)
	note("one.rate", fmt.Sprintf("one to one, %d endpoints, deliveries/s", len(one.targets)), single.rate)
	note("duplicates", "received twice", float64(fanned.Duplicates))
	note("scheduled", "messages on DELIVERIES and RANGES (parked, retried)", float64(fanned.scheduled))
	return nil
}

// alone measures a load end to end on a system of its own, until everything has
// arrived.
func (b *bench) alone(ctx context.Context, each *load, events int) (m measurement, _ error) {
	err := b.within(ctx, surroundings{name: each.key, warm: []*load{each}}, func(s *system) (err error) {
		m, err = b.flood(ctx, s, each, events)
		return err
	})
	return m, err
}
