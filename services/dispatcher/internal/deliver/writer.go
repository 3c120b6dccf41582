package deliver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// pendingWrites bounds the messages that JetStream has not acknowledged yet.
const pendingWrites = 4096

// writer publishes to JetStream and says when a message is stored. It tries until
// it is, or until the writer is closed: an outage of NATS holds deliveries up, it
// loses none.
type writer struct {
	js     jetstream.JetStream
	log    *zap.Logger
	slots  chan struct{}
	ctx    context.Context //nolint:containedctx // the life of the writer, not of a call
	cancel context.CancelFunc
	open   sync.WaitGroup
}

func newWriter(js jetstream.JetStream, log *zap.Logger) *writer {
	ctx, cancel := context.WithCancel(context.Background())
	return &writer{js: js, log: log, slots: make(chan struct{}, pendingWrites), ctx: ctx, cancel: cancel}
}

// write blocks while too much is pending, then returns; stored is called once,
// with nil when the message is durable.
func (w *writer) write(msg *nats.Msg, stored func(error)) {
	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		stored(w.ctx.Err())
		return
	}
	w.open.Add(1)
	future, err := w.js.PublishMsgAsync(msg)
	go func() {
		defer func() {
			<-w.slots
			w.open.Done()
		}()
		if err == nil {
			if err = w.await(future); err == nil {
				stored(nil)
				return
			}
		}
		stored(w.insist(msg, err))
	}()
}

func (w *writer) await(future jetstream.PubAckFuture) error {
	select {
	case <-future.Ok():
		return nil
	case err := <-future.Err():
		return err
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// insist publishes again until it works or the writer is closed.
func (w *writer) insist(msg *nats.Msg, cause error) error {
	w.log.Warn("jetstream did not store a message, trying again", zap.String("subject", msg.Subject), zap.Error(cause))
	policy := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(0))
	err := backoff.Retry(func() error {
		future, err := w.js.PublishMsgAsync(msg)
		if err != nil {
			return err
		}
		return w.await(future)
	}, backoff.WithContext(policy, w.ctx))
	if err != nil {
		return fmt.Errorf("store on %s: %w", msg.Subject, err)
	}
	return nil
}

// close waits for what is pending until ctx is done, then gives the rest up.
func (w *writer) close(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		w.open.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	w.cancel()
	<-ended
}
