package topology

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"
)

// ErrEventGone says that an event is proven not to be in EVENTS any more: it was
// erased, or it is older than what is retained. Only the stream's leader can say
// so. Everything else that goes wrong while reading is another error, and proves
// nothing.
var ErrEventGone = errors.New("event is no longer retained")

// ErrEventErased is an [ErrEventGone] of which it is proven, too, that the event has
// not aged out: younger and older ones are there.
var ErrEventErased = fmt.Errorf("%w: it was erased", ErrEventGone)

const (
	// readTimeout bounds each request of an [EventReader].
	readTimeout = 5 * time.Second
	// pageEvents is how many events one page has at most.
	pageEvents = 256
	// pageBytes is how much JetStream sends for one page, and up to one event more.
	pageBytes = 4 << 20
	// denseEvents is how many events, with no more than as many others between
	// them, are read as a batch. The others are read one by one.
	denseEvents = 8
	// largestOnTheirWay is how many of the largest events a reader may have asked for
	// and not taken. A nats-server cuts off a client for which it has to buffer more
	// than 64 MiB, and counts what is on its way until all that it writes at once is
	// written: up to twice as much. How large an event is, is not known before it is
	// here.
	largestOnTheirWay = 3
	// batchWeight is what one batch counts as: [pageBytes] and one event more.
	batchWeight = 2
	// leaderProof is how recently a majority of the replicas must have answered the
	// leader, so that no other can have been elected meanwhile: elections begin
	// after four seconds of silence at the earliest.
	leaderProof = 3 * time.Second
)

// EventReader reads events back by their sequence in EVENTS. It is safe for
// concurrent use, and all calls together have at most [largestOnTheirWay] of the
// largest events on their way. Where many are read, its connection is its own.
type EventReader struct {
	js       jetstream.JetStream
	onTheWay *semaphore.Weighted
}

// NewEventReader returns a reader of EVENTS. It asks for nothing yet.
func NewEventReader(js jetstream.JetStream) *EventReader {
	return &EventReader{js: js, onTheWay: semaphore.NewWeighted(largestOnTheirWay)}
}

// Event reads one event of the project. It returns [ErrEventGone] only on proof;
// see there.
func (r *EventReader) Event(ctx context.Context, project string, sequence uint64) (*jetstream.RawStreamMsg, error) {
	var found *jetstream.RawStreamMsg
	var gone error
	err := r.Read(ctx, project, []uint64{sequence}, func(_ uint64, msg *jetstream.RawStreamMsg, err error) bool {
		found, gone = msg, err
		return true
	})
	return found, errors.Join(err, gone)
}

// Read reads many events of one project and calls yield once for each sequence,
// about in the order in which they are given (ascending is read fastest), until
// yield returns false. The error given to yield is nil or [ErrEventGone]. An error
// that Read returns says that some sequences were not yielded, and that nothing is
// known about them: hand them back.
//
// An event of another project under a sequence is gone as well: the stream was
// made again since the sequence was written down.
func (r *EventReader) Read(ctx context.Context, project string, sequences []uint64,
	yield func(sequence uint64, msg *jetstream.RawStreamMsg, err error) bool,
) error {
	for _, p := range pages(sequences) {
		stopped, err := r.page(ctx, project, p, yield)
		if err != nil || stopped {
			return err
		}
	}
	return nil
}

// page yields what is there, and then asks the leader about the rest.
func (r *EventReader) page(ctx context.Context, project string, p page,
	yield func(uint64, *jetstream.RawStreamMsg, error) bool,
) (stopped bool, _ error) {
	missing := make(map[uint64]bool, len(p.sequences))
	for _, sequence := range p.sequences {
		missing[sequence] = true
	}
	give := func(sequence uint64, msg *jetstream.RawStreamMsg, err error) bool {
		if msg != nil {
			if of, _, ok := ParseSubjectEvent(PublishedSubject(msg.Subject)); !ok || of != project {
				msg, err = nil, fmt.Errorf("sequence %d is of another project: %w", sequence, ErrEventGone)
			}
		}
		delete(missing, sequence)
		stopped = !yield(sequence, msg, err)
		return !stopped
	}
	take := func(msg *jetstream.RawStreamMsg) bool {
		return !missing[msg.Sequence] || give(msg.Sequence, msg, nil)
	}
	if err := r.fetch(ctx, p, missing, take); err != nil || stopped {
		return stopped, err
	}
	if len(missing) == 0 {
		return false, nil
	}
	leader, err := r.leaderState(ctx)
	if err != nil {
		return false, err
	}
	for _, sequence := range p.sequences {
		if !missing[sequence] {
			continue
		}
		msg, err := r.confirm(ctx, leader, sequence)
		if err != nil && !errors.Is(err, ErrEventGone) {
			return false, err
		}
		if !give(sequence, msg, err) {
			return true, nil
		}
	}
	return false, nil
}

// leaderState is what the leader of EVENTS says about itself.
type leaderState struct {
	first, last uint64
	// proven says that a majority of the replicas agrees who the leader is.
	proven bool
}

func (r *EventReader) leaderState(ctx context.Context) (leaderState, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	stream, err := r.js.Stream(ctx, StreamEvents) // only the leader answers
	if err != nil {
		return leaderState{}, fmt.Errorf("ask the leader of %s: %w", StreamEvents, err)
	}
	info := stream.CachedInfo()
	return leaderState{first: info.State.FirstSeq, last: info.State.LastSeq, proven: Led(info.Cluster)}, nil
}

// Led reports whether what the leader of a stream says about the stream's replicas
// shows that a majority has heard of it so recently that no other leader can be
// there. A leader that is cut off from the others goes on answering for a while.
func Led(cluster *jetstream.ClusterInfo) bool {
	if cluster == nil {
		return true // one server
	}
	agree := 1
	for _, replica := range cluster.Replicas {
		if !replica.Offline && replica.Active <= leaderProof {
			agree++
		}
	}
	return 2*agree > len(cluster.Replicas)+1
}

// confirm asks the leader for an event that no replica had. It returns
// [ErrEventGone] when the event is below the first retained one, or when a leader
// that the others agree with does not have it.
func (r *EventReader) confirm(ctx context.Context, leader leaderState, sequence uint64) (*jetstream.RawStreamMsg, error) {
	if sequence < leader.first {
		return nil, fmt.Errorf("sequence %d is below the first one, %d: %w", sequence, leader.first, ErrEventGone)
	}
	msg, err := r.fromLeader(ctx, sequence)
	if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return msg, err
	}
	// A leader that is about to stop cannot read its store and says the same. So
	// one that still leads after that is asked again.
	leader, err = r.leaderState(ctx)
	if err != nil {
		return nil, err
	}
	if !leader.proven {
		return nil, fmt.Errorf("event %d is not found, and the leader of %s hears of too few replicas to be believed",
			sequence, StreamEvents)
	}
	msg, err = r.fromLeader(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		gone := ErrEventGone
		if leader.first <= sequence && sequence <= leader.last {
			gone = ErrEventErased // events age out from the first on
		}
		return nil, fmt.Errorf("the leader does not have sequence %d (it has %d to %d): %w",
			sequence, leader.first, leader.last, gone)
	}
	return msg, err
}

// fromLeader reads one event in the way that only the leader answers.
func (r *EventReader) fromLeader(ctx context.Context, sequence uint64) (*jetstream.RawStreamMsg, error) {
	if err := r.acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer r.onTheWay.Release(1)
	msg, err := fromLeader(ctx, r.js, StreamEvents, bySequence(sequence))
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("read event %d: %w", sequence, err)
	}
	return msg, err
}

// acquire waits until so many more of the largest events may be on their way.
func (r *EventReader) acquire(ctx context.Context, weight int64) error {
	if err := r.onTheWay.Acquire(ctx, weight); err != nil {
		return fmt.Errorf("wait to ask for events: %w", err)
	}
	return nil
}
