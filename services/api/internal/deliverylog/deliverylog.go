// Package deliverylog moves the records of attempts from ATTEMPTS into MongoDB.
//
// A message is acknowledged when its attempts are in the delivery log and the
// health of their webhooks follows from them. Until then it is kept: a MongoDB
// that is away only makes the log late. All of that may be done twice without
// harm, so a crash in between loses and repeats nothing.
package deliverylog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// ackWait is how long one replica may take over what it has pulled without
	// giving a sign; it gives one with every try. One that begins does not wait for it,
	// see reclaim.
	ackWait = time.Minute
	// maxAckPending bounds what all replicas hold together.
	maxAckPending = 256
	// batchMessages and batchBytes bound what is written in one go, about a thousand
	// attempts; a message is never split. So a throttle is asked often enough, and
	// more does not make MongoDB quicker.
	batchMessages = 64
	batchBytes    = 512 << 10
	// insertAttempts bounds one insert, because a few messages can hold very many.
	insertAttempts = 4000
	// prefetchBytes bounds what is held in memory beyond that. Larger messages are
	// asked for one by one.
	prefetchBytes = 4 << 20
	// linger is how long a batch waits for more once it has begun.
	linger = 100 * time.Millisecond
	// writeTimeout bounds one try to write a batch, which a stop does not cut off.
	writeTimeout = 25 * time.Second
)

// attempts is what the recorder needs of the store. Its errors are all worth
// another try.
type attempts interface {
	InsertAttempts(ctx context.Context, list []*webhooksv1.Attempt) (store.Recorded, error)
	// AppendLog adds attempts of one webhook to the log as lists show it, except for
	// those that are in it already.
	AppendLog(ctx context.Context, projectID, webhookID string, list []*webhooksv1.LogEntry, recorded func(id string) bool) error
	// Expire deletes records whatever log they are in.
	Expire(ctx context.Context, before time.Time, limit int64) (int, error)
	LogHeads(ctx context.Context) ([]store.LogHead, error)
	OldestPage(ctx context.Context, h store.LogHead) (time.Time, error)
	DropPage(ctx context.Context, h store.LogHead) (rest store.LogHead, dropped int, err error)
	ExpireTail(ctx context.Context, h store.LogHead, before time.Time) (int, error)
	ForgetLog(ctx context.Context, h store.LogHead) (bool, error)
}

// health is what follows from attempts.
type health interface {
	// Update is given attempts that are in the log. Its errors are worth another
	// try, with the same attempts.
	Update(ctx context.Context, list []*webhooksv1.Attempt) error
	// Run does what Update puts off, until ctx is done.
	Run(ctx context.Context)
}

// Deps is what a recorder needs.
type Deps struct {
	Store  attempts
	JS     jetstream.JetStream
	Health health
	// Erased, which may be nil, takes out of records what must not be written, as their
	// events were erased.
	Erased func(ctx context.Context, list []*webhooksv1.Attempt) error
	// Throttle is called after each batch, with how long that took, and returns
	// when the next may begin; nil for at once.
	Throttle func(ctx context.Context, worked time.Duration)
	Log      *zap.Logger
	Metrics  *Metrics
}

// Recorder moves records. [Recorder.Run] is called once.
type Recorder struct {
	store    attempts
	js       jetstream.JetStream
	health   health
	erased   func(ctx context.Context, list []*webhooksv1.Attempt) error
	throttle func(ctx context.Context, worked time.Duration)
	log      *zap.Logger
	metrics  *Metrics
}

// New makes a recorder.
func New(deps Deps) *Recorder {
	if deps.Throttle == nil {
		deps.Throttle = func(context.Context, time.Duration) {}
	}
	if deps.Erased == nil {
		deps.Erased = func(context.Context, []*webhooksv1.Attempt) error { return nil }
	}
	return &Recorder{
		store: deps.Store, js: deps.JS, health: deps.Health, erased: deps.Erased, throttle: deps.Throttle,
		log: deps.Log, metrics: deps.Metrics,
	}
}

// Run records until ctx is done. It then writes down what it holds, if that
// succeeds at the first try, and hands back the rest. Whatever happens to the
// stream, the consumer or the connection, it goes on when that is mended.
func (r *Recorder) Run(ctx context.Context) error {
	healthCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var following, recording sync.WaitGroup
	following.Go(func() { r.health.Run(healthCtx) })
	// Health ends last, so that the last records count.
	defer following.Wait()
	defer stop()
	messages := make(chan jetstream.Msg)
	recording.Go(func() { r.record(ctx, messages) })
	defer recording.Wait()
	r.reclaim(ctx)
	err := topology.Consume(ctx, r.js, topology.Consuming{
		Stream:   topology.StreamAttempts,
		Consumer: topology.Record(topology.Consumption{AckWait: ackWait, MaxAckPending: maxAckPending}),
		Messages: batchMessages, Bytes: prefetchBytes, Large: topology.NewLarge(1), Log: r.log,
	}, func(ctx context.Context, message jetstream.Msg) {
		select {
		case messages <- message:
		case <-ctx.Done():
			handBack([]jetstream.Msg{message})
		}
	})
	if err != nil {
		return fmt.Errorf("consume records: %w", err)
	}
	return nil
}

// pace is for what is tried until it works: quickly at first, then every ten
// seconds.
func pace() retry.Pace { return retry.Pace{First: 100 * time.Millisecond, Longest: 10 * time.Second} }

// record writes down batch after batch until ctx is done.
func (r *Recorder) record(ctx context.Context, messages <-chan jetstream.Msg) {
	for {
		batch := gather(ctx, messages)
		if len(batch) == 0 {
			return
		}
		began := time.Now()
		if err := r.settle(ctx, batch); err != nil { // only when ctx is done
			handBack(batch)
			return
		}
		r.throttle(ctx, time.Since(began))
	}
}

// gather waits for a message and takes what else is there, up to the bounds of a
// batch. It returns nothing when ctx is done before there is any.
func gather(ctx context.Context, messages <-chan jetstream.Msg) (batch []jetstream.Msg) {
	size := 0
	var enough <-chan time.Time
	for len(batch) < batchMessages && size < batchBytes {
		select {
		case message := <-messages:
			if len(batch) == 0 {
				enough = time.After(linger)
			}
			batch = append(batch, message)
			size += len(message.Data())
		case <-enough:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// settle records a batch, trying for as long as ctx lasts, and acknowledges it.
func (r *Recorder) settle(ctx context.Context, batch []jetstream.Msg) error {
	list := r.decode(batch)
	err := retry.Until(ctx, pace(), func(err error, wait time.Duration) {
		r.metrics.late.Inc()
		r.log.Warn("records are late: trying again", zap.Int("attempts", len(list)), zap.Duration("next_ms", wait), zap.Error(err))
		for _, message := range batch {
			_ = message.InProgress() // at worst they come again
		}
	}, func(ctx context.Context) error {
		// A write that a stop would cut off may be finished.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
		defer cancel()
		return r.write(ctx, list)
	})
	if err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	for _, message := range batch {
		if err := message.Ack(); err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
			r.log.Warn("records will be written again: not acknowledged", zap.Error(err))
		}
	}
	return nil
}

// decode reads the messages. What cannot be read is logged and never seen again:
// it would come back for ever.
func (r *Recorder) decode(batch []jetstream.Msg) []*webhooksv1.Attempt {
	var list []*webhooksv1.Attempt
	for _, message := range batch {
		records := &webhooksv1.AttemptBatch{}
		if err := proto.Unmarshal(message.Data(), records); err != nil {
			r.metrics.refused.Inc()
			r.log.Error("message on ATTEMPTS cannot be read: dropping it", zap.Int("bytes", len(message.Data())), zap.Error(err))
			_ = message.TermWithReason("not an AttemptBatch") // at worst it comes again
			continue
		}
		for _, a := range records.GetAttempts() {
			if fault := unusable(a); fault != "" {
				r.metrics.refused.Inc()
				r.log.Error("record cannot be used: dropping it", zap.String("record_id", a.GetId()), zap.String("fault", fault))
				continue
			}
			list = append(list, a)
		}
	}
	return list
}

func unusable(a *webhooksv1.Attempt) string {
	if _, err := ulid.ParseStrict(a.GetId()); err != nil {
		return "its id is no ULID"
	}
	if !event.ValidID(a.GetWebhookId()) || !event.ValidID(a.GetProjectId()) {
		return "it names no webhook"
	}
	if a.GetStartedAt().CheckValid() != nil {
		return "it has no time"
	}
	return ""
}

// write does everything that a batch of records asks for. It may be repeated.
func (r *Recorder) write(ctx context.Context, list []*webhooksv1.Attempt) error {
	began := time.Now()
	if err := r.erased(ctx, list); err != nil {
		return fmt.Errorf("look for what was erased: %w", err)
	}
	known, lost := map[string]bool{}, map[string]bool{}
	for start := 0; start < len(list); start += insertAttempts {
		portion := list[start:min(start+insertAttempts, len(list))]
		recorded, err := r.store.InsertAttempts(ctx, portion)
		if err != nil {
			return fmt.Errorf("insert attempts: %w", err)
		}
		r.metrics.recorded(recorded)
		for _, id := range recorded.Known {
			known[id] = true
		}
		for _, refused := range recorded.Refused {
			r.log.Error("record was refused by the database: dropping it",
				zap.String("record_id", refused.ID), zap.String("fault", refused.Reason))
			lost[refused.ID] = true
		}
	}
	kept := slices.DeleteFunc(slices.Clone(list), func(a *webhooksv1.Attempt) bool { return lost[a.GetId()] })
	if err := r.follow(ctx, kept, known); err != nil {
		return err
	}
	if err := r.health.Update(ctx, list); err != nil {
		return fmt.Errorf("update health: %w", err)
	}
	r.metrics.seconds.Observe(time.Since(began).Seconds())
	return nil
}

// handBack lets another replica have the messages at once.
func handBack(batch []jetstream.Msg) {
	for _, message := range batch {
		_ = message.Nak() // at worst after the ack wait
	}
}
