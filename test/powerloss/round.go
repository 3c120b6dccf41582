package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/test/internal/run"
)

// bootWait is how long machines may take until their servers have a leader: an
// emulated processor is slow.
const bootWait = 3 * time.Minute

// result is what one cut did.
type result struct {
	acknowledged int
	lost         int
	// oldest is how long before the cut the oldest lost event was acknowledged.
	oldest time.Duration
	// back is how long it took from switching on until the stream could be read.
	back time.Duration
}

// String says it in a line.
func (r result) String() string {
	return fmt.Sprintf("%d acknowledged, %d lost, the oldest %.1f s before the cut; back after %.0f s",
		r.acknowledged, r.lost, r.oldest.Seconds(), r.back.Seconds())
}

// cutOff publishes to servers in new machines, cuts them off, boots them again,
// and counts.
func cutOff(ctx context.Context, p plan, s setup, b boot, folder string) (result, error) {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return result{}, fmt.Errorf("make a folder: %w", err)
	}
	if !p.keep {
		defer func() { _ = os.RemoveAll(folder) }() // it is in the run's own folder, which is removed as well
	}
	machines, err := build(ctx, s, b, folder)
	if err != nil {
		return result{}, err
	}
	defer func() {
		for _, m := range machines {
			m.off()
		}
	}()
	if err := startAll(ctx, b, machines); err != nil {
		return result{}, err
	}
	nc, js, err := connect(machines)
	if err != nil {
		return result{}, err
	}
	defer nc.Close()
	if err := createStream(ctx, js, s, machines); err != nil {
		return result{}, err
	}
	acknowledged, victims, err := publishUntilCut(ctx, p, s, nc, machines)
	if err != nil {
		return result{}, err
	}
	cutAt := time.Now()
	if err := startAll(ctx, b, victims); err != nil {
		return result{}, err
	}
	found, err := stored(ctx, js, s, machines)
	if err != nil {
		return result{}, err
	}
	r := result{acknowledged: len(acknowledged), back: time.Since(cutAt)}
	for id, at := range acknowledged {
		if !found[id] {
			r.lost++
			r.oldest = max(r.oldest, cutAt.Sub(at))
		}
	}
	return r, nil
}

func startAll(ctx context.Context, b boot, machines []*machine) error {
	for _, m := range machines {
		if err := m.start(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// publishUntilCut publishes for a while, takes the power away, and returns what had
// been acknowledged and which machines are off.
func publishUntilCut(ctx context.Context, p plan, s setup, nc *nats.Conn, machines []*machine) (map[string]time.Time, []*machine, error) {
	l, err := startLoad(ctx, nc, p.rate)
	if err != nil {
		return nil, nil, err
	}
	defer l.stop()
	if err := wait(ctx, p.publishFor/2+rand.N(p.publishFor/2), machines); err != nil { //nolint:gosec // a moment, not a secret
		return nil, nil, err
	}
	victims, err := choose(ctx, nc, s, machines)
	if err != nil {
		return nil, nil, err
	}
	var cuts errgroup.Group
	for _, m := range victims {
		cuts.Go(m.cut) // all at the same moment
	}
	if err := cuts.Wait(); err != nil {
		return nil, nil, err
	}
	acknowledged := l.stop()
	if len(acknowledged) == 0 {
		return nil, nil, errors.New("nothing was acknowledged, so nothing could be lost")
	}
	return acknowledged, victims, nil
}

func build(ctx context.Context, s setup, b boot, folder string) ([]*machine, error) {
	var machines []*machine
	for number := range s.servers {
		m, err := newMachine(ctx, b, folder, number)
		if err != nil {
			return nil, err
		}
		machines = append(machines, m)
	}
	for _, m := range machines {
		if err := m.configure(b, s.config(m.number, machines)); err != nil {
			return nil, err
		}
	}
	return machines, nil
}

// connect returns a connection that finds the servers whenever they are there.
func connect(machines []*machine) (*nats.Conn, jetstream.JetStream, error) {
	var servers []string
	for _, m := range machines {
		servers = append(servers, fmt.Sprintf("nats://127.0.0.1:%d", m.client))
	}
	const attempt = 2 * time.Second
	nc, err := nats.Connect(strings.Join(servers, ","), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(attempt/10), nats.Timeout(attempt), nats.PingInterval(attempt))
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("use JetStream: %w", err)
	}
	return nc, js, nil
}

// createStream makes the stream of events as the services do, once the servers can.
func createStream(ctx context.Context, js jetstream.JetStream, s setup, machines []*machine) error {
	const day = 24 * time.Hour
	var events jetstream.StreamConfig
	for _, each := range topology.Streams(topology.Settings{Replicas: s.servers, EventsMaxAge: 30 * day, DuplicateWindow: time.Minute, EventsMaxBytes: 512 << 20}) {
		if each.Name == topology.StreamEvents {
			events = each
		}
	}
	return until(ctx, machines, func(ctx context.Context) error {
		if _, err := js.CreateOrUpdateStream(ctx, events); err != nil {
			return fmt.Errorf("create the stream: %w", err)
		}
		return current(ctx, js, s)
	})
}

// current fails unless every server has all that the stream holds.
func current(ctx context.Context, js jetstream.JetStream, s setup) error {
	stream, err := js.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return fmt.Errorf("ask for the stream: %w", err)
	}
	cluster := stream.CachedInfo().Cluster
	if s.servers == 1 {
		return nil
	}
	if cluster == nil || cluster.Leader == "" || len(cluster.Replicas) != s.servers-1 {
		return errors.New("the stream has no leader, or not all replicas")
	}
	for _, peer := range cluster.Replicas {
		if !peer.Current || peer.Offline {
			return fmt.Errorf("the replica on %s is not current", peer.Name)
		}
	}
	return nil
}

// choose returns the machines that lose power: the stream's leader first.
func choose(ctx context.Context, nc *nats.Conn, s setup, machines []*machine) ([]*machine, error) {
	if s.cut == len(machines) {
		return machines, nil
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	stream, err := js.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return nil, fmt.Errorf("ask for the leader: %w", err)
	}
	for i, m := range machines {
		if cluster := stream.CachedInfo().Cluster; cluster != nil && cluster.Leader == fmt.Sprintf("n%d", m.number) {
			machines[0], machines[i] = machines[i], machines[0]
			return machines[:s.cut], nil
		}
	}
	return nil, errors.New("choose a machine: the stream has no leader")
}

// stored reads the whole stream, once every server has it again, and returns the
// ids of its events: none when the servers have forgotten the stream.
func stored(ctx context.Context, js jetstream.JetStream, s setup, machines []*machine) (map[string]bool, error) {
	var found map[string]bool
	err := until(ctx, machines, func(ctx context.Context) error {
		if err := current(ctx, js, s); err != nil {
			return err
		}
		var err error
		found, err = read(ctx, js)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil // the stream itself was lost, and all that was in it
	}
	return found, err
}

// read asks for one message after the other: a replica answers, and by now each
// has all of them.
func read(ctx context.Context, js jetstream.JetStream) (map[string]bool, error) {
	found := map[string]bool{}
	stream, err := js.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return nil, fmt.Errorf("read the stream: %w", err)
	}
	state := stream.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		message, err := stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read sequence %d of %d: %w", seq, state.LastSeq, err)
		}
		e, err := event.Decode(message.Header.Get("Content-Type"), message.Data)
		if err != nil {
			return nil, fmt.Errorf("read sequence %d of %d: %w", seq, state.LastSeq, err)
		}
		found[e.GetId()] = true
	}
	return found, nil
}

// wait returns after d, or when a machine has ended by itself.
func wait(ctx context.Context, d time.Duration, machines []*machine) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return anyEnded(machines)
	}
}

func anyEnded(machines []*machine) error {
	var faults []error
	for _, m := range machines {
		faults = append(faults, m.check())
	}
	return errors.Join(faults...)
}

// until repeats attempt until it returns nil, a machine has ended, or the time is
// over.
func until(ctx context.Context, machines []*machine, attempt func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bootWait, fmt.Errorf("not done after %s", bootWait))
	defer cancel()
	err := run.Poll(ctx, func(ctx context.Context) error {
		if err := anyEnded(machines); err != nil {
			return run.Final{Err: err}
		}
		const answerWait = 30 * time.Second
		ctx, stop := context.WithTimeout(ctx, answerWait)
		defer stop()
		return attempt(ctx)
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(machines[0].console()))
	}
	return nil
}
