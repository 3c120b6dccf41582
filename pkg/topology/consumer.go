package topology

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// checkpointInterval is how often it is written down how far consumers of EVENTS
// have settled. What was settled since then comes again when a consumer is lost.
const checkpointInterval = 3 * time.Second

// checkpoint is how far a consumer has settled.
type checkpoint struct {
	// Created says which stream this is about: one that was made again counts from
	// the beginning.
	Created time.Time `json:"created"`
	// Sequence is the last of which it and everything before it was settled.
	Sequence uint64 `json:"sequence"`
	// At is when that was so, by the server's clock.
	At time.Time `json:"at"`
}

// Consumer returns a consumer, and makes it when it is missing. One on EVENTS that
// was lost, or that has lost its state, goes on after what it had settled, by its
// checkpoint: what was sent days ago is not sent again. On a stream that was made
// again it begins with the first message. The consumers of work queues need no
// checkpoint: what is settled is not there any more.
func Consumer(ctx context.Context, js jetstream.JetStream, stream string, want jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	consumer, err := js.Consumer(ctx, stream, want.Durable)
	if err == nil && stream == StreamEvents {
		err = forget(ctx, js, consumer)
	}
	switch {
	case err == nil:
		return adjust(ctx, js, stream, consumer, want)
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return nil, fmt.Errorf("look at consumer %s: %w", want.Durable, err)
	}
	if stream == StreamEvents {
		if want, err = resume(ctx, js, want); err != nil {
			return nil, err
		}
	}
	consumer, err = js.CreateConsumer(ctx, stream, want)
	if errors.Is(err, jetstream.ErrConsumerExists) { // by another replica, a moment ago
		consumer, err = js.Consumer(ctx, stream, want.Durable)
	}
	if err != nil {
		return nil, fmt.Errorf("make consumer %s: %w", want.Durable, err)
	}
	return consumer, nil
}

// adjust changes what the settings of this version say otherwise.
func adjust(ctx context.Context, js jetstream.JetStream, stream string, consumer jetstream.Consumer, want jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	have := consumer.CachedInfo().Config
	if have.AckWait == want.AckWait && have.MaxAckPending == want.MaxAckPending && have.FilterSubject == want.FilterSubject {
		return consumer, nil
	}
	have.AckWait, have.MaxAckPending, have.FilterSubject = want.AckWait, want.MaxAckPending, want.FilterSubject
	changed, err := js.UpdateConsumer(ctx, stream, have)
	if err != nil {
		return nil, fmt.Errorf("change consumer %s: %w", want.Durable, err)
	}
	return changed, nil
}

// forget deletes a consumer that has lost its state: it would give out everything
// from the first message on. It then returns ErrConsumerNotFound. What is below
// its checkpoint was settled, so nothing is lost by that.
func forget(ctx context.Context, js jetstream.JetStream, consumer jetstream.Consumer) error {
	info := consumer.CachedInfo()
	saved, stream, err := saved(ctx, js, info.Name)
	if err != nil {
		return err
	}
	if saved == nil || !saved.Created.Equal(stream.Created) || saved.Sequence > stream.State.LastSeq ||
		info.Delivered.Stream >= saved.Sequence {
		return nil
	}
	if err := js.DeleteConsumer(ctx, StreamEvents, info.Name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("delete a consumer that lost its state: %w", err)
	}
	return jetstream.ErrConsumerNotFound
}

// resume says where a consumer that is missing begins.
func resume(ctx context.Context, js jetstream.JetStream, want jetstream.ConsumerConfig) (jetstream.ConsumerConfig, error) {
	saved, stream, err := saved(ctx, js, want.Durable)
	switch {
	case err != nil: // not knowing is no reason to send everything again
		return want, err
	case saved == nil, !saved.Created.Equal(stream.Created):
	case saved.Sequence > stream.State.LastSeq:
		// The stream was restored from a backup that is older. What is published since
		// then has sequences that were settled before, so only the time tells.
		want.DeliverPolicy, want.OptStartTime = jetstream.DeliverByStartTimePolicy, &saved.At
	default:
		want.DeliverPolicy, want.OptStartSeq = jetstream.DeliverByStartSequencePolicy, saved.Sequence+1
	}
	return want, nil
}

// saved is the consumer's checkpoint, or nil, and the stream as it is.
func saved(ctx context.Context, js jetstream.JetStream, consumer string) (*checkpoint, *jetstream.StreamInfo, error) {
	stream, err := js.Stream(ctx, StreamEvents)
	if err != nil {
		return nil, nil, fmt.Errorf("look at stream %s: %w", StreamEvents, err)
	}
	bucket, err := js.KeyValue(ctx, BucketCheckpoints)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, stream.CachedInfo(), nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open bucket %s: %w", BucketCheckpoints, err)
	}
	found, _, err := read(ctx, bucket, consumer)
	return found, stream.CachedInfo(), err
}

// read returns nil when there is no checkpoint.
func read(ctx context.Context, bucket jetstream.KeyValue, consumer string) (*checkpoint, uint64, error) {
	entry, err := bucket.Get(ctx, consumer)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the checkpoint of consumer %s: %w", consumer, err)
	}
	var found checkpoint
	if err := json.Unmarshal(entry.Value(), &found); err != nil {
		return nil, entry.Revision(), fmt.Errorf("read the checkpoint of consumer %s: %w", consumer, err)
	}
	return &found, entry.Revision(), nil
}

// KeepCheckpoints writes down how far the consumers of EVENTS have settled, every
// three seconds until ctx is done. Each dispatcher does; the largest counts.
func KeepCheckpoints(ctx context.Context, js jetstream.JetStream, log *zap.Logger) error {
	ticker := time.NewTicker(checkpointInterval)
	defer ticker.Stop()
	written := map[string]checkpoint{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		look, cancel := context.WithTimeout(ctx, lookTimeout)
		if err := writeCheckpoints(look, js, written); err != nil && ctx.Err() == nil {
			log.Info("checkpoints not written, trying again", zap.Error(err))
		}
		cancel()
	}
}

func writeCheckpoints(ctx context.Context, js jetstream.JetStream, written map[string]checkpoint) error {
	bucket, err := js.KeyValue(ctx, BucketCheckpoints)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", BucketCheckpoints, err)
	}
	stream, err := js.Stream(ctx, StreamEvents)
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", StreamEvents, err)
	}
	var faults []error
	consumers := stream.ListConsumers(ctx)
	for info := range consumers.Info() {
		now := checkpoint{Created: stream.CachedInfo().Created, Sequence: info.AckFloor.Stream, At: info.TimeStamp}
		before := written[info.Name]
		if !strings.HasPrefix(info.Name, intakePrefix) || now.Sequence == 0 ||
			before.Sequence == now.Sequence && before.Created.Equal(now.Created) {
			continue
		}
		if err := advance(ctx, bucket, info.Name, now); err != nil {
			faults = append(faults, err) // read on: the list has a goroutine that waits for that
			continue
		}
		written[info.Name] = now
	}
	if err := consumers.Err(); err != nil {
		faults = append(faults, fmt.Errorf("list the consumers of %s: %w", StreamEvents, err))
	}
	return errors.Join(faults...)
}

// advance writes a checkpoint unless a later one of the same stream is there.
func advance(ctx context.Context, bucket jetstream.KeyValue, consumer string, now checkpoint) error {
	before, revision, err := read(ctx, bucket, consumer)
	if err != nil && revision == 0 {
		return err
	}
	if before != nil && before.Created.Equal(now.Created) && before.Sequence >= now.Sequence {
		return nil
	}
	value, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("write the checkpoint of consumer %s: %w", consumer, err)
	}
	_, err = bucket.Update(ctx, consumer, value, revision)
	if err != nil && !errors.Is(err, jetstream.ErrKeyExists) { // another replica was quicker
		return fmt.Errorf("write the checkpoint of consumer %s: %w", consumer, err)
	}
	return nil
}
