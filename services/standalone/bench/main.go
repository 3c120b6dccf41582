// Bench measures the whole system beside the raw limit of the machine it runs on.
//
// One number of deliveries a second says more about the machine than about the
// program. So every figure stands beside a bare loop of signed POSTs to the same
// receiver, measured in the same round, and what counts is the ratio of the two.
//
// The receiver and the system run in processes of their own; this process
// publishes, or posts, and asks the receiver what arrived when. Everything stays
// on the loopback interface and in a temporary folder.
//
//	go run ./services/standalone/bench            # the table, and bench/out/results.json
//	go run ./services/standalone/bench -quick     # a minute, to see that it works
//	go run ./services/standalone/bench -profile d # where the CPU time goes
//
// docs/benchmarks.md explains the figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dembrane/webhooks/pkg/event"
)

// roleReceiver is the role in which this program starts itself a second time.
const roleReceiver = "receiver"

// plan is what the command line says.
type plan struct {
	events   int
	rounds   int
	hosts    int
	rate     int
	calm     time.Duration
	encoding string
	program  string
	out      string
	profile  string
	timeout  time.Duration
	settings settings
	keep     bool
	role     string
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ctx, stop := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not finished within %s", o.timeout))
	defer stop()
	switch {
	case o.role == roleReceiver:
		err = serveReceiver(ctx, o.hosts, os.Stdin, stdout)
	case o.profile != "":
		err = profile(ctx, o, stderr)
	default:
		err = measure(ctx, o, stdout, stderr)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "bench:", err) // nobody is left to tell
		return 1
	}
	return 0
}

// parse reads the command line; what is wrong with it has been said on stderr.
func parse(args []string, stderr io.Writer) (plan, error) {
	var o plan
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.events, "events", 50_000, "events of a throughput measurement")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds; the table shows their least, median and greatest")
	flags.IntVar(&o.hosts, "endpoints", 1000, "endpoints of the measurement with many")
	flags.IntVar(&o.rate, "rate", 200, "events a second of the latency measurement")
	flags.DurationVar(&o.calm, "calm", 10*time.Second, "how long the latency measurement lasts")
	flags.StringVar(&o.encoding, "encoding", event.JSON, "content type in which events are published: "+event.JSON+" or "+event.Protobuf)
	flags.StringVar(&o.program, "standalone", "", "measure this program instead of building ./services/standalone")
	flags.StringVar(&o.out, "out", filepath.Join("bench", "out", "results.json"), "where the figures are written as JSON")
	flags.StringVar(&o.profile, "profile", "", "measure nothing: run the system in this process and write its profiles to this folder")
	flags.DurationVar(&o.timeout, "timeout", 45*time.Minute, "give up after this long")
	flags.Var(&o.settings, "set", "give the system another setting, NAME=value; may be repeated")
	flags.BoolVar(&o.keep, "keep", false, "leave the temporary folder with logs and data behind, and say where it is")
	flags.StringVar(&o.role, "role", "", "for the program's own use")
	quick := flags.Bool("quick", false, "one short round: 5000 events, 100 endpoints, 2 s")
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	if *quick {
		o.events, o.rounds, o.hosts, o.calm = 5000, 1, 100, 2*time.Second
	}
	return o, o.check(stderr)
}

func (o plan) check(stderr io.Writer) error {
	var err error
	switch {
	case o.events < 1 || o.rounds < 1 || o.rate < 1 || o.calm <= 0:
		err = errors.New("events, rounds, rate and calm must be more than 0")
	case o.hosts < 1 || o.hosts > maxHosts:
		err = fmt.Errorf("endpoints must be 1 to %d", maxHosts)
	case o.encoding != event.JSON && o.encoding != event.Protobuf:
		err = fmt.Errorf("encoding must be %s or %s", event.JSON, event.Protobuf)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "bench:", err) // nobody is left to tell
	}
	return err
}

// settings is what the system is told beside what the benchmark decides, each as
// NAME=value.
type settings []string

// String implements [flag.Value].
func (s *settings) String() string { return strings.Join(*s, " ") }

// Set implements [flag.Value].
func (s *settings) Set(text string) error {
	if name, _, found := strings.Cut(text, "="); !found || name == "" {
		return errors.New("must be NAME=value")
	}
	*s = append(*s, text)
	return nil
}

// environment is what the system is told, with its data in folder: to take
// loopback for the world, to listen on free ports, and to log as in production.
// A later value wins.
func (o plan) environment(folder string) []string {
	return append([]string{
		"API_ADDR=127.0.0.1:0", "API_RATE_PER_SECOND=0", "NATS_ADDR=127.0.0.1:0", "DATA_DIR=" + filepath.Join(folder, "data"),
		"ALLOW_CIDRS=127.0.0.0/8", "ADMIN_BASE_URL=" + dashboard, "LOG_LEVEL=info",
	}, o.settings...)
}
