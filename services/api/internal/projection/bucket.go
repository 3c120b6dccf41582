package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// bucketState tells a bucket from one that was made anew, emptied, or put back in
// time.
type bucketState struct {
	created  time.Time
	sequence uint64
	// content is where the bucket holds [topology.KeyContent]: 0 once it was emptied.
	content uint64
	// marked is where it says that it is complete; 0 when it does not.
	marked uint64
}

// replacedBy reports whether what is known to be in the bucket may no longer be.
func (b bucketState) replacedBy(next bucketState) bool {
	return !next.created.Equal(b.created) || next.sequence < b.sequence || next.content != b.content || next.marked == 0
}

// look returns the state of the bucket, and makes the bucket when it is gone.
func (p *Projector) look(ctx context.Context) (bucketState, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	stream, err := p.js.Stream(ctx, topology.StreamBucket)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if err := topology.Ensure(ctx, p.js, p.settings); err != nil {
			return bucketState{}, fmt.Errorf("make bucket: %w", err)
		}
		stream, err = p.js.Stream(ctx, topology.StreamBucket)
	}
	if err != nil {
		return bucketState{}, fmt.Errorf("look at bucket: %w", err)
	}
	info := stream.CachedInfo()
	state := bucketState{created: info.Created, sequence: info.State.LastSeq}
	marker, err := topology.ReadBucket(ctx, p.js, topology.KeyProjected)
	if err != nil {
		return bucketState{}, err
	}
	if marker.Value != nil {
		state.marked = marker.Sequence
	}
	content, err := topology.ReadBucket(ctx, p.js, topology.KeyContent)
	if err != nil {
		return bucketState{}, err
	}
	state.content = content.Sequence
	return state, nil
}

// begin makes sure that the bucket holds [topology.KeyContent].
func (p *Projector) begin(ctx context.Context, state bucketState) (bucketState, error) {
	if state.content != 0 {
		return state, nil
	}
	ack, err := p.js.Publish(ctx, topology.SubjectKey(topology.KeyContent), []byte(time.Now().UTC().Format(time.RFC3339)),
		jetstream.WithExpectLastSequencePerSubject(0))
	if overtaken(err) { // another replica was faster
		content, err := topology.ReadBucket(ctx, p.js, topology.KeyContent)
		state.content = content.Sequence
		return state, err //nolint:wrapcheck // it says what it did
	}
	if err != nil {
		return state, fmt.Errorf("begin content of the bucket: %w", err)
	}
	state.content = ack.Sequence
	return state, nil
}

// mark says that everything is in the bucket, if it was not emptied since the
// content began that the pass has seen.
func (p *Projector) mark(ctx context.Context, state bucketState) (bucketState, error) {
	ack, err := p.js.Publish(ctx, topology.SubjectKey(topology.KeyProjected), []byte(time.Now().UTC().Format(time.RFC3339)),
		jetstream.WithExpectLastSequenceForSubject(state.content, topology.SubjectKey(topology.KeyContent)))
	if overtaken(err) {
		return state, errors.New("mark bucket as complete: it was emptied or replaced meanwhile")
	}
	if err != nil {
		return state, fmt.Errorf("mark bucket as complete: %w", err)
	}
	state.marked = ack.Sequence
	return state, nil
}

// unmark says that the bucket is not complete: until it is marked again,
// dispatchers take nobody's silence for a no.
func (p *Projector) unmark(ctx context.Context, state *bucketState, why string) error {
	if state.marked == 0 {
		return nil
	}
	kv, err := p.js.KeyValue(ctx, topology.BucketWebhooks)
	if err != nil {
		return fmt.Errorf("open bucket: %w", err)
	}
	if err := kv.Delete(ctx, topology.KeyProjected); err != nil {
		return fmt.Errorf("mark bucket as incomplete: %w", err)
	}
	p.log.Warn("bucket is not what it was: writing it again", zap.String("why", why))
	state.marked = 0
	return nil
}

// entry is what the bucket holds under one key.
type entry struct {
	// sequence is what a write must compare with; 0 when there is nothing.
	sequence uint64
	created  time.Time
	// value is nil when there is nothing, or nothing that can be read.
	value *webhooksv1.Registration
}

func (p *Projector) read(ctx context.Context, key string) (entry, error) {
	found, err := topology.ReadBucket(ctx, p.js, key)
	if err != nil {
		return entry{}, err
	}
	e := entry{sequence: found.Sequence, created: found.Created}
	if found.Value == nil {
		return e, nil
	}
	value := &webhooksv1.Registration{}
	// What a newer build adds is none of this one's business. What cannot be read is
	// to be overwritten.
	if (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(found.Value, value) == nil {
		e.value = value
	}
	return e, nil
}

// errOvertaken says that somebody else wrote the key since it was read.
var errOvertaken = errors.New("key changed concurrently")

// write replaces what was read.
func (p *Projector) write(ctx context.Context, key string, was entry, value *webhooksv1.Registration) error {
	data, err := encode(value)
	if err != nil {
		return err
	}
	_, err = p.js.Publish(ctx, topology.SubjectKey(key), data, jetstream.WithExpectLastSequencePerSubject(was.sequence))
	switch {
	case overtaken(err):
		return errOvertaken
	case err != nil:
		return fmt.Errorf("write key: %w", err)
	default:
		return nil
	}
}

// overtaken reports whether JetStream refused a write because what it compares
// with has changed.
func overtaken(err error) bool {
	// While another write is on its way between the servers, it has no number yet.
	const wrongLastSequence jetstream.ErrorCode = 10164
	var refused *jetstream.APIError
	return errors.As(err, &refused) &&
		(refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || refused.ErrorCode == wrongLastSequence)
}

// encode makes equal registrations equal bytes, within one build.
func encode(value *webhooksv1.Registration) ([]byte, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode registration: %w", err)
	}
	return data, nil
}
