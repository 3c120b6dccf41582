package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/dembrane/webhooks/test/internal/ledger"
	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/run"
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
	delivered map[string]process.Usage
	used      map[string]process.Usage
	lost      int
}

// throughput measures how many deliveries a second arrive, with one endpoint and
// with many.
func (b *bench) throughput(t run.T) {
	b.within(t, surroundings{name: throughputScenario, warm: []*load{b.one, b.many}}, func(t run.T, s *system) {
		for _, each := range []*load{b.one, b.many} {
			b.compare(t, s, each, b.events)
		}
	})
}

// compare measures a load end to end and as raw POSTs.
func (b *bench) compare(t run.T, s *system, each *load, events int) (c comparison) {
	b.inOrder(func() { c.raw = b.post(t, each, events) }, func() {
		// The raw loop never closes a connection. The dispatcher has closed those that
		// were unused while a log was waited for.
		b.warmUp(t, s, each)
		c.whole = b.deliver(t, s, each, events)
	})
	t.Logf("%s: %.0f/s end to end, %.0f/s raw: %.2f; %d lost, %d twice, %d on DELIVERIES and RANGES; log complete %s later", each.title,
		c.whole.rate, c.raw.rate, c.whole.rate/c.raw.rate, c.whole.lost, c.whole.Duplicates, c.whole.scheduled, c.whole.lag.Round(time.Millisecond))
	b.noteThroughput(each, c, events)
	return c
}

// comparison is a load measured in both ways.
type comparison struct{ raw, whole measurement }

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
	per := func(used map[string]process.Usage, names ...string) float64 {
		var sum time.Duration
		for _, name := range names {
			sum += used[name].CPU
		}
		return sum.Seconds() * perDeliveries / float64(events)
	}
	bare := per(raw.used, "receiver", "bench")
	if bare == 0 {
		return // no /proc here, or less than it counts
	}
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
func (b *bench) post(t run.T, each *load, events int) (m measurement) {
	phase := b.receiver.begin(t, events)
	used := b.meter(0)
	started := time.Now()
	run.Must(t, b.raw.flood(t.Context(), phase, events, each.concurrency, each.targets), "run the raw loop")
	m.used = used()
	m.report = b.receiver.report(t, phase, events, time.Second)
	if m.Distinct != events || m.Duplicates != 0 {
		run.Must(t, errLost, "run the raw loop: it made %d POSTs and %d arrived, %d of them twice", events, m.Distinct, m.Duplicates)
	}
	m.since(started)
	run.Must(t, each.checkBodies(m.report), "compare bodies")
	return m
}

// deliver measures the whole system: it publishes, waits until everything has
// arrived, and then until everything is in the log.
func (b *bench) deliver(t run.T, s *system, each *load, events int) (m measurement) {
	logged := s.logged(t)
	used := b.meter(s.pid)
	m = b.flood(t, s, each, events)
	m.delivered = used()
	complete := s.recorded(t)
	m.lag, m.used = complete.Sub(m.last()), used()
	m.recorded = s.logged(t) - logged
	if received := m.Distinct + m.Duplicates; m.recorded < received {
		run.Must(t, errLost, "the log has %d attempts and the receiver saw %d", m.recorded, received)
	}
	run.Must(t, each.checkBodies(m.report), "compare bodies")
	return m
}

// flood publishes events and waits until everything has arrived: once at each
// webhook that an event goes to.
func (b *bench) flood(t run.T, s *system, each *load, events int) measurement {
	phase := b.receiver.open(t, expectation{events: events, webhooks: each.webhooks})
	m := b.floodPhase(t, s, each, phase, events)
	b.lost += m.lost
	return m
}

// floodPhase is flood in a phase that has begun; it leaves it to its caller to
// count what was lost.
func (b *bench) floodPhase(t run.T, s *system, each *load, phase string, events int) (m measurement) {
	deliveries := events * each.webhooks
	from := newPublisher(t, s.Broker, each.unacknowledged)
	s.putOff(t, &m, func() {
		started := time.Now()
		from.flood(t, phase, events, each.targets)
		m.published = time.Since(started)
		m.report = b.arrived(t, s, phase, deliveries)
		m.lost = deliveries - m.Distinct
		m.since(started)
	})
	return m
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
func (b *bench) arrived(t run.T, s *system, phase string, expected int) report {
	before := -1
	for {
		r := b.receiver.report(t, phase, expected, arrivalTimeout)
		if r.Distinct == expected || r.Distinct == before {
			return r
		}
		before = r.Distinct
		run.Must(t, errors.Join(s.check(), b.receiver.Check()), "wait for what was published")
		t.Logf("%d of %d have arrived", r.Distinct, expected)
	}
}

// checkBodies makes sure that what arrived was what the raw loop sends: the
// comparison would be worth nothing otherwise.
func (each *load) checkBodies(r report) error {
	id := len(ledger.EventID(phaseName(0), 0))
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
func (b *bench) meter(systemPID int) func() map[string]process.Usage {
	pids := map[string]int{"receiver": b.receiver.PID(), "bench": os.Getpid()}
	if systemPID != 0 && systemPID != os.Getpid() {
		pids["system"] = systemPID
	}
	before := map[string]process.Usage{}
	for name, pid := range pids {
		process.ForgetPeak(pid)
		before[name] = process.UsageOf(pid)
	}
	return func() map[string]process.Usage {
		used := map[string]process.Usage{}
		for name, pid := range pids {
			now := process.UsageOf(pid)
			used[name] = process.Usage{CPU: now.CPU - before[name].CPU, Peak: now.Peak}
		}
		return used
	}
}
