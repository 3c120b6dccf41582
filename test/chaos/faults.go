package main

import (
	"context"
	"math/rand/v2"
	"strconv"
	"syscall"
	"time"

	"github.com/dembrane/webhooks/pkg/topology"
)

// fault is one way to do harm.
type fault struct {
	key   string
	title string
	// dispatchers is how many are at work.
	dispatchers int
	// once is for what takes minutes: it strikes once, whatever the number of rounds.
	once bool
	// strike does the harm once, and says in the strike what came of it.
	strike func(ctx context.Context, x *strike) error
}

// scene is a stack, and the faults that strike it one after the other.
type scene struct {
	name    string
	servers int // brokers: 1, or 3 for a cluster
	// ackWait is the least that an ack wait may be shortened to.
	ackWait time.Duration
	// retries are the dispatchers' settings of them.
	retries retries
	faults  []fault
}

// retries is the first wait, and by how much each is longer than the one before.
type retries struct {
	first      time.Duration
	multiplier int
}

// calmAckWait is the least ack wait where nothing can be settled for seconds: a new
// leader takes some five, and a nats-server that reads a large backlog as well. What
// came again meanwhile would be the work of an ack wait that nobody has.
const calmAckWait = 10 * time.Second

// scenes are all there are, in the order in which they are played.
func scenes() []scene {
	quick := retries{first: 100 * time.Millisecond, multiplier: 2}
	lasting := retries{first: time.Second, multiplier: 4} // for a day, as by default for three
	return []scene{
		{name: "dispatchers", servers: 1, retries: quick, faults: []fault{
			{key: "kill", title: "dispatcher killed and restarted", dispatchers: 1, strike: killDispatcher},
			{key: "stop", title: "dispatcher stopped past its ack wait", dispatchers: 1, strike: stopDispatcher},
			{key: "replica", title: "one of two dispatchers killed", dispatchers: 2, strike: killReplica},
			{key: "frozen", title: "one of two dispatchers stopped past its ack wait", dispatchers: 2, strike: stopDispatcher},
		}},
		{name: "services", servers: 1, retries: quick, faults: []fault{
			{key: "broker", title: "nats-server killed and restarted on its disk", dispatchers: 1, strike: killBroker},
			{key: "database", title: "database gone for a while", dispatchers: 1, strike: killDatabase},
			{key: "api", title: "api killed while a registration is written", dispatchers: 1, strike: killAPI},
			{key: "bucket", title: "bucket of registrations wiped", dispatchers: 1, strike: wipeBucket},
		}},
		{name: "cluster", servers: 3, retries: quick, ackWait: calmAckWait, faults: []fault{
			{key: "leader", title: "leader killed in a cluster of three nats-servers", dispatchers: 1, strike: killLeader},
		}},
		{name: "backlog", servers: 1, retries: lasting, ackWait: calmAckWait, faults: []fault{
			{key: "backlog", title: "everything killed over a backlog of retries", dispatchers: 1, once: true, strike: killOverBacklog},
		}},
	}
}

// faults are those of all scenes.
func faults() []fault {
	var all []fault
	for _, one := range scenes() {
		all = append(all, one.faults...)
	}
	return all
}

func faultKeys() []string {
	var keys []string
	for _, f := range faults() {
		keys = append(keys, f.key)
	}
	return keys
}

// strike is one time that a fault strikes.
type strike struct {
	*stack
	fault  fault
	book   *book
	number int // from 0
	random *rand.Rand

	// ended is when the harm was over: whatever was down has been started again.
	ended time.Time
	// atRisk is how many POSTs may be repeated because of it.
	atRisk int
	// recovered returns when all is well again that deliveries do not show; nil
	// when there is nothing.
	recovered func(ctx context.Context) error
	// patience is how much longer than usual the recovery may take.
	patience time.Duration
	// afterwards is called after the recovery: it puts back what the harm has left
	// broken, or looks at what the recovery took.
	afterwards func(ctx context.Context) error
	// note is what there is to say about it; counted in the table.
	note string
	// backlog is what was seen of one; nil for other faults.
	backlog *backlog
}

// moment is a random while.
func (x *strike) moment(least, most time.Duration) time.Duration {
	return least + time.Duration(x.random.Int64N(int64(most-least)))
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// count notes what is in flight.
func (x *strike) count(ctx context.Context) error {
	n, err := x.inFlight(ctx)
	x.atRisk += n
	return err
}

// countBroker notes what is in flight at a broker that is about to be killed, and
// what it may have forgotten since it last wrote its state down.
func (x *strike) countBroker(ctx context.Context) error {
	perSecond := x.plan.rate * x.postsPerEvent()
	x.atRisk += perSecond * int(stateAge/time.Millisecond) / 1000
	return x.count(ctx)
}

func killDispatcher(ctx context.Context, x *strike) error {
	d := x.dispatchers[0]
	if err := d.kill(); err != nil {
		return err
	}
	if err := x.count(ctx); err != nil {
		return err
	}
	if err := pause(ctx, x.moment(0, 500*time.Millisecond)); err != nil {
		return err
	}
	x.ended = time.Now()
	return d.start(ctx)
}

// stopDispatcher keeps a process from running for so long that what it has is
// given away; then it goes on as if nothing had been.
func stopDispatcher(ctx context.Context, x *strike) error {
	d := x.dispatchers[x.random.IntN(x.fault.dispatchers)]
	wait, err := x.ackWait(ctx)
	if err != nil {
		return err
	}
	if err := d.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := pause(ctx, wait+x.moment(500*time.Millisecond, 1500*time.Millisecond)); err != nil {
		return err
	}
	// What JetStream hands out to a process that does not run is at risk, too.
	if err := x.count(ctx); err != nil {
		return err
	}
	x.ended = time.Now()
	return d.signal(syscall.SIGCONT)
}

func killReplica(ctx context.Context, x *strike) error {
	d := x.dispatchers[x.random.IntN(x.fault.dispatchers)]
	if err := d.kill(); err != nil {
		return err
	}
	x.ended = time.Now()
	x.afterwards = d.launch
	return x.count(ctx)
}

func killBroker(ctx context.Context, x *strike) error {
	if err := x.countBroker(ctx); err != nil {
		return err
	}
	if err := x.brokers[0].kill(); err != nil {
		return err
	}
	if err := pause(ctx, x.moment(0, 2*time.Second)); err != nil {
		return err
	}
	x.ended = time.Now()
	return x.brokers[0].start(ctx)
}

func killLeader(ctx context.Context, x *strike) error {
	led := []string{topology.StreamEvents, topology.StreamDeliveries, topology.StreamRanges, topology.StreamAttempts, bucketStream}
	stream := led[x.random.IntN(len(led))]
	leader, err := x.leader(ctx, stream)
	if err != nil {
		return err
	}
	if err := x.countBroker(ctx); err != nil {
		return err
	}
	if err := leader.kill(); err != nil {
		return err
	}
	x.ended = time.Now()
	x.note = "led " + stream
	x.afterwards = func(ctx context.Context) error {
		if err := leader.launch(ctx); err != nil {
			return err
		}
		return x.healed(ctx)
	}
	return nil
}

// nth names the strike, in ids.
func (x *strike) nth() string { return x.fault.key + "-" + strconv.Itoa(x.number+1) }
