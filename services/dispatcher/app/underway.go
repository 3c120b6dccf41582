package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
)

// place is where a message is stored.
type place struct {
	stream   string
	sequence uint64
	// at tells it from what had the sequence before the stream was made again.
	at time.Time
}

func placeOf(meta *jetstream.MsgMetadata) place {
	return place{meta.Stream, meta.Sequence.Stream, meta.Timestamp}
}

// handling is a message that is being handled.
type handling struct {
	msg  jetstream.Msg
	told time.Time // when JetStream was last told of it
}

// underWay is the messages that are being handled.
type underWay struct {
	every time.Duration

	mu       sync.Mutex
	messages map[place]*handling
}

// add notes a message, and reports whether it was not being handled already. While
// nobody could be told of it, after an outage that was longer than the ack wait,
// JetStream gives it out again; its receiver may have it by now and must not get it
// a second time. The later copy is the one to settle then. told is when JetStream
// gave it out.
func (u *underWay) add(msg jetstream.Msg, told time.Time) (at place, first bool) {
	meta, err := msg.Metadata()
	if err == nil {
		at = placeOf(meta)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	before := u.messages[at]
	if before != nil {
		before.msg, before.told = msg, time.Now()
		return at, false
	}
	if told.IsZero() || time.Since(told) >= u.every && msg.InProgress() == nil {
		told = time.Now()
	}
	u.messages[at] = &handling{msg: msg, told: told}
	return at, true
}

// remove returns the message to settle.
func (u *underWay) remove(at place) jetstream.Msg {
	u.mu.Lock()
	defer u.mu.Unlock()
	msg := u.messages[at].msg
	delete(u.messages, at)
	return msg
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
		for _, one := range u.messages {
			if time.Since(one.told) >= u.every && one.msg.InProgress() == nil {
				one.told = time.Now()
			}
		}
		u.mu.Unlock()
	}
}

// ackedMax is how many acknowledgements are remembered: those of seconds at full
// speed.
const ackedMax = 1 << 14

// repeatFor is how long after a new connection they are tried to be sent again.
const repeatFor = 30 * time.Second

// settleDown is how long others may find out that they have a new leader as well,
// before acknowledgements are sent again to all of them.
const settleDown = 500 * time.Millisecond

// acked is the acknowledgements that may have been lost, with a connection, with a
// nats-server on their way, or with the leader of their consumer. Those are sent
// again on the next connection and to the next leader, and what is given out again
// here all the same is acknowledged again: its receiver has it, and would get it a
// second time otherwise. Another dispatcher would not know.
type acked struct {
	mu     sync.Mutex
	recent *simplelru.LRU[place, string] // subjects to acknowledge on
	again  chan struct{}                 // they may have been lost
}

func newAcked() *acked {
	recent, err := simplelru.NewLRU[place, string](ackedMax, nil)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return &acked{recent: recent, again: make(chan struct{}, 1)}
}

func (a *acked) add(at place, reply string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.recent.Add(at, reply)
}

// has reports whether a message was given out again that had been acknowledged: by
// a consumer that never heard of it, or by one that was made again.
func (a *acked) has(msg jetstream.Msg) bool {
	meta, err := msg.Metadata()
	if err != nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.recent.Contains(placeOf(meta))
}

// mayBeLost has all of them sent again.
func (a *acked) mayBeLost() {
	select {
	case a.again <- struct{}{}:
	default: // they are about to be
	}
}

// keep sends them whenever the connection is there again or they may have been lost
// in another way, until ctx is done.
func (a *acked) keep(ctx context.Context, js jetstream.JetStream, log *zap.Logger) {
	nc := js.Conn()
	connected := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(connected)
	for {
		select {
		case <-ctx.Done():
			return
		case <-connected:
		case <-a.again:
			retry.Pause(ctx, settleDown)
		}
		// JetStream may need a leader first. Much later, what is not settled has come again.
		repeating, cancel := context.WithTimeout(ctx, repeatFor)
		err := retry.Until(repeating, retry.Pace{First: 100 * time.Millisecond, Longest: time.Second}, nil,
			func(ctx context.Context) error { return a.repeat(ctx, js) })
		cancel()
		if err != nil && ctx.Err() == nil {
			log.Info("acknowledgements not sent again", zap.Error(err))
		}
	}
}

// repeat sends all of them again that are for streams which are still the same. A
// stream that was made again has other messages with the same sequences, which an
// acknowledgement from before would settle.
func (a *acked) repeat(ctx context.Context, js jetstream.JetStream) error {
	a.mu.Lock()
	places, replies := a.recent.Keys(), a.recent.Values()
	a.mu.Unlock()
	made := map[string]time.Time{}
	for i, at := range places {
		since, looked := made[at.stream]
		if !looked {
			stream, err := js.Stream(ctx, at.stream)
			if err != nil {
				return fmt.Errorf("look at stream %s: %w", at.stream, err)
			}
			since = stream.CachedInfo().Created
			made[at.stream] = since
		}
		if at.at.Before(since) {
			continue
		}
		if err := js.Conn().Publish(replies[i], []byte("+ACK")); err != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
	}
	return nil
}
