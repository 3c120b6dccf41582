package topology_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
)

// dispatcher consumes the parts of EVENTS and counts what it was given.
type dispatcher struct {
	t      *testing.T
	js     jetstream.JetStream
	cancel context.CancelFunc
	ctx    context.Context //nolint:containedctx // a test's
	done   sync.WaitGroup

	mu       sync.Mutex
	begun    map[string]bool
	faults   map[string]error
	received map[uint64]int
}

func dispatch(t *testing.T, js jetstream.JetStream) *dispatcher {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	d := &dispatcher{t: t, js: js, ctx: ctx, cancel: cancel, begun: map[string]bool{}, faults: map[string]error{}, received: map[uint64]int{}}
	t.Cleanup(d.stop)
	return d
}

func (d *dispatcher) stop() {
	d.cancel()
	d.done.Wait()
}

// consume takes in every part that there is now.
func (d *dispatcher) consume() {
	d.t.Helper()
	parts, err := topology.IntakeConsumers(d.ctx, d.js, topology.Consumption{AckWait: 30 * time.Second, MaxAckPending: 6000})
	require.NoError(d.t, err)
	for _, part := range parts {
		if d.begun[part.Durable] {
			continue
		}
		d.begun[part.Durable] = true
		consuming := topology.Consuming{
			Stream: topology.StreamEvents, Consumer: part, Messages: 100, Bytes: 256 << 10, Large: topology.NewLarge(1),
			Log: zap.NewNop(), Report: func(err error) {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.faults[part.Durable] = err
			},
		}
		d.done.Go(func() { assert.NoError(d.t, topology.Consume(d.ctx, d.js, consuming, d.handle)) })
	}
}

func (d *dispatcher) handle(ctx context.Context, msg jetstream.Msg) {
	if ctx.Err() != nil {
		assert.NoError(d.t, msg.Nak())
		return
	}
	meta, err := msg.Metadata()
	if !assert.NoError(d.t, err) {
		return
	}
	assert.NoError(d.t, msg.InProgress())
	assert.NoError(d.t, msg.Ack())
	if !errors.Is(msg.Ack(), jetstream.ErrMsgAlreadyAckd) {
		d.t.Error("settled twice")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.received[meta.Sequence.Stream]++
}

// has reports whether everything up to the sequence was received.
func (d *dispatcher) has(last uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for sequence := uint64(1); sequence <= last; sequence++ {
		if d.received[sequence] == 0 {
			return false
		}
	}
	return true
}

func (d *dispatcher) count() (received int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, times := range d.received {
		received += times
	}
	return received
}

func (d *dispatcher) healthy() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.begun {
		if d.faults[name] != nil {
			return false
		}
	}
	return true
}

func publish(t *testing.T, js jetstream.JetStream, count int) (last uint64) {
	t.Helper()
	for i := range count {
		ack, err := js.Publish(t.Context(), topology.SubjectEvent(fmt.Sprintf("p%d", i), "conversation.started"), nil)
		require.NoError(t, err)
		last = ack.Sequence
	}
	return last
}

// No message wedges a consumer: neither a large one nor one that looks like
// JetStream's own (A12).
func TestNoMessageWedgesAConsumer(t *testing.T) {
	js, err := jetstream.New(natstest.Start(t, natstest.Embedded(), natstest.WithMaxPayload(32<<20)).Connect(t))
	require.NoError(t, err)
	old := topology.Streams(settings())[0]
	old.MaxMsgSize = -1 // as an older version made it
	_, err = js.CreateStream(t.Context(), old)
	require.NoError(t, err)
	for _, size := range []int{0, 100, 20 << 20, 1 << 10, 200 << 10, 300 << 10, 200 << 10, 9 << 20, 100} {
		_, err := js.Publish(t.Context(), topology.SubjectEvent("p1", "report.generated"), make([]byte, size))
		require.NoError(t, err)
	}
	for _, status := range []string{"409", "503", "408", "100", "404"} {
		_, err = js.PublishMsg(t.Context(), &nats.Msg{
			Subject: topology.SubjectEvent("p1", "report.generated"),
			Header:  nats.Header{"Status": {status}, "Description": {"Consumer Deleted"}},
		})
		require.NoError(t, err)
	}
	require.NoError(t, topology.Ensure(t.Context(), js, settings()))
	last := publish(t, js, 500)
	d := dispatch(t, js)
	d.consume()
	require.Eventually(t, func() bool { return d.has(last) }, patience, 10*time.Millisecond)
	assert.Equal(t, int(last), d.count(), "each once")
}

// Consumers that are deleted go on where they were; those of a stream that was
// made again begin with its first message (A2, A8).
func TestALostConsumerGoesOnWhereItWas(t *testing.T) {
	s := natstest.Start(t, natstest.Embedded())
	js, err := jetstream.New(s.Connect(t))
	require.NoError(t, err)
	require.NoError(t, topology.Ensure(t.Context(), js, settings()))
	owner := topology.NewOwner(js, settings(), zap.NewNop())
	d := dispatch(t, js)
	d.done.Go(func() { assert.NoError(t, owner.Run(d.ctx)) })
	d.done.Go(func() { assert.NoError(t, topology.KeepCheckpoints(d.ctx, js, zap.NewNop())) })
	last := publish(t, js, 300)
	d.consume()
	require.Eventually(t, func() bool { return d.has(last) }, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool { return checkpointed(t, js) }, patience, 10*time.Millisecond)

	for name := range d.begun {
		require.NoError(t, js.DeleteConsumer(t.Context(), topology.StreamEvents, name))
	}
	last = publish(t, js, 100)
	require.Eventually(t, func() bool { return d.has(last) && d.healthy() }, patience, 10*time.Millisecond)
	assert.Equal(t, 400, d.count(), "nothing is given out again")

	// One of them has lost its state: it is there and begins anew.
	require.Eventually(t, func() bool { return checkpointed(t, js) }, patience, 10*time.Millisecond)
	d.stop()
	for _, part := range topology.Intake(topology.Consumption{AckWait: time.Minute, MaxAckPending: 60}) {
		require.NoError(t, js.DeleteConsumer(t.Context(), topology.StreamEvents, part.Durable))
		_, err := js.CreateConsumer(t.Context(), topology.StreamEvents, part)
		require.NoError(t, err)
	}
	again := dispatch(t, js)
	again.consume()
	last = publish(t, js, 50)
	require.Eventually(t, func() bool { return again.has(0) && again.count() >= 50 }, patience, 10*time.Millisecond)
	assert.Equal(t, 50, again.count())

	// A stream that was made again counts from the beginning.
	require.NoError(t, js.DeleteStream(t.Context(), topology.StreamEvents))
	require.NoError(t, owner.Ensure(t.Context()))
	last = publish(t, js, 60)
	require.Eventually(t, func() bool { return again.has(last) && again.healthy() }, patience, 10*time.Millisecond)
	assert.Equal(t, 110, again.count())
	again.stop()
	require.NoError(t, owner.Ensure(t.Context()))
}

// checkpointed reports whether everything that was settled is written down.
func checkpointed(t *testing.T, js jetstream.JetStream) bool {
	t.Helper()
	bucket, err := js.KeyValue(t.Context(), topology.BucketCheckpoints)
	require.NoError(t, err)
	stream, err := js.Stream(t.Context(), topology.StreamEvents)
	require.NoError(t, err)
	all := true
	for info := range stream.ListConsumers(t.Context()).Info() {
		if info.AckFloor.Stream == 0 {
			continue
		}
		entry, err := bucket.Get(t.Context(), info.Name)
		all = all && err == nil && strings.Contains(string(entry.Value()), fmt.Sprintf(`"sequence":%d,`, info.AckFloor.Stream)) &&
			strings.Contains(string(entry.Value()), stream.CachedInfo().Created.Format(time.RFC3339Nano))
	}
	return all
}

// A store that is wiped while events are published: consumed again, without a hand.
func TestConsumersOutliveAWipedStore(t *testing.T) {
	s := natstest.Start(t, natstest.Embedded())
	js, err := jetstream.New(s.Connect(t))
	require.NoError(t, err)
	owner := topology.NewOwner(js, settings(), zap.NewNop())
	require.NoError(t, owner.Ensure(t.Context()))
	d := dispatch(t, js)
	d.done.Go(func() { assert.NoError(t, owner.Run(d.ctx)) })
	d.consume()
	last := publish(t, js, 20)
	require.Eventually(t, func() bool { return d.has(last) }, patience, 10*time.Millisecond)
	s.Wipe()
	require.Eventually(t, func() bool { return topology.Check(t.Context(), js) == nil }, patience, 10*time.Millisecond)
	publish(t, js, 30)
	require.Eventually(t, func() bool { return d.count() == 50 && d.healthy() }, patience, 10*time.Millisecond)
	d.stop()
	require.NoError(t, owner.Ensure(t.Context()), "a server that stops while it makes a stream leaves a goroutine behind")
}

// Going from six parts to more and back loses nothing, also with a dispatcher that
// knows only six (issue 14).
func TestPartsCanBeChangedWithEventsInFlight(t *testing.T) {
	js := open(t)
	few := settings()
	few.IntakeParts = 6
	require.NoError(t, topology.Ensure(t.Context(), js, few))
	d := dispatch(t, js)
	d.consume()
	events := func() string { return config(t, js, topology.StreamEvents).SubjectTransform.Destination }
	publish(t, js, 100)

	more := settings()
	more.IntakeParts = 16
	require.NoError(t, topology.Ensure(t.Context(), js, more))
	assert.Contains(t, events(), "partition(6,1)", "nobody takes in the others yet")
	last := publish(t, js, 100)
	require.Eventually(t, func() bool { return d.has(last) }, patience, 10*time.Millisecond)
	d.consume() // it looks again
	require.Eventually(t, func() bool {
		require.NoError(t, topology.Ensure(t.Context(), js, more))
		last = publish(t, js, 10)
		return events() == "dembrane.events.{{partition(16,1)}}.{{wildcard(1)}}.>"
	}, patience, 10*time.Millisecond)
	last = publish(t, js, 200)
	require.Eventually(t, func() bool { return d.has(last) }, patience, 10*time.Millisecond)

	// Back, while there are events of the higher parts that nobody has taken.
	d.stop()
	publish(t, js, 200)
	require.NoError(t, topology.Ensure(t.Context(), js, few))
	assert.Contains(t, events(), "partition(6,1)")
	last = publish(t, js, 100)
	rest := dispatch(t, js)
	rest.consume()
	assert.Len(t, rest.begun, 17, "parts that are no longer used are still consumed")
	require.Eventually(t, func() bool { return d.count()+rest.count() == int(last) }, patience, 10*time.Millisecond)
}
