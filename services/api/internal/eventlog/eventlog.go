// Package eventlog reads which events of a project are stored in EVENTS, without
// their bodies: what a webhook missed, what a replay is to send, what a ledger is
// to account for.
package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/topology"
)

const (
	// readIdle is how long JetStream keeps a consumer that nobody asks any more.
	readIdle = 30 * time.Second
	// readWait is how long an event that is announced may take to come.
	readWait = 5 * time.Second
	// readBatch is how many events are asked for at once.
	readBatch = 512
)

// ErrStop ends [Log.Each] when a visit returns it, and is not returned itself.
var ErrStop = errors.New("enough")

// Log reads EVENTS. It is safe for concurrent use.
type Log struct {
	js jetstream.JetStream
}

// New returns a log. It asks for nothing yet.
func New(js jetstream.JetStream) *Log { return &Log{js: js} }

// Query selects events of one project.
type Query struct {
	ProjectID string
	// Types are the types to read; none reads all.
	Types []string
	// Since is the earliest time at which they were stored, by the clock that stamps
	// what is stored in EVENTS; After is the sequence that they come after, which
	// counts when it is not 0.
	Since time.Time
	After uint64
	// Until is the time before which they were stored; zero for all until now.
	Until time.Time
}

// Event is one of them.
type Event struct {
	Sequence uint64
	ID, Type string
	// About is the webhook that an event of our own is about; empty for the others.
	About  string
	Stored time.Time
	// Part is the part of intake that takes it in; empty when it has none.
	Part string
	// Bytes is the size of its body; 0 when the broker does not say.
	Bytes int64
	// Rejected says that it cannot be read as an event. Its id may be empty.
	Rejected bool
}

// Each calls visit with each event of the query, in the order in which they are
// stored, and stops at the first error. An event whose id nobody can read was
// rejected by the intake and is left out.
func (l *Log) Each(ctx context.Context, q Query, visit func(Event) error) error {
	return l.each(ctx, config(q), q.Until, func(found Event) error {
		if found.Rejected {
			return nil
		}
		return visit(found)
	})
}

// EachStored is [Log.Each] with everything that is stored under the project, also
// what the intake rejected or will reject.
func (l *Log) EachStored(ctx context.Context, q Query, visit func(Event) error) error {
	c := config(q)
	c.FilterSubjects = append(c.FilterSubjects, topology.SubjectMalformed(q.ProjectID))
	return l.each(ctx, c, q.Until, visit)
}

func (l *Log) each(ctx context.Context, config jetstream.ConsumerConfig, until time.Time, visit func(Event) error) error {
	stream, err := l.js.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return fmt.Errorf("open %s: %w", topology.StreamEvents, err)
	}
	consumer, err := stream.CreateConsumer(ctx, config)
	if err != nil {
		return fmt.Errorf("read %s: %w", topology.StreamEvents, err)
	}
	info := consumer.CachedInfo()
	defer func() { _ = stream.DeleteConsumer(context.WithoutCancel(ctx), info.Name) }() // it ends by itself
	if err := inSync(ctx, stream, info); err != nil {
		return err
	}
	err = readAll(ctx, consumer, info.NumPending, until, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		found, err := identify(ctx, stream, msg, meta)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil // erased meanwhile
		}
		if err != nil {
			return fmt.Errorf("read event %d: %w", meta.Sequence.Stream, err)
		}
		return visit(found)
	})
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

func config(q Query) jetstream.ConsumerConfig {
	config := jetstream.ConsumerConfig{
		Description:   "Which events of a project are stored.",
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true, Replicas: 1, InactiveThreshold: readIdle,
	}
	switch {
	case q.After > 0:
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, q.After+1
	case !q.Since.IsZero():
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &q.Since
	}
	if len(q.Types) == 0 {
		config.FilterSubjects = []string{topology.SubjectStored(q.ProjectID, ">")}
	}
	for _, eventType := range q.Types {
		config.FilterSubjects = append(config.FilterSubjects, topology.SubjectStored(q.ProjectID, eventType))
	}
	return config
}

// readAll hands on what a consumer has, up to a time.
func readAll(ctx context.Context, consumer jetstream.Consumer, pending uint64, until time.Time,
	visit func(jetstream.Msg, *jetstream.MsgMetadata) error,
) error {
	for number := uint64(1); pending > 0; {
		batch, err := consumer.Fetch(int(min(pending, readBatch)), jetstream.FetchMaxWait(readWait))
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		read := 0
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				return fmt.Errorf("read event: %w", err)
			}
			if meta.Sequence.Consumer != number {
				return errors.New("read events: some were lost on the way")
			}
			number++
			read++
			pending = meta.NumPending
			if !until.IsZero() && !meta.Timestamp.Before(until) {
				pending = 0 // and the rest of the batch is as late
				continue
			}
			if err := visit(msg, meta); err != nil {
				return err
			}
		}
		if err := batch.Error(); err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if read == 0 && ctx.Err() == nil {
			return errors.New("read events: they do not come")
		}
		if ctx.Err() != nil {
			return fmt.Errorf("read events: %w", context.Cause(ctx))
		}
	}
	return nil
}

// inSync makes sure that the server on which a consumer is has what the leader of
// the stream has: one that is catching up has missed events, too.
func inSync(ctx context.Context, stream jetstream.Stream, consumer *jetstream.ConsumerInfo) error {
	info, err := stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("ask for the replicas of %s: %w", topology.StreamEvents, err)
	}
	if info.Cluster == nil || consumer.Cluster == nil || info.Cluster.Leader == consumer.Cluster.Leader {
		return nil
	}
	for _, replica := range info.Cluster.Replicas {
		if replica.Name == consumer.Cluster.Leader && replica.Current && replica.Lag == 0 {
			return nil
		}
	}
	return fmt.Errorf("%s is catching up with %s: it is asked again later", consumer.Cluster.Leader, topology.StreamEvents)
}

// identify says which event a message is. Almost every one says so in its subject
// and headers; the others are fetched and decoded.
func identify(ctx context.Context, stream jetstream.Stream, msg jetstream.Msg, meta *jetstream.MsgMetadata) (Event, error) {
	_, eventType, _ := topology.ParseSubjectEvent(topology.PublishedSubject(msg.Subject()))
	found := Event{
		Sequence: meta.Sequence.Stream, Type: eventType, Stored: meta.Timestamp, Part: topology.Part(msg.Subject()),
		ID: msg.Headers().Get(nats.MsgIdHdr), About: msg.Headers().Get(topology.HeaderAbout),
	}
	if size, err := strconv.ParseInt(msg.Headers().Get(nats.MsgSize), 10, 64); err == nil {
		found.Bytes = size
	}
	if found.ID != "" && event.IsOwn(eventType) == (found.About != "") {
		return found, nil
	}
	whole, err := stream.GetMsg(ctx, found.Sequence)
	if err != nil {
		return Event{}, err //nolint:wrapcheck // the caller says which
	}
	e, err := event.Decode(whole.Header.Get("Content-Type"), whole.Data)
	found.Rejected = err != nil || event.Validate(e) != nil
	if err == nil && (found.ID == "" || !found.Rejected) {
		found.ID, found.About = e.GetId(), e.GetWebhook().GetId()
	}
	return found, nil
}

// Clock is what the leader of EVENTS has on its clock.
func (l *Log) Clock(ctx context.Context) (time.Time, error) {
	stream, err := l.js.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the time of %s: %w", topology.StreamEvents, err)
	}
	clock := stream.CachedInfo().TimeStamp
	if clock.IsZero() {
		return time.Time{}, fmt.Errorf("ask for the time of %s: the server does not say", topology.StreamEvents)
	}
	return clock, nil
}
