package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/topology"
)

const (
	// backlogProjects is how many projects owe the backlog, and backlogHooks how
	// many webhooks each of them has: half throttled, half broken.
	backlogProjects, backlogHooks = 4, 10
	// backlogPace is how many deliveries a second must at least be put on the
	// schedule, and delivered from it, for the suite not to lose patience.
	backlogPace = 500
)

// backlog is what was seen of one, beside the row of the table.
type backlog struct {
	// Pending deliveries were on the schedule before the harm, Kept were in the
	// stream after it.
	Pending int    `json:"pending"`
	Kept    uint64 `json:"kept"`
	// Building is how long it took to put them there; Broker and Dispatcher how
	// long each took from its start until it was ready.
	Building   float64 `json:"building_seconds"`
	Broker     float64 `json:"nats_ready_seconds"`
	Dispatcher float64 `json:"dispatcher_ready_seconds"`
	// Peaks of resident memory, in MiB; 0 where the system does not tell.
	DispatcherMemory stages `json:"dispatcher_mib"`
	BrokerMemory     stages `json:"nats_mib"`
}

// stages are a figure for each part of the life of a backlog.
type stages struct {
	Building  int64 `json:"building"`
	Restarted int64 `json:"restarted"`
	Draining  int64 `json:"draining"`
}

// String implements [fmt.Stringer].
func (s stages) String() string {
	return fmt.Sprintf("%d MiB while building, %d after the restart, %d while draining", s.Building, s.Restarted, s.Draining)
}

// String implements [fmt.Stringer].
func (b *backlog) String() string {
	return fmt.Sprintf("backlog: %d on the schedule after %.1f s; %d in the stream after the restart; ready again: nats-server in %.1f s, dispatcher in %.1f s\n"+
		"dispatcher: %s\nnats-server: %s", b.Pending, b.Building, b.Kept, b.Broker, b.Dispatcher, b.DispatcherMemory, b.BrokerMemory)
}

// killOverBacklog lets retries and parked deliveries pile up at receivers that
// refuse everything, kills the nats-server and the dispatcher together, starts both
// again, lets everything come due once more in vain, and mends the receivers.
func killOverBacklog(ctx context.Context, x *strike) error {
	// What comes due is put on the schedule again; a larger backlog takes longer.
	refusing := 2*time.Second + time.Duration(x.plan.pending/10_000)*time.Second
	x.patience = time.Duration(x.plan.pending/backlogPace) * time.Second
	b := &backlog{}
	x.backlog = b
	projects, err := x.registerBacklog(ctx)
	if err != nil {
		return err
	}
	x.ledger.refuse(refusing)
	began := time.Now()
	if err := x.pileUp(ctx, projects); err != nil {
		return fmt.Errorf("pile up: %w", err)
	}
	b.Building = time.Since(began).Seconds()
	b.DispatcherMemory.Building, b.BrokerMemory.Building = peakMemory(x.dispatchers[0]), peakMemory(x.brokers[0])
	// Acknowledgements that the nats-server has not written down yet would bring the
	// events themselves back: another fault's matter.
	if err := pause(ctx, 10*stateAge); err != nil {
		return err
	}
	if err := x.restartAll(ctx); err != nil {
		return err
	}
	if err := pause(ctx, refusing+time.Second); err != nil {
		return err
	}
	b.DispatcherMemory.Restarted, b.BrokerMemory.Restarted = peakMemory(x.dispatchers[0]), peakMemory(x.brokers[0])
	forgetPeak(x.dispatchers[0])
	forgetPeak(x.brokers[0])
	x.afterwards = func(context.Context) error {
		b.DispatcherMemory.Draining, b.BrokerMemory.Draining = peakMemory(x.dispatchers[0]), peakMemory(x.brokers[0])
		return nil
	}
	x.ended = time.Now()
	x.ledger.mend()
	return nil
}

// registerBacklog registers webhooks and returns when they are in force.
func (x *strike) registerBacklog(ctx context.Context) (projects []project, _ error) {
	for i := range backlogProjects {
		p := project{id: "backlog-" + strconv.Itoa(i+1)}
		for j := range backlogHooks {
			k := []kind{throttled, broken}[j%2]
			h := x.ledger.hook(x.hookName(p.id, strconv.Itoa(j+1)), k)
			if _, err := x.create(ctx, p.id, h); err != nil {
				return nil, err
			}
			p.hooks = append(p.hooks, h)
		}
		projects = append(projects, p)
		// Dispatchers hear of registrations in the order in which they were made.
		if err := x.probe(ctx, p.id, p.hooks[backlogHooks-1]); err != nil {
			return nil, err
		}
	}
	return projects, nil
}

// pileUp publishes what the backlog consists of, and returns when all of it is on
// the schedule.
func (x *strike) pileUp(ctx context.Context, projects []project) error {
	events := (x.plan.pending + backlogHooks - 1) / backlogHooks
	x.backlog.Pending = events * backlogHooks
	group, publishing := errgroup.WithContext(ctx)
	group.SetLimit(publishers)
	for i := range events {
		group.Go(func() error { return x.publish(publishing, x.book, projects[i%len(projects)]) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	patient, cancel := context.WithTimeoutCause(ctx, x.plan.patience+x.patience, errPatience)
	defer cancel()
	return until(patient, func() error {
		there, err := x.onSchedule(patient)
		if err == nil && there < uint64(x.backlog.Pending) { //nolint:gosec // not negative
			err = fmt.Errorf("%d of %d deliveries are on the schedule", there, x.backlog.Pending)
		}
		return err
	})
}

// onSchedule is how many deliveries are owed later, or are due.
func (s *stack) onSchedule(ctx context.Context) (uint64, error) {
	info, err := s.stream(ctx, topology.StreamDeliveries)
	if err != nil {
		return 0, err
	}
	return info.State.Msgs, nil
}

// restartAll kills the nats-server and the dispatcher, and starts them again one
// after the other: what is kept is counted while nobody works on it.
func (x *strike) restartAll(ctx context.Context) error {
	if err := x.countBroker(ctx); err != nil {
		return err
	}
	broker, dispatcher := x.brokers[0], x.dispatchers[0]
	if err := broker.kill(); err != nil {
		return err
	}
	if err := dispatcher.kill(); err != nil {
		return err
	}
	patient, cancel := context.WithTimeoutCause(ctx, x.plan.patience, errPatience)
	defer cancel()
	began := time.Now()
	if err := broker.start(ctx); err != nil {
		return err
	}
	err := until(patient, func() (err error) {
		x.backlog.Kept, err = x.onSchedule(patient)
		return err
	})
	if err != nil {
		return fmt.Errorf("wait for the nats-server: %w", err)
	}
	x.backlog.Broker = time.Since(began).Seconds()
	began = time.Now()
	if err := dispatcher.start(ctx); err != nil {
		return err
	}
	if err := dispatcher.await(patient); err != nil {
		return err
	}
	x.backlog.Dispatcher = time.Since(began).Seconds()
	return nil
}
