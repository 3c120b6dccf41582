package topology

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// message is one that a puller received, as jetstream.Msg.
type message struct {
	nc      *nats.Conn
	msg     *nats.Msg
	arrived time.Time
	settled atomic.Bool
}

// Arrived is when a message from [Consume] came here: after that, it may have waited
// for its turn for so long that JetStream has given it to somebody else. It is the
// zero time when it did not wait.
func Arrived(msg jetstream.Msg) time.Time {
	if m, ok := msg.(*message); ok {
		return m.arrived
	}
	return time.Time{}
}

func (m *message) Data() []byte         { return m.msg.Data }
func (m *message) Headers() nats.Header { return m.msg.Header }
func (m *message) Subject() string      { return m.msg.Subject }
func (m *message) Reply() string        { return m.msg.Reply }

func (m *message) Metadata() (*jetstream.MsgMetadata, error) {
	meta, err := m.msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read what JetStream says about the message: %w", err)
	}
	return &jetstream.MsgMetadata{
		Sequence:     jetstream.SequencePair{Consumer: meta.Sequence.Consumer, Stream: meta.Sequence.Stream},
		NumDelivered: meta.NumDelivered, NumPending: meta.NumPending,
		Timestamp: meta.Timestamp, Stream: meta.Stream, Consumer: meta.Consumer, Domain: meta.Domain,
	}, nil
}

func (m *message) Ack() error  { return m.settle("+ACK") }
func (m *message) Nak() error  { return m.settle("-NAK") }
func (m *message) Term() error { return m.settle("+TERM") }

func (m *message) NakWithDelay(delay time.Duration) error {
	if delay <= 0 {
		return m.Nak()
	}
	return m.settle(fmt.Sprintf(`-NAK {"delay": %d}`, delay.Nanoseconds()))
}

func (m *message) TermWithReason(reason string) error { return m.settle("+TERM " + reason) }

func (m *message) InProgress() error {
	if m.settled.Load() {
		return jetstream.ErrMsgAlreadyAckd
	}
	return m.say("+WPI")
}

func (m *message) DoubleAck(ctx context.Context) error {
	if !m.settled.CompareAndSwap(false, true) {
		return jetstream.ErrMsgAlreadyAckd
	}
	if _, err := m.nc.RequestWithContext(ctx, m.msg.Reply, []byte("+ACK")); err != nil {
		m.settled.Store(false)
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}

func (m *message) settle(how string) error {
	if !m.settled.CompareAndSwap(false, true) {
		return jetstream.ErrMsgAlreadyAckd
	}
	if err := m.say(how); err != nil {
		m.settled.Store(false)
		return err
	}
	return nil
}

func (m *message) say(what string) error {
	if err := m.nc.Publish(m.msg.Reply, []byte(what)); err != nil {
		return fmt.Errorf("settle a message: %w", err)
	}
	return nil
}
