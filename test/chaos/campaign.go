package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/dembrane/webhooks/test/internal/ledger"
	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/receiver"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// mostHooks is how many webhooks an event goes to at most.
	mostHooks = backlogHooks
	// settlePatience is how long everything may take to be settled in the end.
	settlePatience = 10 * time.Minute
)

var (
	// errBroken says that something was lost or wrong. The table is printed all the
	// same.
	errBroken   = errors.New("a promise was broken")
	errPatience = errors.New("it takes too long")
)

// campaign is one run of everything.
type campaign struct {
	plan     plan
	folder   string
	programs programs
	ledger   *ledger.Ledger
	receiver *receiver.Receiver
	refusal  receiver.Refusal
	ports    process.Ports
	rows     []*row
}

// harm does everything, prints the table and writes the file.
func harm(ctx context.Context, p plan, stdout, progress io.Writer) error {
	began := time.Now()
	c := &campaign{plan: p, ledger: ledger.New(), ports: process.Ports{}}
	err := run.Program(ctx, progress, c.all)
	if err != nil {
		err = fmt.Errorf("given up, so that what was owed at that moment counts as lost: %w", err)
	}
	wrong, examples := c.ledger.Wrongs()
	r := report{
		StartedAt: began.UTC(), Took: time.Since(began).Round(time.Second).String(), Seed: strconv.FormatUint(p.seed, 10),
		Rate: p.rate, AckWait: p.ackWait.String(), Rows: c.rows, Wrong: wrong, Examples: examples,
	}
	return errors.Join(err, r.print(stdout), run.Save(p.out, r), r.verdict())
}

// all plays every scene that is wanted, one after the other: side by side, they
// would take each other's processors, and what takes longer than the shortened ack
// wait comes again and again.
func (c *campaign) all(t run.T) {
	folder, err := os.MkdirTemp("", "webhooks-chaos-")
	run.Must(t, err, "make a temporary folder")
	c.folder = folder
	if c.plan.keep {
		t.Logf("everything stays in %s", folder)
	} else {
		t.Cleanup(func() { _ = os.RemoveAll(folder) }) // what is left over is in the system's folder for that
	}
	t.Logf("seed %d", c.plan.seed)
	c.build(t)
	c.receiver = receiver.Start(t, c.ledger)
	for _, one := range scenes() {
		one.faults = slices.DeleteFunc(one.faults, func(f fault) bool { return !c.plan.plays(f) })
		if len(one.faults) > 0 {
			run.Together(t, func(t run.T) { c.play(t, one) })
		}
	}
}

// play lets the faults of a scene strike its stack, and then compares what was
// delivered with what is in the delivery log.
func (c *campaign) play(t run.T, one scene) {
	s := startStack(t, c, one)
	began := len(c.rows)
	for _, f := range one.faults {
		r := &row{Key: f.key, Fault: f.title, crash: f.crash, book: c.ledger.Open(f.key, mostHooks)}
		c.rows = append(c.rows, r)
		t.Cleanup(r.close) // what came twice may have come late
		run.Together(t, func(t run.T) { c.inflict(t, s, f, r) })
		r.close()
		t.Logf("%s: %d events, %d deliveries, %d duplicates, recovered in %s", f.title, r.Acknowledged, r.Delivered, r.Duplicates, r.seconds())
	}
	run.Until(t, settlePatience, "everything is settled", s.Recorded)
	endings, err := s.Endings(t.Context())
	run.Must(t, err, "look up how deliveries ended")
	for _, r := range c.rows[began:] {
		r.compare(endings)
	}
}

// inflict lets one fault strike over and over while events are published.
func (c *campaign) inflict(t run.T, s *stack, f fault, r *row) {
	for _, d := range s.dispatchers[1:f.dispatchers] {
		run.Must(t, d.Launch(t.Context()), "start another dispatcher")
		t.Cleanup(func() { run.Must(t, d.Stop(), "stop the other dispatcher") })
	}
	random := rand.New(rand.NewPCG(c.plan.seed, uint64(slices.Index(faultKeys(), f.key)))) //nolint:gosec // moments, not secrets
	s.pacer = s.load(t, r.book)
	c.await(t, r.book.Since(), "deliver before any harm")
	rounds := max(c.plan.rounds, f.least)
	if f.once || c.plan.quick {
		rounds = 1
	}
	for n := range rounds {
		c.strike(t, &strike{stack: s, fault: f, book: r.book, number: n, random: random}, r)
	}
	s.pacer.stop()
	c.await(t, r.book.Rest(), "deliver the rest")
}

// strike lets a fault strike once and waits until all is well again.
func (c *campaign) strike(t run.T, x *strike, r *row) {
	run.Pause(t, x.moment(200*time.Millisecond, 1500*time.Millisecond))
	x.fault.strike(t, x)
	patient, cancel := context.WithTimeoutCause(t.Context(), c.plan.patience+x.patience, errPatience)
	defer cancel()
	delivered := x.book.Since()
	recovered := x.ended
	if x.recovered != nil {
		run.Must(t, run.Poll(patient, x.recovered), "strike %d %s: recover", x.number+1, x.note)
		recovered = time.Now()
	}
	run.Must(t, delivered.Wait(patient), "strike %d %s: deliver what was owed, of which %d are missing", x.number+1, x.note, x.book.Missing())
	if delivered.At.After(recovered) {
		recovered = delivered.At
	}
	if x.afterwards != nil {
		x.afterwards(t)
	}
	r.strike(x, recovered.Sub(x.ended))
	for _, one := range x.processes() {
		run.Must(t, one.Check(), "strike %d %s", x.number+1, x.note)
	}
}

// await waits for a watch as long as a recovery may take.
func (c *campaign) await(t run.T, w *ledger.Watch, doing string) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), c.plan.patience, errPatience)
	defer cancel()
	run.Must(t, w.Wait(ctx), "%s", doing)
}
