// Powerloss counts what an acknowledgement is worth when the power fails.
//
// Killing a process proves little about a disk: what the process wrote is in the
// operating system's page cache and survives it. So nats-server runs in a virtual
// machine here, on a disk with a real file system (ext4). Events are published
// from outside with pkg/publisher, which says of each that it is safe. Then the
// machine is cut off: qemu gets SIGKILL, and with it goes the page cache. The
// machine boots again from its disk, and every event that was acknowledged must be
// in the stream.
//
//	make powerloss                                       # half an hour: the table
//	go run ./test/powerloss -only single-always          # one of the set-ups
//	go run ./test/powerloss -rounds 10 -keep             # more cuts; disks and consoles stay
//
// The disk itself loses nothing that was handed to it, as one with a protected
// cache. The processor is emulated in software, so this says what survives, and
// nothing about speed: `make bench` says what each setting costs.
//
// It needs qemu-system-x86_64, mke2fs and, once, Debian's package of the kernel
// (apt-get download); it says what is missing. No root: nothing is mounted here.
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
	"slices"
	"strings"
	"syscall"
	"time"
)

// plan is what the command line says.
type plan struct {
	rounds     int
	rate       int
	publishFor time.Duration
	only       []string
	cache      string
	keep       bool
	timeout    time.Duration
}

func main() { os.Exit(start(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

func start(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ctx, stop := context.WithTimeoutCause(ctx, p.timeout, fmt.Errorf("not finished within %s", p.timeout))
	defer stop()
	if err := measure(ctx, p, stdout, stderr); err != nil {
		_, _ = fmt.Fprintln(stderr, "powerloss:", err) // nobody is left to tell
		return 1
	}
	return 0
}

// parse reads the command line; what is wrong with it has been said on stderr.
func parse(args []string, stderr io.Writer) (plan, error) {
	var p plan
	flags := flag.NewFlagSet("powerloss", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&p.rounds, "rounds", 3, "how often each set-up is cut off")
	flags.IntVar(&p.rate, "rate", 50, "events published a second, at most")
	flags.DurationVar(&p.publishFor, "publish", 90*time.Second, "how long events are published before the cut, at most; at least half of it")
	flags.StringVar(&p.cache, "cache", filepath.Join("bin", "powerloss"), "where the kernel is kept")
	flags.BoolVar(&p.keep, "keep", false, "leave the temporary folder with disks and consoles behind, and say where it is")
	flags.DurationVar(&p.timeout, "timeout", time.Hour, "give up after this long")
	only := flags.String("only", "", "only these set-ups, separated by commas: "+strings.Join(setupNames(), ", "))
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	if *only != "" {
		p.only = strings.Split(*only, ",")
	}
	return p, p.check(stderr)
}

func (p plan) check(stderr io.Writer) error {
	var err error
	switch {
	case p.rounds < 1 || p.rate < 1 || p.rate > 10_000:
		err = errors.New("rounds must be at least 1, rate 1 to 10000")
	case p.publishFor < 2*time.Second || p.timeout <= 0:
		err = errors.New("publish must be at least 2s, timeout more than 0")
	}
	for _, name := range p.only {
		if !slices.Contains(setupNames(), name) {
			err = fmt.Errorf("there is no set-up %q; there are %s", name, strings.Join(setupNames(), ", "))
		}
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "powerloss:", err) // nobody is left to tell
	}
	return err
}

// measure prepares what the machines boot from, cuts each set-up off, and prints
// the table. It fails when a set-up lost what it must not lose.
func measure(ctx context.Context, p plan, stdout, stderr io.Writer) error {
	folder, err := os.MkdirTemp("", "powerloss-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if p.keep {
		_, _ = fmt.Fprintln(stderr, "disks and consoles:", folder) // the table does not depend on it
	} else {
		defer func() { _ = os.RemoveAll(folder) }()
	}
	boot, err := prepare(ctx, p.cache, folder)
	if err != nil {
		return err
	}
	var rows []row
	for _, s := range setups() {
		if len(p.only) > 0 && !slices.Contains(p.only, s.name) {
			continue
		}
		r := row{setup: s}
		for round := range p.rounds {
			result, err := cutOff(ctx, p, s, boot, filepath.Join(folder, fmt.Sprintf("%s-%d", s.name, round+1)))
			if err != nil {
				return fmt.Errorf("cut off %s: %w", s.name, err)
			}
			_, _ = fmt.Fprintf(stderr, "%s, round %d: %s\n", s.name, round+1, result) // the table says it again
			r.add(result)
		}
		rows = append(rows, r)
	}
	if _, err := io.WriteString(stdout, table(rows)); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return verdict(rows)
}
