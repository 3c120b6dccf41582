package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// calibration is how many events the raw loop posts to choose its concurrency.
	calibration = 10_000
	// warmUpTries is how often registrations are looked for at the receiver.
	warmUpTries = 10
	// warmUpWait is how long each time.
	warmUpWait = 3 * time.Second
	// standalone is the program that production runs.
	standalone = "github.com/dembrane/webhooks/services/standalone"
)

// errLost says that an event was published and not received. The table is printed
// all the same.
var errLost = errors.New("events were lost")

// bench is one run of the whole benchmark.
type bench struct {
	plan
	endpoints
	folder   string
	receiver *receivers
	raw      *rawLoop
	figures  figures
	round    int // the first is 0
	lost     int

	one, many, bursting, large *load
	// registries are made when they are first needed.
	registries *registries
}

// measure does everything, prints the table and writes the file.
func measure(ctx context.Context, o plan, stdout, progress io.Writer) error {
	started, load := time.Now(), thisMachine()
	b := &bench{plan: o}
	err := run.Program(ctx, progress, func(t run.T) { //nolint:contextcheck // t has it
		b.start(t)
		b.prepare(t)
		for ; b.round < o.rounds; b.round++ {
			b.measureRound(t)
		}
	})
	if err != nil {
		return fmt.Errorf("round %d: %w", b.round+1, err)
	}
	if err := errors.Join(b.figures.write(stdout), b.figures.writeSummary(stdout)); err != nil {
		return err
	}
	err = run.Save(o.out, results{
		StartedAt: started.UTC(), Took: time.Since(started).Round(time.Second).String(), Machine: load,
		Options: o.describe(), Lost: b.lost, Summary: b.figures.summary(), Figures: b.figures.results(),
	})
	if b.lost > 0 {
		return errors.Join(fmt.Errorf("%w: %d", errLost, b.lost), err)
	}
	return err
}

// start makes the folder for everything that a run leaves behind, builds the system
// unless it was given, starts the receiver and makes the endpoints.
func (b *bench) start(t run.T) {
	var err error
	b.folder, err = os.MkdirTemp("", "webhooks-bench-")
	run.Must(t, err, "make a temporary folder")
	if b.keep {
		t.Logf("everything stays in %s", b.folder)
	} else {
		t.Cleanup(func() { _ = os.RemoveAll(b.folder) }) // what is left over is in the system's folder for that
	}
	if b.program == "" && b.profile == "" {
		t.Logf("building the standalone")
		b.program = filepath.Join(b.folder, "standalone")
		run.Must(t, process.Build(t.Context(), map[string]string{b.program: standalone}), "build the system")
	}
	b.program, err = filepath.Abs(b.program)
	run.Must(t, err, "find the standalone")
	b.receiver = startReceivers(t, b.receiverHosts(), b.hangingHosts(), b.folder)
	b.raw = newRawLoop(b.receiverHosts())
	t.Cleanup(b.raw.close)
	b.endpoints, err = newEndpoints(b.plan, b.receiver.introduction)
	run.Must(t, err, "make the endpoints")
	b.one = newLoad("one", "one endpoint", b.endpoints.one)
	b.many = newLoad("many", fmt.Sprintf("%d endpoints", len(b.endpoints.many)), b.endpoints.many)
	b.bursting = newLoad("burst", fmt.Sprintf("%d endpoints", burstEndpoints), b.endpoints.bursting)
	b.large = newLoad("large", fmt.Sprintf("1 MB bodies, %d endpoints", len(b.endpoints.large)), b.endpoints.large)
	b.large.tried, b.large.unacknowledged = []int{4, 8, 16, 32}, unacknowledgedLarge
}

// newLoad returns a load of which each event goes to one webhook.
func newLoad(key, title string, targets []target) *load {
	return &load{
		key: key, title: title, targets: targets, webhooks: 1, tried: []int{16, 32, 64, 128}, unacknowledged: unacknowledged,
	}
}

// prepare does what all rounds need once.
func (b *bench) prepare(t run.T) {
	if b.wants(throughputScenario) {
		b.calibrate(t, min(b.events, calibration), b.one, b.many)
	}
	if b.wants(burstScenario) {
		b.calibrate(t, min(b.burstEvents, calibration), b.bursting)
	}
	if b.wants(largeScenario) {
		b.calibrate(t, b.largeEvents, b.large)
	}
	if b.wants(throughputScenario, latencyScenario, hangingScenario, burstScenario, floodScenario, fanoutScenario, largeScenario,
		replayScenario) {
		run.Together(t, b.seed)
	}
}

// calibrate finds out how many POSTs at once the raw loop is fastest with: the
// machine's limit must not look lower than it is.
func (b *bench) calibrate(t run.T, events int, loads ...*load) {
	for _, each := range loads {
		best := 0.0
		for _, concurrency := range each.tried {
			tried := *each
			tried.concurrency = concurrency
			m := b.post(t, &tried, events)
			t.Logf("raw loop, %s, %d at once: %.0f/s", each.title, concurrency, m.rate)
			if m.rate > best {
				best, each.concurrency = m.rate, concurrency
			}
		}
	}
}

// seed registers every endpoint, once for all rounds: the embedded database takes
// its time for a thousand of them.
func (b *bench) seed(t run.T) {
	s := b.startSystem(t, filepath.Join(b.folder, "seed"), nil)
	started := time.Now()
	targets := b.registered(b.plan)
	s.register(t, targets)
	t.Logf("%d webhooks registered in %s", len(targets), time.Since(started).Round(time.Millisecond))
}
