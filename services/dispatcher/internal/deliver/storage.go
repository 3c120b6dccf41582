package deliver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

var errStorageClosed = errors.New("the process ended before JetStream stored it")

// storage publishes to JetStream and returns when a message is stored. It tries
// until it is, or until it is closed: an outage of NATS holds deliveries up, it
// loses none.
type storage struct {
	js jetstream.JetStream
	// serverTime is what the clock shows by which JetStream fires schedules.
	serverTime func(time.Time) time.Time
	log        *zap.Logger
	closed     chan struct{}
	// everRefused counts the messages that JetStream has refused at least once.
	everRefused atomic.Uint64

	mu      sync.Mutex
	refused int           // messages that JetStream has refused and that are tried again
	open    chan struct{} // closed while there are none
}

func newStorage(js jetstream.JetStream, serverTime func(time.Time) time.Time, log *zap.Logger) *storage {
	s := &storage{js: js, serverTime: serverTime, log: log, closed: make(chan struct{}), open: make(chan struct{})}
	close(s.open)
	return s
}

// Store returns nil when the message is stored, and an error only when the
// storage was closed before that.
func (s *storage) Store(msg *nats.Msg) error {
	err := s.publish(msg)
	if err == nil || errors.Is(err, errStorageClosed) {
		return err
	}
	s.log.Warn("jetstream did not store a message, trying again", zap.String("subject", msg.Subject), zap.Error(err))
	s.everRefused.Add(1)
	s.refuse(1)
	defer s.refuse(-1)
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(0))
	for err != nil && !errors.Is(err, errStorageClosed) {
		select {
		case <-time.After(wait.NextBackOff()):
			err = s.publish(msg)
		case <-s.closed:
			err = errStorageClosed
		}
	}
	if err != nil {
		return fmt.Errorf("store on %s: %w", msg.Subject, err)
	}
	return nil
}

// StoreUntil is Store for a message that JetStream publishes again on the target when
// it is due (message schedules, nats-server 2.12), by our clock.
func (s *storage) StoreUntil(due time.Time, msg *nats.Msg, target string) error {
	// The library's option cuts the fraction of the second off, which would be
	// earlier than asked.
	msg.Header = nats.Header{
		jetstream.ScheduleHeader:       {"@at " + s.serverTime(due).UTC().Format(time.RFC3339Nano)},
		jetstream.ScheduleTargetHeader: {target},
	}
	return s.Store(msg)
}

func (s *storage) publish(msg *nats.Msg) error {
	future, err := s.js.PublishMsgAsync(msg)
	if err != nil {
		return err
	}
	select {
	case <-future.Ok():
		return nil
	case err := <-future.Err():
		return err
	case <-s.closed:
		return errStorageClosed
	}
}

// refuse counts messages that JetStream does not store.
func (s *storage) refuse(change int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.refused
	s.refused += change
	switch {
	case before == 0 && s.refused > 0:
		s.open = make(chan struct{})
	case before > 0 && s.refused == 0:
		close(s.open)
	}
}

// Refused is how many messages JetStream refuses to store at this moment.
func (s *storage) Refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// WaitOpen blocks while JetStream refuses what has to be stored: nobody is to be
// sent anything of which no record could be kept. It returns an error when ctx is
// done or the storage is closed before that.
func (s *storage) WaitOpen(ctx context.Context) error {
	s.mu.Lock()
	open := s.open
	s.mu.Unlock()
	select {
	case <-open:
		return nil
	default:
	}
	select {
	case <-open:
		return nil
	case <-s.closed:
		return errStorageClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close gives up what is not stored yet.
func (s *storage) Close() { close(s.closed) }
