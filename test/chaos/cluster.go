package main

import (
	"syscall"
	"time"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// standsStill is how long one of three servers does not run: long enough for the
	// others to elect, too short for clients to give it up.
	standsStill = 6 * time.Second
	// leaderlessFor and partedFor are how long these outages last.
	leaderlessFor, partedFor = time.Minute, 20 * time.Second
)

// stopReplica stops one of three nats-servers while retries come due. When it goes
// on it answers questions about events that it does not have yet.
func stopReplica(t run.T, x *strike) {
	at := x.random.IntN(len(x.brokers))
	run.Must(t, x.brokers[at].Signal(syscall.SIGSTOP), "stop %s", brokerName(at))
	run.Pause(t, standsStill)
	x.ended = time.Now()
	run.Must(t, x.brokers[at].Signal(syscall.SIGCONT), "let %s go on", brokerName(at))
	x.afterwards = func(t run.T) { x.healed(t) }
}

// stopMajority kills two of three nats-servers or stops them, in turns: nothing can
// be stored, and no leader answers for the bucket. A host changes webhooks
// meanwhile.
func stopMajority(t run.T, x *strike) {
	c, disabled, deleted := x.host(t)
	stays := x.random.IntN(len(x.brokers))
	var gone []*process.Process
	for i, b := range x.brokers {
		if i != stays {
			gone = append(gone, b)
		}
	}
	x.countBroker(t)
	killed := x.number%2 == 0
	for _, b := range gone {
		if killed {
			x.kill(t, b)
		} else {
			run.Must(t, b.Signal(syscall.SIGSTOP), "stop %s", b.Name)
		}
	}
	x.note = "stopped"
	if killed {
		x.note = "killed"
	}
	c.change(t, disabled, deleted)
	run.Pause(t, x.length(leaderlessFor))
	x.ended = time.Now()
	for _, b := range gone {
		if killed {
			run.Must(t, b.Start(t.Context()), "start %s again", b.Name)
		} else {
			run.Must(t, b.Signal(syscall.SIGCONT), "let %s go on", b.Name)
		}
	}
	run.Must(t, c.publish(t.Context()), "publish what the new webhook is owed")
	x.recovered = c.inForce
	x.afterwards = func(t run.T) {
		c.obeyed(t)
		x.healed(t)
	}
}

// cutRoute cuts the network between two of three nats-servers, in turns with one
// that is silent and one that refuses. Both still reach the third.
func cutRoute(t run.T, x *strike) {
	one := x.random.IntN(len(x.brokers))
	other := (one + 1) % len(x.brokers)
	both := []*natstest.Proxy{x.links[link{one, other}], x.links[link{other, one}]}
	for _, network := range both {
		defer network.Heal()
		if x.number%2 == 0 {
			x.note = "refused"
			network.Cut()
		} else {
			x.note = "silent"
			network.Freeze()
		}
	}
	run.Pause(t, x.length(partedFor))
	x.ended = time.Now()
	for _, network := range both {
		network.Heal()
	}
	x.afterwards = func(t run.T) { x.healed(t) }
}
