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
	progress io.Writer
	folder   string
	programs programs
	ledger   *ledger
	rows     []*row
}

// harm does everything, prints the table and writes the file.
func harm(ctx context.Context, p plan, stdout, progress io.Writer) (err error) {
	began := time.Now()
	c := &campaign{plan: p, progress: progress}
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
	err = errors.Join(c.all(ctx), c.ledger.close())
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	wrong, examples := c.ledger.wrongs()
	r := report{
		StartedAt: began.UTC(), Took: time.Since(began).Round(time.Second).String(), Seed: strconv.FormatUint(p.seed, 10),
		Rate: p.rate, AckWait: p.ackWait.String(), Rows: c.rows, Wrong: wrong, Examples: examples,
	}
	return errors.Join(err, r.print(stdout), r.save(p.out), r.verdict())
}

// all lets every fault strike, those on the same number of brokers one after the
// other on the same stack.
func (c *campaign) all(ctx context.Context) error {
	for _, servers := range []int{1, 3} {
		wanted := slices.DeleteFunc(faults(), func(f fault) bool {
			return f.servers != servers || len(c.plan.only) > 0 && !slices.Contains(c.plan.only, f.key)
		})
		if len(wanted) == 0 {
			continue
		}
		s, err := startStack(ctx, parts{
			plan: c.plan, programs: c.programs, ledger: c.ledger, servers: servers,
			folder: filepath.Join(c.folder, "stack-"+strconv.Itoa(servers)),
		})
		if err == nil {
			err = c.on(ctx, s, wanted)
		}
		if err := errors.Join(err, s.stop(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// on lets faults strike a stack, and then compares what was delivered with what
// is in the delivery log.
func (c *campaign) on(ctx context.Context, s *stack, wanted []fault) error {
	var mine []*row
	for _, f := range wanted {
		r := &row{Key: f.key, Fault: f.title, book: c.ledger.open(f.key)}
		c.rows, mine = append(c.rows, r), append(mine, r)
		err := c.inflict(ctx, s, f, r)
		r.close()
		if err != nil {
			return fmt.Errorf("%s: given up, so that what was owed at that moment counts as lost: %w", f.title, err)
		}
		c.say("%s: %d events, %d deliveries, %d duplicates, recovered in %s", f.title, r.Acknowledged, r.Delivered, r.Duplicates, r.seconds())
	}
	endings, err := c.settled(ctx, s)
	if err != nil {
		return err
	}
	for _, r := range mine {
		r.close() // what came twice may have come late
		r.compare(endings)
	}
	return nil
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
	for n := range c.plan.rounds {
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
	delivered := x.book.since()
	recovered := x.ended
	if x.recovered != nil {
		patient, cancel := context.WithTimeoutCause(ctx, c.plan.patience, errPatience)
		defer cancel()
		if err := until(patient, func() error { return x.recovered(patient) }); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		recovered = time.Now()
	}
	if err := c.await(ctx, delivered); err != nil {
		return fmt.Errorf("deliver what was owed, of which %d are missing: %w", x.book.missing(), err)
	}
	if delivered.at.After(recovered) {
		recovered = delivered.at
	}
	r.strike(x, recovered.Sub(x.ended))
	if x.mend != nil {
		if err := x.mend(ctx); err != nil {
			return fmt.Errorf("mend: %w", err)
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
		intake, err := s.consumer(patient, consumptions()[0])
		if err != nil {
			return err
		}
		if left := intake.NumAckPending + int(intake.NumPending); left > 0 { //nolint:gosec // far below
			return fmt.Errorf("%d events are not settled", left)
		}
		for _, name := range []string{topology.StreamDeliveries, topology.StreamAttempts} {
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
