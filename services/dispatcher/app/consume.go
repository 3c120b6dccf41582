package app

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/topology"
)

// consumption is one durable consumer and who handles its messages.
type consumption struct {
	stream   string
	consumer jetstream.ConsumerConfig
	prefetch jetstream.PullConsumeOpt
	handle   func(context.Context, jetstream.Msg)
}

// consume hands messages on until ctx is done. What ends it otherwise (a consumer
// or stream that was removed, a leader that was lost) makes it begin again. On a
// stop, messages that were already sent to this process go through handle, which
// hands them back at once.
func consume(ctx context.Context, js jetstream.JetStream, c consumption, log *zap.Logger) error {
	log = log.With(zap.String("consumer", c.consumer.Durable))
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(0))
	for ctx.Err() == nil {
		closed, err := start(ctx, js, c, log)
		if err == nil {
			wait.Reset()
			<-closed
		}
		if ctx.Err() != nil {
			break
		}
		log.Warn("consumer ended, beginning again", zap.Error(err))
		select {
		case <-time.After(wait.NextBackOff()):
		case <-ctx.Done():
		}
	}
	return nil //nolint:nilerr // a stop is no fault, whatever it interrupted
}

// start begins to consume; what it returns is closed when that has ended, which
// it does by itself when ctx is done.
func start(ctx context.Context, js jetstream.JetStream, c consumption, log *zap.Logger) (<-chan struct{}, error) {
	setup, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	consumer, err := js.CreateOrUpdateConsumer(setup, c.stream, c.consumer)
	if err != nil {
		return nil, fmt.Errorf("ensure consumer: %w", err)
	}
	consuming, err := consumer.Consume(func(msg jetstream.Msg) { c.handle(ctx, msg) },
		c.prefetch,
		jetstream.PullHeartbeat(topology.PullHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			log.Warn("consumer reported an error", zap.Error(err))
		}))
	if err != nil {
		return nil, fmt.Errorf("begin to consume: %w", err)
	}
	closed := consuming.Closed() // asked for before anything can end it: closed after the last call of handle
	context.AfterFunc(ctx, consuming.Drain)
	return closed, nil
}
