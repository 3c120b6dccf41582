// Package inside is how bench, chaos and e2e reach a running system behind the
// api's back: its broker, its database, and what it still owes.
package inside

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// askTimeout bounds one request to JetStream.
const askTimeout = 2 * time.Second

// Address is where the parts of a system are: the line that standalone prints.
type Address struct {
	API     string `json:"api"`
	NATS    string `json:"nats"`
	MongoDB string `json:"mongodb"`
	Ops     string `json:"ops"`
	Token   string `json:"token"`
}

// System is connections to one.
type System struct {
	Broker    *nats.Conn
	Streams   jetstream.JetStream
	Publisher *publisher.Publisher
	Attempts  *mongo.Collection
	Webhooks  *mongo.Collection
}

// Connect connects to the broker and the database. Both may go away and come back.
func Connect(ctx context.Context, at Address) (s System, _ error) {
	var err error
	s.Broker, err = nats.Connect(at.NATS, nats.Name("webhooks-test"), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1), nats.IgnoreAuthErrorAbort(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		return s, fmt.Errorf("connect to nats: %w", err)
	}
	if s.Streams, err = jetstream.New(s.Broker); err != nil {
		return s, fmt.Errorf("open jetstream: %w", err)
	}
	if s.Publisher, err = publisher.New(s.Broker); err != nil {
		return s, err
	}
	client, err := mongo.Connect(ctx, options.Client().ApplyURI(at.MongoDB).SetServerSelectionTimeout(5*time.Second))
	if err != nil {
		return s, fmt.Errorf("connect to the database: %w", err)
	}
	database := client.Database("webhooks")
	s.Attempts, s.Webhooks = database.Collection("attempts"), database.Collection("webhooks")
	return s, nil
}

// Close closes the connections. Those who are at their other end may be dead.
func (s System) Close() {
	if s.Broker != nil {
		s.Broker.Close()
	}
	if s.Attempts != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.Attempts.Database().Client().Disconnect(ctx) // as above
	}
}

// Consumption is a consumer whose messages come again until they are settled.
type Consumption struct{ Stream, Consumer string }

// Dispatching is what the dispatchers consume.
func Dispatching() []Consumption {
	all := []Consumption{
		{topology.StreamDeliveries, topology.ConsumerDue}, {topology.StreamRanges, topology.ConsumerRanges},
	}
	for _, part := range topology.Intake(topology.Consumption{}) {
		all = append(all, Consumption{topology.StreamEvents, part.Durable})
	}
	return all
}

// Recording is what the api consumes.
func Recording() Consumption { return Consumption{topology.StreamAttempts, topology.ConsumerRecord} }

// Stream looks at a stream.
func (s System) Stream(ctx context.Context, name string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found, err := s.Streams.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", name, err)
	}
	return found.CachedInfo(), nil
}

// Consumer looks at a consumer.
func (s System) Consumer(ctx context.Context, c Consumption) (*jetstream.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found, err := s.Streams.Consumer(ctx, c.Stream, c.Consumer)
	if err != nil {
		return nil, fmt.Errorf("look at consumer %s: %w", c.Consumer, err)
	}
	return found.CachedInfo(), nil
}

// SetAckWait changes how long a consumer waits before it gives a message again. It
// is half a minute otherwise, longer than any attempt lasts.
func (s System) SetAckWait(ctx context.Context, c Consumption, wait time.Duration) error {
	info, err := s.Consumer(ctx, c)
	if err != nil || info.Config.AckWait == wait {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	info.Config.AckWait = wait
	if _, err = s.Streams.UpdateConsumer(ctx, c.Stream, info.Config); err != nil {
		return fmt.Errorf("change consumer %s: %w", c.Consumer, err)
	}
	return nil
}

// Unsettled is how many messages are owed, taken or not. It looks at the queues in
// the order in which an event passes them, so that nothing slips through between.
func (s System) Unsettled(ctx context.Context) (total int, _ error) {
	for _, c := range Dispatching() {
		if c.Stream != topology.StreamEvents {
			continue
		}
		info, err := s.Consumer(ctx, c)
		if err != nil {
			return 0, err
		}
		total += info.NumAckPending + int(info.NumPending) //nolint:gosec // far below
	}
	for _, name := range []string{topology.StreamDeliveries, topology.StreamRanges} {
		info, err := s.Stream(ctx, name)
		if err != nil {
			return 0, err
		}
		total += int(info.State.Msgs) //nolint:gosec // far below
	}
	return total, nil
}

// Settled fails while anything is owed.
func (s System) Settled(ctx context.Context) error {
	left, err := s.Unsettled(ctx)
	if err == nil && left > 0 {
		err = fmt.Errorf("%d messages are not settled", left)
	}
	return err
}

// Recorded fails while anything is owed or a record is not in the delivery log.
func (s System) Recorded(ctx context.Context) error {
	if err := s.Settled(ctx); err != nil {
		return err
	}
	return s.Logged(ctx)
}

// Logged fails while a record is not in the delivery log.
func (s System) Logged(ctx context.Context) error {
	info, err := s.Stream(ctx, topology.StreamAttempts)
	if err == nil && info.State.Msgs > 0 {
		err = fmt.Errorf("%d messages of records are not in the delivery log", info.State.Msgs)
	}
	return err
}

// Later is how many deliveries are owed later, or are due: retries one a message,
// and the rest many a message.
func (s System) Later(ctx context.Context) (int, error) {
	single, err := s.Stream(ctx, topology.StreamDeliveries)
	if err != nil {
		return 0, err
	}
	total := int(single.State.Msgs) //nolint:gosec // far below
	ranges, err := s.Streams.Stream(ctx, topology.StreamRanges)
	if err != nil {
		return 0, fmt.Errorf("read the ranges: %w", err)
	}
	state := ranges.CachedInfo().State
	for next := state.FirstSeq; state.Msgs > 0 && next <= state.LastSeq; {
		msg, err := ranges.GetMsg(ctx, next, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break // the rest has been settled meanwhile
		}
		if err != nil {
			return 0, fmt.Errorf("read the ranges: %w", err)
		}
		var r webhooksv1.Range
		if err := proto.Unmarshal(msg.Data, &r); err != nil {
			return 0, fmt.Errorf("read a range: %w", err)
		}
		total, next = total+len(r.GetSequenceSteps()), msg.Sequence+1
	}
	return total, nil
}

// Endings is how each delivery ended according to the delivery log, by its id; those
// that have not are missing.
func (s System) Endings(ctx context.Context) (map[string]string, error) {
	fields := options.Find().SetProjection(bson.D{{Key: "delivery_id", Value: 1}, {Key: "outcome", Value: 1}}).SetBatchSize(10_000)
	cursor, err := s.Attempts.Find(ctx, bson.D{}, fields)
	if err != nil {
		return nil, fmt.Errorf("read the delivery log: %w", err)
	}
	var all []struct {
		DeliveryID string `bson:"delivery_id"`
		Outcome    string `bson:"outcome"`
	}
	if err := cursor.All(ctx, &all); err != nil {
		return nil, fmt.Errorf("read the delivery log: %w", err)
	}
	endings := map[string]string{}
	for _, attempt := range all {
		if attempt.Outcome != "retry" {
			endings[attempt.DeliveryID] = attempt.Outcome
		}
	}
	return endings, nil
}
