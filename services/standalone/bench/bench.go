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

// scenario is over how many endpoints events are spread.
type scenario struct {
	key         string
	title       string
	targets     []target
	concurrency int // of the raw loop
}

// bench is one run of the whole benchmark.
type bench struct {
	plan
	progress  io.Writer
	folder    string
	receiver  *receiver
	raw       *rawLoop
	scenarios []*scenario
	figures   figures
	lost      int
}

// measure does everything, prints the table and writes the file.
func measure(ctx context.Context, o plan, stdout, progress io.Writer) error {
	started, load := time.Now(), thisMachine()
	folder, remove, err := o.workFolder(progress)
	if err != nil {
		return err
	}
	defer remove()
	program := o.program
	if program == "" {
		_, _ = fmt.Fprintln(progress, "building the standalone") // progress is for people only
		if program, err = buildSystem(ctx, folder); err != nil {
			return err
		}
	} else if program, err = filepath.Abs(program); err != nil {
		return fmt.Errorf("find the standalone: %w", err)
	}
	b, err := newBench(ctx, o, folder, progress)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.calibrate(ctx); err != nil {
		return err
	}
	if err := b.seed(ctx, program); err != nil {
		return err
	}
	for round := range o.rounds {
		if err := b.round(ctx, round, program); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	if err := b.figures.write(stdout); err != nil {
		return err
	}
	err = results{
		StartedAt: started.UTC(), Took: time.Since(started).Round(time.Second).String(), Machine: load,
		Options: o.describe(), Lost: b.lost, Figures: b.figures.results(),
	}.save(o.out)
	if b.lost > 0 {
		return errors.Join(fmt.Errorf("%w: %d", errLost, b.lost), err)
	}
	return err
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

func (o plan) describe() map[string]any {
	return map[string]any{
		"events": o.events, "rounds": o.rounds, "endpoints": o.hosts, "rate": o.rate, "calm": o.calm.String(),
		"encoding": o.encoding, "settings": o.settings.String(), "body_bytes": bodyBytes,
	}
}

// newBench starts the receiver and makes the scenarios. The caller closes it.
func newBench(ctx context.Context, o plan, folder string, progress io.Writer) (*bench, error) {
	b := &bench{plan: o, progress: progress, folder: folder, raw: newRawLoop(o.hosts)}
	var err error
	if b.receiver, err = startReceiver(ctx, o.hosts+1, folder); err != nil {
		return nil, err
	}
	one := &scenario{key: "one", title: "one endpoint"}
	many := &scenario{key: "many", title: fmt.Sprintf("%d endpoints", o.hosts)}
	for i, url := range b.receiver.Targets {
		t, err := newTarget(fmt.Sprintf("bench-%05d", i), url, o.encoding)
		if err != nil {
			b.close()
			return nil, err
		}
		if i == 0 {
			one.targets = append(one.targets, t)
		} else {
			many.targets = append(many.targets, t)
		}
	}
	b.scenarios = []*scenario{one, many}
	return b, nil
}

func (b *bench) close() {
	b.raw.close()
	b.receiver.stop()
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.progress, time.Now().Format("15:04:05 ")+format+"\n", args...) // progress is for people only
}

// allTargets is every endpoint.
func (b *bench) allTargets() []target {
	var all []target
	for _, s := range b.scenarios {
		all = append(all, s.targets...)
	}
	return all
}

// calibrate finds out how many POSTs at once the raw loop is fastest with: the
// machine's limit must not look lower than it is.
func (b *bench) calibrate(ctx context.Context) error {
	for _, s := range b.scenarios {
		best := 0.0
		for _, concurrency := range []int{16, 32, 64, 128} {
			tried := *s
			tried.concurrency = concurrency
			m, err := b.post(ctx, &tried, min(b.events, calibration))
			if err != nil {
				return fmt.Errorf("calibrate the raw loop: %w", err)
			}
			b.say("raw loop, %s, %d at once: %.0f/s", s.title, concurrency, m.rate)
			if m.rate > best {
				best, s.concurrency = m.rate, concurrency
			}
		}
	}
	return nil
}

// seed registers every endpoint, once for all rounds: with a thousand of them the
// embedded database takes a minute for it.
func (b *bench) seed(ctx context.Context, program string) error {
	s, err := startSystem(ctx, b.plan, program, filepath.Join(b.folder, "seed"))
	if err != nil {
		return err
	}
	defer s.stop()
	targets := b.allTargets()
	started := time.Now()
	if err := s.register(ctx, targets); err != nil {
		return err
	}
	b.say("%d webhooks registered in %s", len(targets), time.Since(started).Round(time.Millisecond))
	return nil
}

// round measures everything once, on a system with no past but its registrations. What is compared is
// measured one after the other, in another order every round, so that a machine
// that grows warm or busy favours neither.
func (b *bench) round(ctx context.Context, round int, program string) error {
	folder := filepath.Join(b.folder, fmt.Sprintf("round-%d", round))
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(b.folder, "seed"))); err != nil {
		return fmt.Errorf("copy the registrations: %w", err)
	}
	s, err := startSystem(ctx, b.plan, program, folder)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := b.warmUp(ctx, s); err != nil {
		return err
	}
	rawFirst := round%2 == 0
	for _, each := range b.scenarios {
		if err := b.throughput(ctx, s, each, rawFirst); err != nil {
			return fmt.Errorf("measure throughput with %s: %w", each.title, err)
		}
	}
	if err := b.latency(ctx, s, rawFirst); err != nil {
		return fmt.Errorf("measure latency: %w", err)
	}
	return nil
}

// warmUp sees one event arrive at each endpoint.
func (b *bench) warmUp(ctx context.Context, s *system) error {
	targets := b.allTargets()
	for range warmUpTries {
		phase, err := b.receiver.begin(ctx, len(targets))
		if err != nil {
			return err
		}
		if err := s.flood(ctx, phase, len(targets), targets); err != nil {
			return err
		}
		r, err := b.receiver.report(ctx, warmUpWait)
		if err != nil {
			return err
		}
		if r.Distinct == len(targets) {
			_, err = s.recorded(ctx)
			return err
		}
		b.say("%d of %d webhooks are in force", r.Distinct, len(targets))
	}
	return errors.New("not every webhook came into force")
}
