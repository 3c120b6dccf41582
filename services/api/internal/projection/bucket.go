package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// bucketStream is the stream behind the bucket.
const bucketStream = "KV_" + topology.BucketWebhooks

// bucketState tells a bucket from one that was made anew or put back in time.
type bucketState struct {
	created  time.Time
	sequence uint64
	// complete says that the bucket says so: it does not after somebody emptied it.
	complete bool
}

// replacedBy reports whether what is known to be in the bucket may no longer be.
func (b bucketState) replacedBy(next bucketState) bool {
	return !next.created.Equal(b.created) || next.sequence < b.sequence || !next.complete
}

// look returns the bucket and its state, and makes the bucket when it is gone.
func (p *Projector) look(ctx context.Context) (jetstream.KeyValue, bucketState, error) {
	stream, err := p.js.Stream(ctx, bucketStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if err := topology.Ensure(ctx, p.js, p.settings); err != nil {
			return nil, bucketState{}, fmt.Errorf("make bucket: %w", err)
		}
		stream, err = p.js.Stream(ctx, bucketStream)
	}
	if err != nil {
		return nil, bucketState{}, fmt.Errorf("look at bucket: %w", err)
	}
	kv, err := p.js.KeyValue(ctx, topology.BucketWebhooks)
	if err != nil {
		return nil, bucketState{}, fmt.Errorf("open bucket: %w", err)
	}
	_, err = kv.Get(ctx, topology.KeyProjected)
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, bucketState{}, fmt.Errorf("look for %s: %w", topology.KeyProjected, err)
	}
	info := stream.CachedInfo()
	return kv, bucketState{created: info.Created, sequence: info.State.LastSeq, complete: err == nil}, nil
}

// entry is what the bucket holds under one key.
type entry struct {
	// sequence is what a write must compare with; 0 when there is nothing.
	sequence uint64
	// value is nil when there is nothing, or nothing that can be read.
	value *webhooksv1.Registration
}

func read(ctx context.Context, kv jetstream.KeyValue, key string) (entry, error) {
	found, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return entry{}, nil
	}
	if err != nil {
		return entry{}, fmt.Errorf("read key: %w", err)
	}
	value := &webhooksv1.Registration{}
	// What a newer build adds is none of this one's business.
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(found.Value(), value); err != nil {
		value = nil // to be overwritten
	}
	return entry{sequence: found.Revision(), value: value}, nil
}

// errOvertaken says that somebody else wrote the key since it was read.
var errOvertaken = errors.New("key changed concurrently")

// write replaces what was read.
func write(ctx context.Context, kv jetstream.KeyValue, key string, was entry, value *webhooksv1.Registration) error {
	data, err := encode(value)
	if err != nil {
		return err
	}
	if was.sequence == 0 {
		// Create also steps over the marker of a key that was deleted by hand.
		_, err = kv.Create(ctx, key, data)
	} else {
		_, err = kv.Update(ctx, key, data, was.sequence)
	}
	var refused *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyExists),
		errors.As(err, &refused) && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
		return errOvertaken
	default:
		return fmt.Errorf("write key: %w", err)
	}
}

// encode makes equal registrations equal bytes, within one build.
func encode(value *webhooksv1.Registration) ([]byte, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode registration: %w", err)
	}
	return data, nil
}
