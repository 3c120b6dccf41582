package topology

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
)

const (
	// pullExpiry is how long one request for messages stands.
	pullExpiry = 30 * time.Second
	// largeWait is how long a large message is waited for.
	largeWait = 2 * time.Second
	// statusesMax is how many heartbeats and ends of requests can come while one
	// message is handled.
	statusesMax = 256
)

// Large bounds the messages that are read although they are above the limit on
// bytes of their consumer. The consumers of one connection share it: a nats-server
// cuts off a client for which it has to buffer more than 64 MiB.
type Large chan struct{}

// NewLarge allows so many at once.
func NewLarge(atOnce int) Large { return make(Large, atOnce) }

// Consuming is a consumer, and how much of it may be on its way here.
type Consuming struct {
	Stream   string
	Consumer jetstream.ConsumerConfig
	// Messages and Bytes bound what JetStream sends ahead.
	Messages, Bytes int
	// Large is for messages above Bytes, each of which is asked for by itself.
	Large Large
	// Report, which may be nil, is told why nothing is consumed, and nil when it is.
	Report func(error)
	Log    *zap.Logger
}

// Consume hands messages to handle, one after the other, until ctx is done.
// Whatever ends it before makes it begin again: a consumer or stream that
// vanished, a server that says nothing, a lost leader. Nothing wedges it: not a
// message of any size either. On a stop, messages that were already sent here go
// through handle, whose context is then done, so that it hands them back at once.
//
// It asks by itself, because the client's own Consume asks in a busy loop for a
// message that is larger than its limit, and believes the headers of an empty
// message that somebody published.
func Consume(ctx context.Context, js jetstream.JetStream, c Consuming, handle func(context.Context, jetstream.Msg)) error {
	log := c.Log.With(zap.String("consumer", c.Consumer.Durable))
	report := func(err error) {
		if c.Report != nil {
			c.Report(err)
		}
	}
	report(errors.New("not begun yet"))
	err := retry.Until(ctx, retry.Pace{First: 100 * time.Millisecond, Longest: 2 * time.Second},
		func(err error, _ time.Duration) {
			report(err)
			log.Warn("consumer ended, beginning again", zap.Error(err))
		},
		func(ctx context.Context) error {
			p := &puller{js: js, Consuming: c, handle: handle, report: report}
			return p.run(ctx)
		})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // a stop is no fault, whatever it interrupted
	}
	return err
}

// puller consumes until something ends it.
type puller struct {
	Consuming

	js       jetstream.JetStream
	handle   func(context.Context, jetstream.Msg)
	report   func(error)
	consumer jetstream.Consumer
	inbox    string
	pulls    int
	// messages and bytes are how much has been asked for and has not come.
	messages, bytes int
}

func (p *puller) run(ctx context.Context) error {
	setup, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var err error
	if p.consumer, err = Consumer(setup, p.js, p.Stream, p.Consumer); err != nil {
		return err
	}
	p.inbox = p.js.Conn().NewInbox()
	// All that can be on its way at once, and what JetStream says about it meanwhile.
	// Not a subscription that is asked for its next message: that takes an empty one
	// with the right header, which anybody can publish, for an error.
	arrived := make(chan arrival, 3*p.Messages+statusesMax)
	ended := make(chan struct{})
	defer close(ended)
	sub, err := p.js.Conn().Subscribe(p.inbox+".*", func(msg *nats.Msg) {
		select {
		case arrived <- arrival{msg, time.Now()}:
		case <-ended:
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to messages: %w", err)
	}
	drained := make(chan struct{})
	sub.SetClosedHandler(func(string) { close(drained) })
	stop := context.AfterFunc(ctx, func() { _ = sub.Drain() }) // fails only when it has ended already
	defer func() {
		if stop() {
			_ = sub.Unsubscribe() // what is on its way comes again
		}
	}()
	return p.consume(ctx, arrived, drained)
}

// arrival is a message, and when it came.
type arrival struct {
	*nats.Msg

	at time.Time
}

func (p *puller) consume(ctx context.Context, arrived <-chan arrival, drained <-chan struct{}) error {
	silence := time.NewTimer(2 * PullHeartbeat)
	defer silence.Stop()
	for {
		if err := p.ask(ctx); err != nil {
			return err
		}
		silence.Reset(2 * PullHeartbeat)
		select {
		case msg := <-arrived:
			if err := p.take(ctx, msg); err != nil {
				return err
			}
		case <-drained:
			for len(arrived) > 0 {
				if err := p.take(ctx, <-arrived); err != nil {
					return err
				}
			}
			return errors.New("the subscription ended")
		case <-silence.C:
			if ctx.Err() == nil || !p.js.Conn().IsConnected() { // it does not drain without a server
				return errors.New("nothing was heard of the consumer, not even that it has nothing")
			}
		}
	}
}

func (p *puller) take(ctx context.Context, msg arrival) error {
	p.report(nil)
	if strings.HasPrefix(msg.Subject, p.inbox) {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // messages are still on their way
		}
		return p.status(ctx, msg.Msg)
	}
	p.messages--
	p.bytes -= msg.Size()
	p.handle(ctx, &message{nc: p.js.Conn(), msg: msg.Msg, arrived: msg.at})
	return nil
}

// ask asks for more when half of what was asked for has come.
func (p *puller) ask(ctx context.Context) error {
	if ctx.Err() != nil || p.messages > p.Messages/2 && p.bytes > p.Bytes/2 {
		return nil //nolint:nilerr // drained already
	}
	p.pulls++
	// Bytes are asked for in full: what is left of the request before is not enough
	// for the next message, or it will come.
	request := fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}`,
		max(p.Messages-max(p.messages, 0), 1), p.Bytes, pullExpiry, PullHeartbeat)
	p.messages, p.bytes = p.Messages, p.Bytes+max(p.bytes, 0)
	subject := apiSubject(p.js, "CONSUMER.MSG.NEXT."+p.Stream+"."+p.Consumer.Durable)
	if err := p.js.Conn().PublishRequest(subject, p.inbox+"."+strconv.Itoa(p.pulls), request); err != nil {
		return fmt.Errorf("ask for messages: %w", err)
	}
	return nil
}

// status takes what JetStream says about a request. An error ends this puller.
func (p *puller) status(ctx context.Context, msg *nats.Msg) error {
	description := msg.Header.Get("Description")
	large := strings.Contains(description, "Message Size Exceeds MaxBytes")
	switch code := msg.Header.Get("Status"); {
	case code == "100": // a heartbeat
		return nil
	case code == "404", code == "408", large, strings.Contains(description, "Batch Completed"):
		p.messages = max(p.messages-left(msg, "Nats-Pending-Messages"), 0)
		p.bytes = max(p.bytes-left(msg, "Nats-Pending-Bytes"), 0)
	case code == "503":
		return errors.New("nobody answers for the consumer")
	default:
		return fmt.Errorf("the consumer says %s %s", code, description)
	}
	// Every request ends in this way when what is left of it is too little for the
	// next message. Only one of which nothing was used says that no request can be
	// enough.
	if !large || left(msg, "Nats-Pending-Bytes") < p.Bytes {
		return nil
	}
	return p.takeLarge(ctx)
}

func left(msg *nats.Msg, header string) int {
	count, err := strconv.Atoi(msg.Header.Get(header))
	if err != nil {
		return 0
	}
	return count
}

// takeLarge takes one message whatever its size.
func (p *puller) takeLarge(ctx context.Context) error {
	select {
	case p.Large <- struct{}{}:
		defer func() { <-p.Large }()
	case <-ctx.Done():
		return nil
	}
	batch, err := p.consumer.Fetch(1, jetstream.FetchMaxWait(largeWait))
	if err != nil {
		return fmt.Errorf("ask for a large message: %w", err)
	}
	for msg := range batch.Messages() {
		p.handle(ctx, msg)
	}
	if err := batch.Error(); err != nil {
		return fmt.Errorf("take a large message: %w", err)
	}
	return nil
}
