// Bench measures the whole system beside the raw limit of the machine it runs on.
//
// One number of deliveries a second says more about the machine than about the
// program. So every figure stands beside another one of the same round: a bare loop
// of signed POSTs to the same receiver, or the same measurement without what is
// supposed to disturb it. What counts is the ratio of the two.
//
// The receiver and the system run in processes of their own; this process
// publishes, or posts, and asks the receiver what arrived when. Everything stays
// on the loopback interface and in a temporary folder.
//
//	go run ./test/bench                      # the table, and bench/out/results.json
//	go run ./test/bench -quick               # a minute, to see that it works
//	go run ./test/bench -only hanging,flood  # some scenarios
//	go run ./test/bench -profile d           # where the CPU time goes
//
// The scenarios, each in a file of its own:
//
//	throughput.go     one endpoint, and many: beside the raw loop
//	latency.go        one event after the other: beside the raw loop
//	hanging.go        a fifth of the endpoints hangs: beside the same without them
//	burst.go          many events at once to a few: beside the raw loop
//	flooded.go        one endpoint is flooded: the others beside their calm
//	fanout.go         one event to 50 webhooks: beside one to one
//	large.go          bodies of 1 MB: beside the raw loop
//	registrations.go  a dispatcher with 100,000 webhooks: beside one with 100
//	log.go            a delivery log of 100,000 attempts: what its host waits for
//	replay.go         100,000 events replayed: live events beside their calm
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
	"syscall"
)

// The roles in which this program starts itself another time.
const (
	roleReceiver   = "receiver"
	roleDispatcher = "dispatcher"
)

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

func execute(args []string, stdout, stderr io.Writer) int {
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
		err = serveReceivers(ctx, o, stdout)
	case o.role == roleDispatcher:
		err = serveDispatcher(ctx, stdout, stderr)
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
