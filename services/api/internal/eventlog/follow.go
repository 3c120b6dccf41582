package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/topology"
)

const (
	// followBatch is how many events can be on their way to somebody who follows.
	// They come without their bodies.
	followBatch = 64
	// followExpiry is how long one request for events stands; without a heartbeat for
	// twice followHeartbeat the broker counts as gone.
	followExpiry    = 30 * time.Second
	followHeartbeat = 2 * time.Second
)

// Last is the sequence of the newest event, of whichever project.
func (l *Log) Last(ctx context.Context) (uint64, error) {
	stream, err := l.js.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", topology.StreamEvents, err)
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// Follow calls visit with each event of the query, first with those that are stored
// already and then with each that comes, in the order in which they are stored. It
// ends when visit returns an error or ctx is done, and also when it cannot be sure
// any more to see every event: whoever wants to go on then begins again after the
// last one that was visited. A visit that takes long holds up nothing else.
func (l *Log) Follow(ctx context.Context, q Query, visit func(Event) error) error {
	stream, err := l.js.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return fmt.Errorf("open %s: %w", topology.StreamEvents, err)
	}
	consumer, err := stream.CreateConsumer(ctx, config(q))
	if err != nil {
		return fmt.Errorf("follow %s: %w", topology.StreamEvents, err)
	}
	defer func() { // it ends by itself
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readWait)
		defer cancel()
		_ = stream.DeleteConsumer(ctx, consumer.CachedInfo().Name)
	}()
	for number := uint64(1); ; {
		if number, err = follow(ctx, stream, consumer, number, visit); err != nil {
			return err
		}
	}
}

// follow visits what comes of one request, of which number is to be the first, and
// returns what comes next.
func follow(ctx context.Context, stream jetstream.Stream, consumer jetstream.Consumer, number uint64, visit func(Event) error) (uint64, error) {
	request, cancel := context.WithTimeout(ctx, followExpiry)
	defer cancel()
	batch, err := consumer.Fetch(followBatch, jetstream.FetchContext(request), jetstream.FetchHeartbeat(followHeartbeat))
	if err != nil {
		return number, fmt.Errorf("follow events: %w", err)
	}
	for {
		var msg jetstream.Msg
		var more bool
		select {
		case msg, more = <-batch.Messages():
		case <-ctx.Done():
			return number, fmt.Errorf("follow events: %w", context.Cause(ctx))
		}
		if !more {
			break
		}
		meta, err := msg.Metadata()
		if err != nil {
			return number, fmt.Errorf("read event: %w", err)
		}
		if meta.Sequence.Consumer != number {
			return number, errors.New("follow events: some were lost on the way")
		}
		number++
		found, err := identify(ctx, stream, msg, meta)
		if err != nil {
			return number, err
		}
		if found.ID == "" {
			continue
		}
		if err := visit(found); err != nil {
			return number, err
		}
	}
	if err := batch.Error(); err != nil {
		return number, fmt.Errorf("follow events: %w", err)
	}
	return number, nil
}
