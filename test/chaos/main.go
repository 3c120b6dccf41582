// Chaos proves that nothing is lost, whatever dies.
//
// It starts the real programs (api, dispatcher, nats-server, and a database that
// speaks MongoDB's protocol), each in a process of its own, publishes events all
// the time, and does them harm over and over at random moments: processes are
// killed, stopped and restarted, storage is wiped. A receiver in this process,
// which survives everything, keeps a ledger of every POST. In the end every event
// whose publish was acknowledged must have reached every webhook that wants it,
// and every delivery must be in the delivery log.
//
//	go run ./test/chaos              # the better part of an hour: the table, and bench/out/chaos.json
//	go run ./test/chaos -quick       # three minutes: most faults once and briefly
//	go run ./test/chaos -only broker # one fault
//
// docs/faults.md explains the faults and the table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// roleDatabase is the role in which this program is started a second time.
const roleDatabase = "database"

// plan is what the command line says.
type plan struct {
	rounds   int
	rate     int
	ackWait  time.Duration
	outage   time.Duration
	patience time.Duration
	seed     uint64
	only     []string
	out      string
	pending  int
	programs string
	logLevel string
	timeout  time.Duration
	keep     bool
	quick    bool

	role   string
	listen string
	data   string
}

func main() { os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if p.role == roleDatabase {
		err = serveDatabase(ctx, p.listen, p.data, stderr)
	} else {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, p.timeout, fmt.Errorf("not finished within %s", p.timeout))
		defer stop()
		err = harm(ctx, p, stdout, stderr)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "chaos:", err) // nobody is left to tell
		return 1
	}
	return 0
}

// parse reads the command line; what is wrong with it has been said on stderr.
func parse(args []string, stderr io.Writer) (plan, error) {
	var p plan
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&p.rounds, "rounds", 6, "how often each fault strikes")
	flags.IntVar(&p.rate, "rate", 150, "events published a second")
	flags.DurationVar(&p.ackWait, "ack-wait", 3*time.Second, "how long JetStream waits before it gives a message again; 0 leaves what the dispatcher asks for, half a minute")
	flags.DurationVar(&p.outage, "outage", time.Minute, "how long the database is away the first time")
	flags.DurationVar(&p.patience, "patience", 2*time.Minute, "how long a recovery may take")
	flags.Uint64Var(&p.seed, "seed", 0, "seed of the random moments; 0 takes another one every time")
	flags.StringVar(&p.out, "out", filepath.Join("bench", "out", "chaos.json"), "where the table is written as JSON")
	flags.IntVar(&p.pending, "pending", 300_000, "how many deliveries the backlog consists of")
	flags.StringVar(&p.programs, "programs", "", "use api and dispatcher from this folder instead of building them")
	flags.StringVar(&p.logLevel, "log-level", "warn", "what the programs log: debug, info, warn or error")
	flags.DurationVar(&p.timeout, "timeout", time.Hour, "give up after this long")
	flags.BoolVar(&p.keep, "keep", false, "leave the temporary folder with logs and data behind, and say where it is")
	flags.StringVar(&p.role, "role", "", "for the program's own use")
	flags.StringVar(&p.listen, "listen", "", "for the program's own use")
	flags.StringVar(&p.data, "data", "", "for the program's own use")
	only := flags.String("only", "", "only these faults, separated by commas: "+strings.Join(faultKeys(), ", "))
	flags.BoolVar(&p.quick, "quick", false, "once and briefly, and unless -only names them without those that take long")
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	if p.quick {
		p.rounds, p.outage, p.pending = 1, 3*time.Second, 3000
	}
	if *only != "" {
		p.only = strings.Split(*only, ",")
	}
	if p.seed == 0 {
		p.seed = rand.Uint64() //nolint:gosec // moments, not secrets
	}
	return p, p.check(stderr)
}

func (p plan) check(stderr io.Writer) error {
	var err error
	switch {
	case p.rounds < 1 || p.rate < 1 || p.rate > 10_000:
		err = errors.New("rounds must be at least 1, rate 1 to 10000")
	case p.ackWait != 0 && p.ackWait < time.Second:
		err = errors.New("ack-wait must be at least 1s, or 0")
	case p.pending < 1 || p.pending > 5_000_000:
		err = errors.New("pending must be 1 to 5000000")
	case p.outage <= 0 || p.patience <= 0 || p.timeout <= 0:
		err = errors.New("outage, patience and timeout must be more than 0")
	}
	for _, key := range p.only {
		if !slices.Contains(faultKeys(), key) {
			err = fmt.Errorf("there is no fault %q; there are %s", key, strings.Join(faultKeys(), ", "))
		}
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "chaos:", err) // nobody is left to tell
	}
	return err
}

// plays reports whether a fault strikes.
func (p plan) plays(f fault) bool {
	if len(p.only) > 0 {
		return slices.Contains(p.only, f.key)
	}
	return !f.long || !p.quick
}
