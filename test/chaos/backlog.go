package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/receiver"
	"github.com/dembrane/webhooks/test/internal/run"
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
	Pending int `json:"pending"`
	Kept    int `json:"kept"`
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

// peak is the most memory that a running process had resident, in MiB.
func peak(p *process.Process) int64 { return process.UsageOf(p.PID()).Peak >> 20 }

// killOverBacklog lets retries and parked deliveries pile up at receivers that
// refuse everything, kills the nats-server and the dispatcher together, starts both
// again, lets everything come due once more in vain, and mends the receivers.
func killOverBacklog(t run.T, x *strike) {
	// What comes due is put on the schedule again; a larger backlog takes longer.
	refusing := 2*time.Second + time.Duration(x.plan.pending/10_000)*time.Second
	x.patience = time.Duration(x.plan.pending/backlogPace) * time.Second
	b := &backlog{}
	x.backlog = b
	projects := x.registerBacklog(t)
	x.refusal.Begin(refusing)
	began := time.Now()
	x.pileUp(t, projects)
	b.Building = time.Since(began).Seconds()
	dispatcher, broker := x.dispatchers[0], x.brokers[0]
	b.DispatcherMemory.Building, b.BrokerMemory.Building = peak(dispatcher), peak(broker)
	// Acknowledgements that the nats-server has not written down yet would bring the
	// events themselves back: another fault's matter.
	run.Pause(t, 10*stateAge)
	x.restartAll(t)
	run.Pause(t, refusing+time.Second)
	b.DispatcherMemory.Restarted, b.BrokerMemory.Restarted = peak(dispatcher), peak(broker)
	process.ForgetPeak(dispatcher.PID())
	process.ForgetPeak(broker.PID())
	x.afterwards = func(run.T) {
		b.DispatcherMemory.Draining, b.BrokerMemory.Draining = peak(dispatcher), peak(broker)
	}
	x.ended = time.Now()
	x.refusal.End()
}

// registerBacklog registers webhooks and returns when they are in force.
func (x *strike) registerBacklog(t run.T) (projects []project) {
	var answers []receiver.Answer
	for range backlogHooks / 2 {
		answers = append(answers, x.refusal.Throttled, x.refusal.Broken)
	}
	for i := range backlogProjects {
		p := x.register(t, "backlog-"+strconv.Itoa(i+1), answers...)
		projects = append(projects, p)
		// Dispatchers hear of registrations in the order in which they were made.
		patient, cancel := context.WithTimeoutCause(t.Context(), x.plan.patience, errPatience)
		run.Must(t, x.probe(patient, p.id, backlogHooks-1), "register the backlog's webhooks")
		cancel()
	}
	return projects
}

// pileUp publishes what the backlog consists of, and returns when all of it is on
// the schedule.
func (x *strike) pileUp(t run.T, projects []project) {
	events := (x.plan.pending + backlogHooks - 1) / backlogHooks
	x.backlog.Pending = events * backlogHooks
	group, publishing := errgroup.WithContext(t.Context())
	group.SetLimit(publishers)
	for i := range events {
		group.Go(func() error { return x.publish(publishing, x.book, projects[i%len(projects)]) })
	}
	run.Must(t, group.Wait(), "pile up")
	run.Until(t, x.plan.patience+x.patience, "everything is on the schedule", func(ctx context.Context) error {
		there, err := x.Later(ctx)
		if err == nil && there < x.backlog.Pending {
			err = fmt.Errorf("%d of %d deliveries are on the schedule", there, x.backlog.Pending)
		}
		return err
	})
}

// restartAll kills the nats-server and the dispatcher, and starts them again one
// after the other: what is kept is counted while nobody works on it.
func (x *strike) restartAll(t run.T) {
	x.countBroker(t)
	broker, dispatcher := x.brokers[0], x.dispatchers[0]
	x.kill(t, broker)
	x.kill(t, dispatcher)
	began := time.Now()
	x.start(t, broker)
	run.Until(t, x.plan.patience, "the nats-server is back", func(ctx context.Context) (err error) {
		x.backlog.Kept, err = x.Later(ctx)
		return err
	})
	x.backlog.Broker = time.Since(began).Seconds()
	began = time.Now()
	x.start(t, dispatcher)
	patient, cancel := context.WithTimeoutCause(t.Context(), x.plan.patience, errPatience)
	defer cancel()
	run.Must(t, dispatcher.Await(patient), "restart everything")
	x.backlog.Dispatcher = time.Since(began).Seconds()
}
