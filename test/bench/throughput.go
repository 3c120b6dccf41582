package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

const (
	// arrivalTimeout is how long nothing may arrive before what is missing is lost.
	// A delivery that failed or was parked comes again well before.
	arrivalTimeout = 90 * time.Second
	// perDeliveries is the unit of CPU time.
	perDeliveries = 100_000
	megabyte      = 1 << 20
)

// measurement is what one flood of events came to.
type measurement struct {
	report
	started time.Time
	rate    float64 // distinct events received a second, from the first one sent
	// took is from the first event sent to the last one received.
	took time.Duration
	// published is how long it took until all publishes were acknowledged.
	published time.Duration
	// lag is from the last event received to the last record in the log.
	lag       time.Duration
	recorded  int
	scheduled int // messages on DELIVERIES and RANGES until the last event was received
	parked    int // deliveries, until then
	// delivered is what was used until the last event was received, used what was
	// used until the log was complete.
	delivered map[string]usage
	used      map[string]usage
	lost      int
}

// throughput measures how many deliveries a second arrive, with one endpoint and
// with many.
func (b *bench) throughput(ctx context.Context) error {
	return b.within(ctx, surroundings{name: throughputScenario, warm: []*load{b.one, b.many}}, func(s *system) error {
		for _, each := range []*load{b.one, b.many} {
			if _, err := b.compare(ctx, s, each, b.events); err != nil {
				return fmt.Errorf("%s: %w", each.title, err)
			}
		}
		return nil
	})
}

// compare measures a load end to end and as raw POSTs.
func (b *bench) compare(ctx context.Context, s *system, each *load, events int) (c comparison, _ error) {
	posting := func() (err error) {
		c.raw, err = b.post(ctx, each, events)
		return err
	}
	delivering := func() (err error) {
		// The raw loop never closes a connection. The dispatcher has closed those that
		// were unused while a log was waited for.
		if err := b.warmUp(ctx, s, each); err != nil {
			return err
		}
		c.whole, err = b.deliver(ctx, s, each, events)
		return err
	}
	if err := inOrder(b.firstFirst(), posting, delivering); err != nil {
		return c, err
	}
	b.say("%s: %.0f/s end to end, %.0f/s raw: %.2f; %d lost, %d twice, %d on DELIVERIES; log complete %s later", each.title,
		c.whole.rate, c.raw.rate, c.whole.rate/c.raw.rate, c.whole.lost, c.whole.Duplicates, c.whole.scheduled, c.whole.lag.Round(time.Millisecond))
	b.noteThroughput(each, c, events)
	return c, nil
}

// comparison is a load measured in both ways.
type comparison struct{ raw, whole measurement }

func inOrder(firstFirst bool, first, second func() error) error { //nolint:revive // which of two comes first is all it decides
	if !firstFirst {
		first, second = second, first
	}
	if err := first(); err != nil {
		return err
	}
	return second()
}

// sectionOf is the heading of a load's figures.
func sectionOf(each *load, whole measurement, events int) string {
	return fmt.Sprintf("%s, %d events of %.1f KB", each.title, events, float64(whole.Bytes)/float64(max(1, whole.Distinct+whole.Duplicates))/1000)
}

func (b *bench) noteThroughput(each *load, c comparison, events int) {
	raw, whole := c.raw, c.whole
	section := sectionOf(each, whole, events)
	note := func(key, label string, value float64) { b.figures.add(section, each.key+"."+key, label, value) }
	note("ratio", "end to end / raw POST loop", whole.rate/raw.rate)
	note("rate", "end to end, deliveries/s", whole.rate)
	note("rate.most", "end to end, the first 90 %, deliveries/s", whole.rateOf(0.9))
	note("raw.rate", fmt.Sprintf("raw POST loop, %d at once, POSTs/s", each.concurrency), raw.rate)
	note("published.rate", "publishes acknowledged/s", float64(events)/whole.published.Seconds())
	note("recorded.rate", "recorded in the log/s", float64(whole.recorded)/(whole.took+whole.lag).Seconds())
	note("log.lag", "log complete after the last delivery, s", whole.lag.Seconds())
	note("duplicates", "received twice", float64(whole.Duplicates))
	note("parked", "parked, of all deliveries", whole.parkedShare())
	note("scheduled", "messages on DELIVERIES and RANGES (parked, retried)", float64(whole.scheduled))
	if whole.used["system"].CPU == 0 {
		return // no /proc here
	}
	per := func(used map[string]usage, names ...string) float64 {
		var sum time.Duration
		for _, name := range names {
			sum += used[name].CPU
		}
		return sum.Seconds() * perDeliveries / float64(events)
	}
	bare := per(raw.used, "receiver", "bench")
	note("cpu.ratio.delivered", "CPU of all until the last delivery / raw's", per(whole.delivered, "system", "receiver", "bench")/bare)
	note("cpu.ratio", "CPU of all until the log is complete / raw's", per(whole.used, "system", "receiver", "bench")/bare)
	note("cpu.system.delivered", "CPU s per 100,000: standalone, last delivery", per(whole.delivered, "system"))
	note("cpu.system", "CPU s per 100,000: standalone, log complete", per(whole.used, "system"))
	note("cpu.receiver", "CPU s per 100,000: receiver", per(whole.used, "receiver"))
	note("cpu.publisher", "CPU s per 100,000: publisher", per(whole.used, "bench"))
	note("raw.cpu.receiver", "CPU s per 100,000, raw: receiver", per(raw.used, "receiver"))
	note("raw.cpu.sender", "CPU s per 100,000, raw: sender", per(raw.used, "bench"))
	note("memory.system", "peak memory, MB: standalone", float64(whole.used["system"].Peak)/megabyte)
	note("memory.receiver", "peak memory, MB: receiver", float64(whole.used["receiver"].Peak)/megabyte)
	note("memory.publisher", "peak memory, MB: publisher", float64(whole.used["bench"].Peak)/megabyte)
}

// post measures the raw loop. Every POST has to arrive.
func (b *bench) post(ctx context.Context, each *load, events int) (measurement, error) {
	phase, err := b.receiver.begin(ctx, events)
	if err != nil {
		return measurement{}, err
	}
	used := b.meter(0)
	started := time.Now()
	if err := b.raw.flood(ctx, phase, events, each.concurrency, each.targets); err != nil {
		return measurement{}, err
	}
	m := measurement{used: used()}
	if m.report, err = b.receiver.report(ctx, phase, events, time.Second); err != nil {
		return measurement{}, err
	}
	if m.Distinct != events || m.Duplicates != 0 {
		return measurement{}, fmt.Errorf("the raw loop made %d POSTs and %d arrived, %d of them twice", events, m.Distinct, m.Duplicates)
	}
	m.since(started)
	return m, each.checkBodies(m.report)
}

// deliver measures the whole system: it publishes, waits until everything has
// arrived, and then until everything is in the log.
func (b *bench) deliver(ctx context.Context, s *system, each *load, events int) (measurement, error) {
	logged, err := s.log.count(ctx)
	if err != nil {
		return measurement{}, err
	}
	used := b.meter(s.pid)
	m, err := b.flood(ctx, s, each, events)
	if err != nil {
		return m, err
	}
	m.delivered = used()
	complete, err := s.recorded(ctx)
	if err != nil {
		return m, err
	}
	m.lag, m.used = complete.Sub(m.last()), used()
	return m, errors.Join(b.audit(ctx, s, &m, logged), each.checkBodies(m.report))
}

// flood publishes events and waits until everything has arrived: once at each
// webhook that an event goes to.
func (b *bench) flood(ctx context.Context, s *system, each *load, events int) (measurement, error) {
	phase, err := b.receiver.open(ctx, expectation{events: events, webhooks: each.webhooks})
	if err != nil {
		return measurement{}, err
	}
	m, err := b.floodPhase(ctx, s, each, phase, events)
	b.lost += m.lost
	return m, err
}

// floodPhase is flood in a phase that has begun; it leaves it to its caller to
// count what was lost.
func (b *bench) floodPhase(ctx context.Context, s *system, each *load, phase string, events int) (m measurement, err error) {
	deliveries := events * each.webhooks
	from, err := newPublisher(s.nc, each.unacknowledged)
	if err != nil {
		return m, err
	}
	err = s.putOff(ctx, &m, func() error {
		started := time.Now()
		if err := from.flood(ctx, phase, events, each.targets); err != nil {
			return err
		}
		m.published = time.Since(started)
		if m.report, err = b.arrived(ctx, s, phase, deliveries); err != nil {
			return err
		}
		m.lost = deliveries - m.Distinct
		m.since(started)
		return nil
	})
	return m, err
}

// putOff counts what is put off while something is done.
func (s *system) putOff(ctx context.Context, m *measurement, do func() error) error {
	scheduled, err := s.scheduled(ctx)
	if err != nil {
		return err
	}
	parked, err := s.parked(ctx)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	if m.scheduled, err = s.scheduled(ctx); err != nil {
		return err
	}
	m.parked, err = s.parked(ctx)
	m.scheduled, m.parked = m.scheduled-scheduled, m.parked-parked
	return err
}

// since fills in what follows from when the first event was sent.
func (m *measurement) since(started time.Time) {
	m.started = started.Round(0) // the receiver's clock is this machine's
	m.took = m.last().Sub(m.started)
	m.rate = float64(m.Distinct) / m.took.Seconds()
}

// rateOf is the rate until a share of all events, 0 to 1, had been received. It
// differs from the rate of all when the rest was parked or retried.
func (m *measurement) rateOf(share float64) float64 {
	received := slices.DeleteFunc(slices.Clone(m.Arrived), func(at int64) bool { return at == 0 })
	slices.Sort(received)
	most := int(share * float64(len(received)))
	if most == 0 {
		return 0
	}
	return float64(most) / time.Unix(0, received[most-1]).Sub(m.started).Seconds()
}

// arrived waits until as much as expected has arrived in a phase. It gives up when
// nothing has come for a while.
func (b *bench) arrived(ctx context.Context, s *system, phase string, expected int) (report, error) {
	before := -1
	for {
		r, err := b.receiver.report(ctx, phase, expected, arrivalTimeout)
		if err != nil || r.Distinct == expected || r.Distinct == before {
			return r, err
		}
		before = r.Distinct
		if err := errors.Join(s.check(), b.receiver.check()); err != nil {
			return r, err
		}
		b.say("%d of %d have arrived", r.Distinct, expected)
	}
}

// audit compares the log with what the receiver saw: no attempt may be missing.
func (b *bench) audit(ctx context.Context, s *system, m *measurement, logged int) error {
	now, err := s.log.count(ctx)
	if err != nil {
		return err
	}
	m.recorded = now - logged
	if received := m.Distinct + m.Duplicates; m.recorded < received {
		return fmt.Errorf("the log has %d attempts and the receiver saw %d", m.recorded, received)
	}
	return nil
}

// checkBodies makes sure that what arrived was what the raw loop sends: the
// comparison would be worth nothing otherwise.
func (each *load) checkBodies(r report) error {
	id := len(eventID(phaseName(0), 0))
	var size int64
	for i := range r.Distinct {
		body := each.targets[i/each.webhooks%len(each.targets)].stencil.body
		size += int64(len(body.before) + id + len(body.after))
	}
	if r.Distinct == len(r.Arrived) && r.Duplicates == 0 && r.Bytes != size {
		return fmt.Errorf("%d bytes were received where %d were expected", r.Bytes, size)
	}
	return nil
}

// meter starts to count what the processes use; what it returns tells it. The
// system's pid is 0 when it has no part in it.
func (b *bench) meter(systemPID int) func() map[string]usage {
	pids := map[string]int{"receiver": b.receiver.pid(), "bench": os.Getpid()}
	if systemPID != 0 && systemPID != os.Getpid() {
		pids["system"] = systemPID
	}
	before := map[string]usage{}
	for name, pid := range pids {
		forgetPeak(pid)
		before[name] = usageOf(pid)
	}
	return func() map[string]usage {
		used := map[string]usage{}
		for name, pid := range pids {
			now := usageOf(pid)
			used[name] = usage{CPU: now.CPU - before[name].CPU, Peak: now.Peak}
		}
		return used
	}
}
