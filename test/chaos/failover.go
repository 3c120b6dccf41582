package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/api/mongotest/mongoproxy"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/inside"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// failingFor is how long a replica set goes on failing over, at least.
	failingFor = 3 * time.Second
	// hostEvery is how often a host makes a webhook meanwhile.
	hostEvery = 200 * time.Millisecond
)

// failover is what a replica set answers while another member is elected.
type failover struct {
	title string
	// steps says that there is no primary. Otherwise every second command that the
	// rules select on average is answered by acts, in turns.
	steps bool
	rules []mongoproxy.Rule
	acts  []mongoproxy.Action
}

// failovers are what happens, in turns: codes at every level at which MongoDB says
// them, and connections that break before and after a command was done.
func failovers() []failover {
	anything := []mongoproxy.Rule{{}}
	writes := []mongoproxy.Rule{{Command: "insert"}, {Command: "update"}, {Command: "delete"}}
	each := func(act func(mongoproxy.Code) mongoproxy.Action) (all []mongoproxy.Action) {
		for _, code := range mongoproxy.Codes() {
			all = append(all, act(code))
		}
		return all
	}
	return []failover{
		{title: "no primary", steps: true},
		{title: "codes of commands", rules: anything, acts: each(mongoproxy.Refuse)},
		{title: "codes of commands that were done", rules: anything, acts: each(mongoproxy.RefuseApplied)},
		{title: "codes of the write concern", rules: writes, acts: each(mongoproxy.FailWriteConcern)},
		{title: "codes of documents", rules: writes, acts: each(func(code mongoproxy.Code) mongoproxy.Action { return mongoproxy.FailDocuments(code) })},
		{title: "codes of the first document", rules: writes, acts: each(func(code mongoproxy.Code) mongoproxy.Action { return mongoproxy.FailDocuments(code, 0) })},
		{title: "dropped before", rules: anything, acts: []mongoproxy.Action{mongoproxy.DropBefore()}},
		{title: "dropped after", rules: anything, acts: []mongoproxy.Action{mongoproxy.DropAfter()}},
	}
}

// failOver has the replica set fail over in one way while records are written and a
// host makes webhooks. Deliveries go on, every record gets into the log, a webhook
// whose making was confirmed is there and gets events, and none is there twice that
// was asked for once.
func failOver(t run.T, x *strike) {
	how := failovers()[x.number%len(failovers())]
	x.note = how.title
	host := &busyHost{x: x, project: x.nth()}
	over := x.begin(how)
	until := time.Now().Add(failingFor)
	for time.Now().Before(until) || !over.all() {
		run.Must(t, t.Context().Err(), "wait until every code was answered")
		host.make(t.Context())
		run.Pause(t, hostEvery)
	}
	over.end()
	x.ended = time.Now()
	attempts, err := x.Stream(t.Context(), topology.StreamAttempts)
	run.Must(t, err, "look up the records of the failover")
	x.recovered = func(ctx context.Context) error {
		info, err := x.Consumer(ctx, inside.Recording())
		if err == nil && info.AckFloor.Stream < attempts.State.LastSeq {
			err = fmt.Errorf("records of the failover are not in the log: %d of %d", info.AckFloor.Stream, attempts.State.LastSeq)
		}
		if err != nil {
			return err
		}
		return host.inForce(ctx)
	}
}

// failing is a replica set that fails over.
type failing struct {
	set      *mongoproxy.Proxy
	faults   []*mongoproxy.Fault
	answered atomic.Int64
	least    int64
}

func (x *strike) begin(how failover) *failing {
	f := &failing{set: x.replicaSet, least: int64(len(how.acts))}
	if how.steps {
		f.set.SetPrimary(false)
		return f
	}
	for _, rule := range how.rules {
		coin := rand.New(rand.NewPCG(x.random.Uint64(), 0))           //nolint:gosec // moments, not secrets
		rule.Match = func(bson.Raw) bool { return coin.IntN(2) == 0 } // called one at a time
		f.faults = append(f.faults, f.set.On(rule, func(call *mongoproxy.Call) (bson.Raw, error) {
			n := f.answered.Add(1) - 1
			return how.acts[n%int64(len(how.acts))](call)
		}))
	}
	return f
}

// all reports whether everything was answered that there is to answer.
func (f *failing) all() bool { return f.answered.Load() >= f.least }

func (f *failing) end() {
	f.set.SetPrimary(true)
	for _, fault := range f.faults {
		fault.Mend()
	}
}

// busyHost makes one webhook after the other.
type busyHost struct {
	x       *strike
	project string
	asked   int
	// made are the hooks of which it was told that they are there.
	made []int
}

// make asks for a webhook once.
func (h *busyHost) make(ctx context.Context) {
	if h.asked >= mostHooks {
		return
	}
	number := h.asked
	h.asked++
	if _, err := h.x.Create(ctx, h.project, h.x.hook(h.project, number, nil)); err == nil {
		h.made = append(h.made, number)
	}
}

// inForce fails until every webhook of which the host was told is there once and in
// force, and publishes then what it is owed.
func (h *busyHost) inForce(ctx context.Context) error {
	all, err := h.x.List(ctx, h.project)
	if err != nil {
		return err
	}
	if err := h.x.allInForce(ctx, h.project); err != nil {
		return err
	}
	var hooks []int
	for number := range h.asked {
		target := h.x.hook(h.project, number, nil)["url"]
		same := slices.DeleteFunc(slices.Clone(all), func(w apiclient.Webhook) bool { return w.URL != target })
		switch {
		case len(same) > 1:
			return run.Final{Err: fmt.Errorf("%s was asked for once and is there %d times", target, len(same))}
		case len(same) == 1:
			hooks = append(hooks, number)
		case slices.Contains(h.made, number):
			return run.Final{Err: fmt.Errorf("the api answered that %s is registered, and forgot it", target)}
		}
	}
	if len(hooks) == 0 {
		return nil
	}
	return h.x.publish(ctx, h.x.book, project{h.project, hooks})
}
