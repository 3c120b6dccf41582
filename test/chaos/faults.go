package main

import (
	"context"
	"math/rand/v2"
	"strconv"
	"syscall"
	"time"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/test/internal/ledger"
	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/run"
)

// fault is one way to do harm.
type fault struct {
	key   string
	title string
	// dispatchers is how many are at work.
	dispatchers int
	// once is for what takes minutes: it strikes once, whatever the number of rounds.
	once bool
	// long says that it is no part of -quick: it needs minutes, or a cluster of its own.
	long bool
	// least is how often it strikes at least, where strikes do different things.
	least int
	// crash says that something of ours or a broker dies in it, or loses what it had
	// acknowledged: only then may a receiver that answered 200 get it again.
	crash bool
	// strike does the harm once, and says in the strike what came of it.
	strike func(t run.T, x *strike)
}

// scene is a stack, and the faults that strike it one after the other.
type scene struct {
	name    string
	servers int // brokers: 1, or 3 for a cluster
	// store bounds what a broker's JetStream may store, as its settings say it; empty
	// for as much as anybody needs.
	store string
	// password says that the brokers ask for one.
	password bool
	// proxied says that the network can break: between the brokers of a cluster, or
	// between the only one and the api.
	proxied bool
	// replicaSet says that the api finds its database behind what plays a replica set.
	replicaSet bool
	// ackWait is the least that an ack wait may be shortened to.
	ackWait time.Duration
	// unhurried leaves the ack wait as the services set it: in an outage longer than
	// that JetStream gives out again what is under way, and only a crash may make a
	// receiver get it twice.
	unhurried bool
	// limited says that memory and the time of an attempt are what production has.
	limited bool
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
			{key: "kill", title: "dispatcher killed and restarted", dispatchers: 1, crash: true, strike: killDispatcher},
			{key: "stop", title: "dispatcher stopped past its ack wait", dispatchers: 1, crash: true, strike: stopDispatcher},
			{key: "replica", title: "one of two dispatchers killed", dispatchers: 2, crash: true, strike: killReplica},
			{key: "frozen", title: "one of two dispatchers stopped past its ack wait", dispatchers: 2, crash: true, strike: stopDispatcher},
		}},
		{name: "services", servers: 1, retries: quick, faults: []fault{
			{key: "broker", title: "nats-server killed and restarted on its disk", dispatchers: 1, crash: true, strike: killBroker},
			{key: "database", title: "database gone for a while", dispatchers: 1, strike: killDatabase},
			{key: "api", title: "api killed while a registration is written", dispatchers: 1, crash: true, strike: killAPI},
			{key: "replay", title: "dispatcher and api killed during a replay", dispatchers: 1, crash: true, strike: killReplaying},
			{key: "bucket", title: "bucket of registrations wiped", dispatchers: 1, crash: true, strike: wipeBucket},
		}},
		{name: "cluster", servers: 3, retries: quick, ackWait: calmAckWait, faults: []fault{
			{key: "leader", title: "leader killed in a cluster of three nats-servers", dispatchers: 1, crash: true, strike: killLeader},
		}},
		{name: "outages", servers: 1, unhurried: true, retries: quick, store: smallStore, password: true, proxied: true, faults: []fault{
			{key: "wiped", title: "nats-server comes back with an empty store", dispatchers: 1, strike: wipeStore},
			{key: "streams", title: "streams deleted", dispatchers: 1, least: len(deletedStreams()), strike: deleteStream},
			{key: "full", title: "JetStream's storage full for a while", dispatchers: 1, long: true, strike: fillStore},
			{key: "password", title: "authentication lost for a while", dispatchers: 1, strike: losePassword},
			{key: "apart", title: "api cut off from NATS while a host changes webhooks", dispatchers: 1, long: true, strike: cutAPI},
		}},
		{name: "majority", servers: 3, unhurried: true, retries: quick, proxied: true, faults: []fault{
			{key: "lagging", title: "one of three nats-servers stopped for 6 s, then answers what it missed", dispatchers: 2, long: true, strike: stopReplica},
			{key: "leaderless", title: "two of three nats-servers gone while a host changes webhooks", dispatchers: 1, long: true, crash: true, strike: stopMajority},
			{key: "partition", title: "network cut between two of three nats-servers", dispatchers: 1, long: true, strike: cutRoute},
		}},
		{name: "failover", servers: 1, replicaSet: true, unhurried: true, retries: quick, faults: []fault{
			{key: "failover", title: "MongoDB fails over while a host makes webhooks", dispatchers: 1, long: true, least: len(failovers()), strike: failOver},
		}},
		{name: "memory", servers: 1, unhurried: true, limited: true, retries: lasting, faults: []fault{
			{key: "memory", title: "the largest bodies on every path at once", dispatchers: 1, long: true, once: true, strike: fillMemory},
		}},
		{name: "backlog", servers: 1, retries: lasting, ackWait: calmAckWait, faults: []fault{
			{key: "backlog", title: "everything killed over a backlog of retries", dispatchers: 1, crash: true, once: true, strike: killOverBacklog},
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
	book   *ledger.Book
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
	afterwards func(t run.T)
	// note is what there is to say about it; counted in the table.
	note string
	// backlog is what was seen of one; nil for other faults.
	backlog *backlog
}

// moment is a random while.
func (x *strike) moment(least, most time.Duration) time.Duration {
	return least + time.Duration(x.random.Int64N(int64(most-least)))
}

// count notes what is in flight.
func (x *strike) count(t run.T) {
	t.Helper()
	n, err := x.inFlight(t.Context())
	run.Must(t, err, "count what is in flight")
	x.atRisk += n
}

// countBroker notes what is in flight at a broker that is about to be killed, and
// what it may have forgotten since it last wrote its state down.
func (x *strike) countBroker(t run.T) {
	t.Helper()
	perSecond := x.plan.rate * postsPerEvent
	x.atRisk += perSecond * int(stateAge/time.Millisecond) / 1000
	x.count(t)
}

// kill ends a process without a word, and start starts it again: the harm is over.
func (x *strike) kill(t run.T, p *process.Process) {
	t.Helper()
	run.Must(t, p.Kill(), "strike")
}

func (x *strike) start(t run.T, p *process.Process) {
	t.Helper()
	x.ended = time.Now()
	run.Must(t, p.Start(t.Context()), "strike")
}

func killDispatcher(t run.T, x *strike) {
	x.kill(t, x.dispatchers[0])
	x.count(t)
	run.Pause(t, x.moment(0, 500*time.Millisecond))
	x.start(t, x.dispatchers[0])
}

// stopDispatcher keeps a process from running for so long that what it has is
// given away; then it goes on as if nothing had been.
func stopDispatcher(t run.T, x *strike) {
	d := x.dispatchers[x.random.IntN(x.fault.dispatchers)]
	wait, err := x.ackWait(t.Context())
	run.Must(t, err, "look up the ack wait")
	run.Must(t, d.Signal(syscall.SIGSTOP), "strike")
	run.Pause(t, wait+x.moment(500*time.Millisecond, 1500*time.Millisecond))
	// What JetStream hands out to a process that does not run is at risk, too.
	x.count(t)
	x.ended = time.Now()
	run.Must(t, d.Signal(syscall.SIGCONT), "strike")
}

func killReplica(t run.T, x *strike) {
	d := x.dispatchers[x.random.IntN(x.fault.dispatchers)]
	x.kill(t, d)
	x.ended = time.Now()
	x.afterwards = func(t run.T) { run.Must(t, d.Launch(t.Context()), "start it again") }
	x.count(t)
}

// length is how long something lasts: an outage, or less when that is asked for.
func (x *strike) length(usual time.Duration) time.Duration { return min(usual, x.plan.outage) }

func killBroker(t run.T, x *strike) {
	x.countBroker(t)
	x.kill(t, x.brokers[0])
	run.Pause(t, x.moment(0, 2*time.Second))
	x.start(t, x.brokers[0])
}

func killLeader(t run.T, x *strike) {
	led := []string{topology.StreamEvents, topology.StreamDeliveries, topology.StreamRanges, topology.StreamAttempts, bucketStream}
	stream := led[x.random.IntN(len(led))]
	leader := x.leader(t, stream)
	x.countBroker(t)
	x.kill(t, leader)
	x.ended = time.Now()
	x.note = "led " + stream
	x.afterwards = func(t run.T) {
		run.Must(t, leader.Launch(t.Context()), "start it again")
		x.healed(t)
	}
}

// nth names the strike, in ids.
func (x *strike) nth() string { return x.fault.key + "-" + strconv.Itoa(x.number+1) }
