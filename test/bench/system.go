package main

import (
	"context"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/inside"
	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// registering is how many registrations are under way at once.
	registering = 8
	// readyTimeout is how long a process may take to be ready.
	readyTimeout = time.Minute
	// recordTimeout bounds every wait for the delivery log.
	recordTimeout = time.Hour
)

// system is a running system and the connections to it.
type system struct {
	inside.System
	*publisher

	at inside.Address
	// beside is another publisher, with a connection of its own: what it publishes
	// does not queue behind a flood in this process.
	beside *publisher
	pid    int
	check  func() error
}

// startSystem starts a system in a process of its own, until t ends.
func (b *bench) startSystem(t run.T, folder string, settings []string) *system {
	t.Helper()
	run.Must(t, os.MkdirAll(folder, 0o700), "make a folder for the system")
	s := new(system)
	p := &process.Process{
		Name: "standalone", Program: b.program, Folder: folder, Env: append(b.environment(folder), settings...), Line: &s.at,
	}
	p.Run(t)
	s.pid, s.check = p.PID(), p.Check
	s.connect(t)
	return s
}

// connect completes a system.
func (s *system) connect(t run.T) {
	var err error
	s.System, err = inside.Connect(t.Context(), s.at)
	t.Cleanup(s.Close)
	run.Must(t, err, "connect")
	other, err := inside.Connect(t.Context(), s.at)
	t.Cleanup(other.Close)
	run.Must(t, err, "connect")
	s.publisher, s.beside = newPublisher(t, s.Broker, unacknowledged), newPublisher(t, other.Broker, unacknowledged)
}

// register makes one webhook for every target.
func (s *system) register(t run.T, targets []target) {
	host := apiclient.Client{URL: s.at.API, Token: s.at.Token, Timeout: readyTimeout}
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(registering)
	for _, to := range targets {
		group.Go(func() error {
			_, err := host.Create(ctx, to.project, apiclient.Fields{
				"name": "benchmark", "url": to.url, "events": []string{to.event}, "secret": secret,
			})
			return err
		})
	}
	run.Must(t, group.Wait(), "register")
}

// recorded waits until nothing is owed any more and every record of an attempt is
// in the delivery log. It returns when that was.
func (s *system) recorded(t run.T) time.Time {
	t.Helper()
	s.await(t, s.Recorded)
	return time.Now()
}

// await waits for what a system does by itself.
func (s *system) await(t run.T, look func(context.Context) error) {
	t.Helper()
	run.Until(t, recordTimeout, "everything is in the delivery log", func(ctx context.Context) error {
		if err := s.check(); err != nil {
			return run.Final{Err: err}
		}
		return look(ctx)
	})
}

// logged is how many attempts are in the delivery log. The embedded database reads
// all of them for it, so this is not for use while something is being measured.
func (s *system) logged(t run.T) int {
	n, err := s.Attempts.EstimatedDocumentCount(t.Context())
	run.Must(t, err, "count the delivery log")
	return int(n)
}

// putOff counts what is put off while something is done: messages on DELIVERIES and
// RANGES, of which what waits there once makes two (the schedule, and itself when
// due), and what the dispatcher parked by its own account.
func (s *system) putOff(t run.T, m *measurement, do func()) {
	count := func() (messages, parked int) {
		for _, name := range []string{topology.StreamDeliveries, topology.StreamRanges} {
			info, err := s.Stream(t.Context(), name)
			run.Must(t, err, "look at the schedule")
			messages += int(info.State.LastSeq) //nolint:gosec // far below
		}
		total, err := apiclient.Metric(t.Context(), s.at.Ops, apiclient.MetricParked)
		run.Must(t, err, "count what was parked")
		return messages, int(total)
	}
	messages, parked := count()
	do()
	m.scheduled, m.parked = count()
	m.scheduled, m.parked = m.scheduled-messages, m.parked-parked
}
