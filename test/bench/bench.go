package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

const (
	// calibration is how many events the raw loop posts to choose its concurrency.
	calibration = 10_000
	// warmUpTries is how often registrations are looked for at the receiver.
	warmUpTries = 10
	// warmUpWait is how long each time.
	warmUpWait = 3 * time.Second
)

// errLost says that an event was published and not received. The table is printed
// all the same.
var errLost = errors.New("events were lost")

// bench is one run of the whole benchmark.
type bench struct {
	plan
	endpoints
	progress io.Writer
	folder   string
	receiver *receiver
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
	folder, remove, err := o.workFolder(progress)
	if err != nil {
		return err
	}
	defer remove()
	if o.program, err = o.systemProgram(ctx, folder, progress); err != nil {
		return err
	}
	b, err := newBench(ctx, o, folder, progress)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	for ; b.round < o.rounds; b.round++ {
		if err := b.measureRound(ctx); err != nil {
			return fmt.Errorf("round %d: %w", b.round+1, err)
		}
	}
	if err := errors.Join(b.figures.write(stdout), b.figures.writeSummary(stdout)); err != nil {
		return err
	}
	err = results{
		StartedAt: started.UTC(), Took: time.Since(started).Round(time.Second).String(), Machine: load,
		Options: o.describe(), Lost: b.lost, Summary: b.figures.summary(), Figures: b.figures.results(),
	}.save(o.out)
	if b.lost > 0 {
		return errors.Join(fmt.Errorf("%w: %d", errLost, b.lost), err)
	}
	return err
}

// systemProgram is the program to measure, built unless it was given.
func (o plan) systemProgram(ctx context.Context, folder string, progress io.Writer) (string, error) {
	if o.program == "" {
		_, _ = fmt.Fprintln(progress, "building the standalone") // progress is for people only
		return buildSystem(ctx, folder)
	}
	program, err := filepath.Abs(o.program)
	if err != nil {
		return "", fmt.Errorf("find the standalone: %w", err)
	}
	return program, nil
}

// workFolder makes the folder for everything that a run leaves behind.
func (o plan) workFolder(progress io.Writer) (folder string, remove func(), _ error) {
	folder, err := os.MkdirTemp("", "webhooks-bench-")
	if err != nil {
		return "", nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	if o.keep {
		_, _ = fmt.Fprintln(progress, "everything stays in", folder) // progress is for people only
		return folder, func() {}, nil
	}
	return folder, func() { _ = os.RemoveAll(folder) }, nil // what is left over is in the system's folder for that
}

// newBench starts the receiver and makes the endpoints. The caller closes it.
func newBench(ctx context.Context, o plan, folder string, progress io.Writer) (*bench, error) {
	b := &bench{plan: o, progress: progress, folder: folder, raw: newRawLoop(o.receiverHosts())}
	var err error
	if b.receiver, err = startReceiver(ctx, o.receiverHosts(), o.hangingHosts(), folder); err != nil {
		return nil, err
	}
	if b.endpoints, err = newEndpoints(o, b.receiver.introduction); err != nil {
		b.close()
		return nil, err
	}
	b.one = newLoad("one", "one endpoint", b.endpoints.one)
	b.many = newLoad("many", fmt.Sprintf("%d endpoints", len(b.endpoints.many)), b.endpoints.many)
	b.bursting = newLoad("burst", fmt.Sprintf("%d endpoints", burstEndpoints), b.endpoints.bursting)
	b.large = newLoad("large", fmt.Sprintf("1 MB bodies, %d endpoints", len(b.endpoints.large)), b.endpoints.large)
	b.large.tried, b.large.unacknowledged = []int{4, 8, 16, 32}, unacknowledgedLarge
	return b, nil
}

// newLoad returns a load of which each event goes to one webhook.
func newLoad(key, title string, targets []target) *load {
	return &load{
		key: key, title: title, targets: targets, webhooks: 1, tried: []int{16, 32, 64, 128}, unacknowledged: unacknowledged,
	}
}

func (b *bench) close() {
	b.raw.close()
	b.receiver.stop()
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.progress, time.Now().Format("15:04:05 ")+format+"\n", args...) // progress is for people only
}

// prepare does what all rounds need once.
func (b *bench) prepare(ctx context.Context) error {
	if b.wants(throughputScenario) {
		if err := b.calibrate(ctx, min(b.events, calibration), b.one, b.many); err != nil {
			return err
		}
	}
	if b.wants(burstScenario) {
		if err := b.calibrate(ctx, min(b.burstEvents, calibration), b.bursting); err != nil {
			return err
		}
	}
	if b.wants(largeScenario) {
		if err := b.calibrate(ctx, b.largeEvents, b.large); err != nil {
			return err
		}
	}
	if b.wants(throughputScenario, latencyScenario, hangingScenario, burstScenario, floodScenario, fanoutScenario, largeScenario) {
		return b.seed(ctx)
	}
	return nil
}

// calibrate finds out how many POSTs at once the raw loop is fastest with: the
// machine's limit must not look lower than it is.
func (b *bench) calibrate(ctx context.Context, events int, loads ...*load) error {
	for _, each := range loads {
		best := 0.0
		for _, concurrency := range each.tried {
			tried := *each
			tried.concurrency = concurrency
			m, err := b.post(ctx, &tried, events)
			if err != nil {
				return fmt.Errorf("calibrate the raw loop: %w", err)
			}
			b.say("raw loop, %s, %d at once: %.0f/s", each.title, concurrency, m.rate)
			if m.rate > best {
				best, each.concurrency = m.rate, concurrency
			}
		}
	}
	return nil
}

// seed registers every endpoint, once for all rounds: the embedded database takes
// its time for a thousand of them.
func (b *bench) seed(ctx context.Context) error {
	s, err := startSystem(ctx, b.plan, b.program, filepath.Join(b.folder, "seed"))
	if err != nil {
		return err
	}
	defer s.stop()
	targets := b.registered(b.plan)
	started := time.Now()
	if err := s.register(ctx, targets); err != nil {
		return err
	}
	b.say("%d webhooks registered in %s", len(targets), time.Since(started).Round(time.Millisecond))
	return nil
}
