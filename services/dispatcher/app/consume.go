package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/dispatcher/internal/deliver"
)

// handBackDelay keeps a fault of ours from turning into a busy loop.
const handBackDelay = time.Second

// ackMargin is how long before the ack wait is over a message is not begun any more
// that has waited here so long: it may be given out again before JetStream hears
// that it is under way.
const ackMargin = 2 * time.Second

const (
	// lookInterval is how late a part of the projects is noticed that is new.
	lookInterval = 3 * time.Second
	// largeAtOnce is how many events above prefetchBytes are on their way at once.
	largeAtOnce = 2
)

// consumption is one durable consumer and who handles its messages.
type consumption struct {
	topology.Consuming
	// needs is where there has to be room before it is begun to handle a message.
	needs []*room
	// skip, unless it is nil, reports whether a message may be acknowledged as it is.
	// It must be quick.
	skip func(jetstream.Msg) bool
	// handle returns nil when the message may be acknowledged: its consequence is
	// stored. It has a goroutine of its own for each message.
	handle func(context.Context, jetstream.Msg) error
}

// consumers hands the messages of durable consumers to their handlers, and settles
// them: acknowledged, or handed back. While a message is being handled, JetStream
// is told so, and does not give it to another dispatcher.
type consumers struct {
	js  jetstream.JetStream
	log *zap.Logger
	// gate blocks while nothing new may be begun.
	gate func(context.Context) error
	// held bounds the bytes of the messages that are being handled.
	held    *semaphore.Weighted
	maxHeld int64
	ackWait time.Duration
	under   *underWay
	acked   *acked
	running sync.WaitGroup
	large   topology.Large

	mu     sync.Mutex
	faults map[string]error
}

func newConsumers(js jetstream.JetStream, gate func(context.Context) error, ackWait time.Duration, maxHeld int64, log *zap.Logger) *consumers {
	return &consumers{
		js: js, log: log, gate: gate, held: semaphore.NewWeighted(maxHeld), maxHeld: maxHeld, ackWait: ackWait,
		under: &underWay{every: ackWait / 3, messages: map[place]*handling{}},
		acked: newAcked(), large: topology.NewLarge(largeAtOnce), faults: map[string]error{},
	}
}

// run consumes everything that look returns until taking is done, and returns when
// every message that was taken is settled.
func (c *consumers) run(taking, working context.Context, look func(context.Context) ([]consumption, error)) {
	keeping, stop := context.WithCancel(context.WithoutCancel(taking))
	var keeper, open sync.WaitGroup
	keeper.Go(func() { c.under.keep(keeping) })
	keeper.Go(func() { c.acked.keep(keeping, c.js, c.log) })
	open.Go(func() { c.watch(taking, working, &open, look) })
	open.Wait()
	c.running.Wait()
	stop()
	keeper.Wait()
}

// watch consumes what look returns, and looks again now and then: the parts of the
// projects can become more.
func (c *consumers) watch(taking, working context.Context, open *sync.WaitGroup, look func(context.Context) ([]consumption, error)) {
	begun := map[string]bool{}
	for taking.Err() == nil {
		asking, cancel := context.WithTimeout(taking, askTimeout)
		all, err := look(asking)
		cancel()
		if err != nil && taking.Err() == nil {
			c.report("list", err)
			c.log.Warn("consumers not listed, trying again", zap.Error(err))
		} else {
			c.report("list", nil)
		}
		for _, what := range all {
			if !begun[what.Consumer.Durable] {
				begun[what.Consumer.Durable] = true
				open.Go(func() { c.consume(taking, working, what) })
			}
		}
		retry.Pause(taking, lookInterval)
	}
}

// consume hands messages to a handler until taking is done; the handler's own
// context is working. Messages that had been sent to this process by then are
// handed back at once.
func (c *consumers) consume(taking, working context.Context, what consumption) {
	name := what.Consumer.Durable
	log := c.log.With(zap.String("consumer", name))
	what.Log, what.Large, what.Report = c.log, c.large, func(err error) { c.report(name, err) }
	err := topology.Consume(taking, c.js, what.Consuming, func(_ context.Context, msg jetstream.Msg) {
		c.take(taking, working, what, msg, log)
	})
	if err != nil { // it ends with taking, and for no other reason
		log.Error("consumer ended for good", zap.Error(err))
	}
}

// report remembers why a consumer does not consume. One that consumes again may
// have a new leader, which has not heard what was said to the one before.
func (c *consumers) report(name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.faults[name] = err
		return
	}
	if c.faults[name] != nil {
		delete(c.faults, name)
		c.acked.mayBeLost()
	}
}

// Err is why some consumers do not consume, in words; nil when all do.
func (c *consumers) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := slices.Sorted(maps.Keys(c.faults))
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%d of the consumers take nothing; %s: %w", len(names), names[0], c.faults[names[0]])
}

// take begins to handle one message. It blocks while what is being handled holds
// all the memory that it may.
func (c *consumers) take(taking, working context.Context, what consumption, msg jetstream.Msg, log *zap.Logger) {
	if taking.Err() == nil && what.skip != nil && what.skip(msg) {
		settle(msg, nil, log)
		return
	}
	for _, room := range what.needs {
		if room.wait(taking) != nil {
			settle(msg, deliver.ErrStopping, log)
			return
		}
	}
	weight := min(int64(len(msg.Data())), c.maxHeld)
	if c.gate(taking) != nil || c.held.Acquire(taking, weight) != nil {
		settle(msg, deliver.ErrStopping, log)
		return
	}
	arrived := topology.Arrived(msg)
	if !arrived.IsZero() && time.Since(arrived) > c.ackWait-ackMargin {
		c.held.Release(weight) // somebody else has it, or it comes again
		return
	}
	if c.acked.has(msg) {
		c.held.Release(weight)
		settle(msg, nil, log)
		return
	}
	at, first := c.under.add(msg, arrived)
	if !first {
		c.held.Release(weight)
		return
	}
	c.running.Go(func() {
		defer c.held.Release(weight)
		err := handle(working, what, msg, log)
		last := c.under.remove(at)
		settle(last, err, log)
		if err == nil {
			c.acked.add(at, last.Reply())
		}
	})
}

// handle is a handler, of which no panic ends the process.
func handle(ctx context.Context, what consumption, msg jetstream.Msg, log *zap.Logger) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			log.Error("handling a message panicked", zap.Any("panic", fault), zap.ByteString("stack", debug.Stack()))
			err = errors.New("handling it panicked")
		}
	}()
	return what.handle(ctx, msg)
}

// settle acknowledges a message, or hands it back to any dispatcher.
func settle(msg jetstream.Msg, err error, log *zap.Logger) {
	var settled error
	switch {
	case err == nil:
		settled = msg.Ack()
	case errors.Is(err, deliver.ErrStopping):
		settled = msg.Nak()
	case errors.Is(err, deliver.ErrNotKnown):
		settled = msg.NakWithDelay(handBackDelay) // /readyz says what is missing
	default:
		log.Warn("message handed back", zap.String("subject", msg.Subject()), zap.Error(err))
		settled = msg.NakWithDelay(handBackDelay)
	}
	if settled != nil {
		log.Warn("message not settled, it comes again after the ack wait", zap.String("subject", msg.Subject()), zap.Error(settled))
	}
}
