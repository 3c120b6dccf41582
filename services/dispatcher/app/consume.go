package app

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
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

// consumption is one durable consumer and who handles its messages.
type consumption struct {
	stream   string
	consumer jetstream.ConsumerConfig
	prefetch jetstream.PullConsumeOpt
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
	under   *underWay
	running sync.WaitGroup
}

func newConsumers(js jetstream.JetStream, gate func(context.Context) error, ackWait time.Duration, maxHeld int64, log *zap.Logger) *consumers {
	return &consumers{
		js: js, log: log, gate: gate, held: semaphore.NewWeighted(maxHeld), maxHeld: maxHeld,
		under: &underWay{every: ackWait / 3, messages: map[jetstream.Msg]time.Time{}},
	}
}

// run consumes everything until taking is done, and returns when every message
// that was taken is settled.
func (c *consumers) run(taking, working context.Context, all ...consumption) {
	keeping, stop := context.WithCancel(context.WithoutCancel(taking))
	var keeper, open sync.WaitGroup
	keeper.Go(func() { c.under.keep(keeping) })
	for _, what := range all {
		open.Go(func() { c.consume(taking, working, what) })
	}
	open.Wait()
	c.running.Wait()
	stop()
	keeper.Wait()
}

// consume hands messages to a handler until taking is done; the handler's own
// context is working. What ends it otherwise (a consumer or stream that was
// removed, a leader that was lost) makes it begin again.
func (c *consumers) consume(taking, working context.Context, what consumption) {
	log := c.log.With(zap.String("consumer", what.consumer.Durable))
	// It ends with taking, and for no other reason.
	_ = retry.Until(taking, retry.Pace{First: 100 * time.Millisecond, Longest: 2 * time.Second},
		func(err error, _ time.Duration) { log.Warn("consumer ended, beginning again", zap.Error(err)) },
		func(taking context.Context) error {
			closed, err := c.begin(taking, working, what, log)
			if err != nil {
				return err
			}
			<-closed
			return errEnded
		})
}

var errEnded = errors.New("the consumer ended")

// begin begins to consume; what it returns is closed when that has ended, which it
// does by itself when taking is done. Messages that had been sent to this process
// by then are handed back at once.
func (c *consumers) begin(taking, working context.Context, what consumption, log *zap.Logger) (<-chan struct{}, error) {
	setup, cancel := context.WithTimeout(taking, askTimeout)
	defer cancel()
	consumer, err := c.js.CreateOrUpdateConsumer(setup, what.stream, what.consumer)
	if err != nil {
		return nil, fmt.Errorf("ensure consumer: %w", err)
	}
	consuming, err := consumer.Consume(func(msg jetstream.Msg) { c.take(taking, working, what, msg, log) },
		what.prefetch,
		jetstream.PullHeartbeat(topology.PullHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			log.Warn("consumer reported an error", zap.Error(err))
		}))
	if err != nil {
		return nil, fmt.Errorf("begin to consume: %w", err)
	}
	closed := consuming.Closed() // asked for before anything can end it: closed after the last call of take
	context.AfterFunc(taking, consuming.Drain)
	return closed, nil
}

// take begins to handle one message. It blocks while what is being handled holds
// all the memory that it may.
func (c *consumers) take(taking, working context.Context, what consumption, msg jetstream.Msg, log *zap.Logger) {
	if taking.Err() == nil && what.skip != nil && what.skip(msg) {
		settle(msg, nil, log)
		return
	}
	weight := min(int64(len(msg.Data())), c.maxHeld)
	if c.gate(taking) != nil || c.held.Acquire(taking, weight) != nil {
		settle(msg, deliver.ErrStopping, log)
		return
	}
	c.under.add(msg)
	c.running.Go(func() {
		defer c.held.Release(weight)
		err := handle(working, what, msg, log)
		c.under.remove(msg)
		settle(msg, err, log)
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

// underWay is the messages that are being handled.
type underWay struct {
	every time.Duration

	mu       sync.Mutex
	messages map[jetstream.Msg]time.Time // and when JetStream was last told of them
}

func (u *underWay) add(msg jetstream.Msg) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.messages[msg] = time.Now()
}

func (u *underWay) remove(msg jetstream.Msg) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.messages, msg)
}

// keep tells JetStream of what takes long, until ctx is done, so that it is not
// given out a second time.
func (u *underWay) keep(ctx context.Context) {
	tick := time.NewTicker(u.every / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		u.mu.Lock()
		for msg, told := range u.messages {
			if time.Since(told) >= u.every && msg.InProgress() == nil {
				u.messages[msg] = time.Now()
			}
		}
		u.mu.Unlock()
	}
}
