package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/dembrane/webhooks/pkg/topology"
)

// errBroken says that something was lost or wrong. The table is printed all the
// same.
var errBroken = errors.New("a promise was broken")

// campaign is one run of everything.
type campaign struct {
	plan     plan
	folder   string
	programs programs
	ledger   *ledger
	ports    ports
	progress io.Writer
}

// harm does everything, prints the table and writes the file.
func harm(ctx context.Context, p plan, stdout, progress io.Writer) (err error) {
	began := time.Now()
	c := &campaign{plan: p, progress: progress, ports: ports{taken: map[int]bool{}}}
	if c.folder, err = os.MkdirTemp("", "webhooks-chaos-"); err != nil {
		return fmt.Errorf("make a temporary folder: %w", err)
	}
	defer func() {
		if p.keep {
			c.say("everything stays in %s", c.folder)
		} else {
			_ = os.RemoveAll(c.folder) // what is left over is in the system's folder for that
		}
	}()
	c.say("seed %d", p.seed)
	if c.programs, err = build(ctx, p, c.folder); err != nil {
		return err
	}
	if c.ledger, err = openLedger(ctx); err != nil {
		return err
	}
	rows, err := c.all(ctx)
	err = errors.Join(err, c.ledger.close())
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	wrong, examples := c.ledger.wrongs()
	r := report{
		StartedAt: began.UTC(), Took: time.Since(began).Round(time.Second).String(), Seed: strconv.FormatUint(p.seed, 10),
		Rate: p.rate, AckWait: p.ackWait.String(), Rows: rows, Wrong: wrong, Examples: examples,
	}
	return errors.Join(err, r.print(stdout), r.save(p.out), r.verdict())
}

// all plays every scene that is wanted, one after the other: side by side, they
// would take each other's processors, and what takes longer than the shortened ack
// wait comes again and again.
func (c *campaign) all(ctx context.Context) (rows []*row, _ error) {
	for _, one := range scenes() {
		if len(c.plan.only) > 0 {
			one.faults = slices.DeleteFunc(one.faults, func(f fault) bool { return !slices.Contains(c.plan.only, f.key) })
		}
		if len(one.faults) == 0 {
			continue
		}
		played, err := c.play(ctx, one)
		rows = append(rows, played...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// play lets the faults of a scene strike its stack.
func (c *campaign) play(ctx context.Context, one scene) ([]*row, error) {
	s, err := startStack(ctx, parts{
		plan: c.plan, programs: c.programs, ledger: c.ledger, ports: &c.ports, scene: one,
		folder: filepath.Join(c.folder, one.name),
	})
	var rows []*row
	if err == nil {
		rows, err = c.on(ctx, s)
	}
	return rows, errors.Join(err, s.stop(ctx))
}

// on lets faults strike a stack, and then compares what was delivered with what
// is in the delivery log.
func (c *campaign) on(ctx context.Context, s *stack) (rows []*row, _ error) {
	for _, f := range s.scene.faults {
		r := &row{Key: f.key, Fault: f.title, book: c.ledger.open(f.key)}
		rows = append(rows, r)
		err := c.inflict(ctx, s, f, r)
		r.close()
		if err != nil {
			return rows, fmt.Errorf("%s: given up, so that what was owed at that moment counts as lost: %w", f.title, err)
		}
		c.say("%s: %d events, %d deliveries, %d duplicates, recovered in %s", f.title, r.Acknowledged, r.Delivered, r.Duplicates, r.seconds())
	}
	endings, err := c.settled(ctx, s)
	if err != nil {
		return rows, err
	}
	for _, r := range rows {
		r.close() // what came twice may have come late
		r.compare(endings)
	}
	return rows, nil
}

// inflict lets one fault strike over and over while events are published.
func (c *campaign) inflict(ctx context.Context, s *stack, f fault, r *row) (err error) {
	for _, d := range s.dispatchers[1:f.dispatchers] {
		if err := d.launch(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.stop()) }()
	}
	random := rand.New(rand.NewPCG(c.plan.seed, uint64(slices.Index(faultKeys(), f.key)))) //nolint:gosec // moments, not secrets
	publishing := startLoad(ctx, s, r.book)
	defer publishing.stop()
	if err := c.await(ctx, r.book.since()); err != nil {
		return fmt.Errorf("deliver before any harm: %w", err)
	}
	rounds := c.plan.rounds
	if f.once {
		rounds = 1
	}
	for n := range rounds {
		x := &strike{stack: s, fault: f, book: r.book, number: n, random: random}
		if err := c.strike(ctx, x, r); err != nil {
			return fmt.Errorf("strike %d %s: %w", n+1, x.note, err)
		}
	}
	publishing.stop()
	if problem := publishing.problem.Load(); problem != nil {
		c.say("%s: %d events were not acknowledged, the last one: %v", f.title, publishing.refused.Load(), *problem)
	}
	if err := c.await(ctx, r.book.rest()); err != nil {
		return fmt.Errorf("deliver the rest: %w", err)
	}
	return nil
}

// strike lets a fault strike once and waits until all is well again.
func (c *campaign) strike(ctx context.Context, x *strike, r *row) error {
	if err := pause(ctx, x.moment(200*time.Millisecond, 1500*time.Millisecond)); err != nil {
		return err
	}
	if err := x.fault.strike(ctx, x); err != nil {
		return err
	}
	patient, cancel := context.WithTimeoutCause(ctx, c.plan.patience+x.patience, errPatience)
	defer cancel()
	delivered := x.book.since()
	recovered := x.ended
	if x.recovered != nil {
		if err := until(patient, func() error { return x.recovered(patient) }); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		recovered = time.Now()
	}
	if err := wait(patient, delivered); err != nil {
		return fmt.Errorf("deliver what was owed, of which %d are missing: %w", x.book.missing(), err)
	}
	if delivered.at.After(recovered) {
		recovered = delivered.at
	}
	r.strike(x, recovered.Sub(x.ended))
	if x.afterwards != nil {
		if err := x.afterwards(ctx); err != nil {
			return fmt.Errorf("put back: %w", err)
		}
	}
	return x.check()
}

var errPatience = errors.New("it takes too long")

// await waits for a watch as long as a recovery may take.
func (c *campaign) await(ctx context.Context, w *watch) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.plan.patience, errPatience)
	defer cancel()
	return wait(ctx, w)
}

func wait(ctx context.Context, w *watch) error {
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// settled waits until nothing is owed, nothing is unsettled and every record has
// been written, and returns how each delivery ended according to the log.
func (c *campaign) settled(ctx context.Context, s *stack) (map[string]string, error) {
	const most = 10 * time.Minute
	patient, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("not settled after %s", most))
	defer cancel()
	err := until(patient, func() error {
		for _, one := range consumptions() {
			info, err := s.consumer(patient, one)
			if err != nil {
				return err
			}
			if left := info.NumAckPending + int(info.NumPending); left > 0 { //nolint:gosec // far below
				return fmt.Errorf("%d messages of %s are not settled", left, one.consumer)
			}
		}
		for _, name := range []string{topology.StreamDeliveries, topology.StreamRanges, topology.StreamAttempts} {
			info, err := s.stream(patient, name)
			if err != nil {
				return err
			}
			if info.State.Msgs > 0 {
				return fmt.Errorf("%d messages are left on %s", info.State.Msgs, name)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("wait until everything is settled: %w", err)
	}
	return s.log.endings(ctx)
}

func (c *campaign) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.progress, time.Now().Format("15:04:05 ")+format+"\n", args...) // progress is for people only
}
