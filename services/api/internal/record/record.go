// Package record moves the records of attempts from ATTEMPTS into MongoDB.
//
// A message is acknowledged when its attempts are in the delivery log, a webhook
// that began or ceased to fail says so, and one whose receiver is gone is
// disabled. Until then it is kept: a MongoDB that is away only makes the log
// late. All of that may be done twice without harm, so a crash in between loses
// and repeats nothing.
package record

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// ackWait is how long one replica may take over what it has pulled without
	// giving a sign; it gives one with every try.
	ackWait = time.Minute
	// maxAckPending bounds what all replicas hold together.
	maxAckPending = 256
	// batchMessages and batchAttempts bound what is written in one go; a message
	// is never split.
	batchMessages = 64
	batchAttempts = 4000
	// prefetchBytes bounds what is held in memory beyond that.
	prefetchBytes = 32 << 20
	// linger is how long a batch waits for more once it has begun.
	linger = 100 * time.Millisecond
	// writeTimeout bounds one try to write a batch, which a stop does not cut off.
	writeTimeout = 25 * time.Second
	// handBackTimeout bounds the wait for what was sent ahead and comes back.
	handBackTimeout = time.Second
)

// attempts is what the recorder needs of the store. Its errors are all worth
// another try.
type attempts interface {
	InsertAttempts(ctx context.Context, list []*webhooksv1.Attempt) (store.Recorded, error)
	MergeHealth(ctx context.Context, webhookID string, known store.Health) (store.Health, error)
	Disable(ctx context.Context, projectID, webhookID string, revision int64, reason store.DisabledReason) (bool, error)
	Expire(ctx context.Context, before time.Time, limit int64) (int, error)
	Load(ctx context.Context, webhookID string) (store.Webhook, error)
	CountExhausted(ctx context.Context, webhookID string, since time.Time, limit int64) (int, error)
}

// Recorder moves records. [Recorder.Run] is called once.
type Recorder struct {
	store   attempts
	js      jetstream.JetStream
	project func(ctx context.Context, projectID, webhookID string)
	share   float64
	log     *zap.Logger
	metrics *Metrics
	book    *book
}

// Parts is what a recorder is made of.
type Parts struct {
	Store attempts
	JS    jetstream.JetStream
	// Project is called with a webhook that was disabled.
	Project func(ctx context.Context, projectID, webhookID string)
	// Share is the largest share of the time, above 0 and up to 1, in which it
	// may be at work while other parts of this process wait for a processor.
	Share   float64
	Log     *zap.Logger
	Metrics *Metrics
}

// New makes a recorder.
func New(parts Parts) *Recorder {
	return &Recorder{
		store: parts.Store, js: parts.JS, project: parts.Project, log: parts.Log, metrics: parts.Metrics,
		share: parts.Share,
		book:  &book{load: parts.Store.Load, merge: parts.Store.MergeHealth, pages: map[string]page{}},
	}
}

// Run records until ctx is done. It then writes down what it holds, if that
// succeeds at the first try, and hands back the rest. Whatever happens to the
// stream, the consumer or the connection, it starts over.
func (r *Recorder) Run(ctx context.Context) error {
	healthCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var health sync.WaitGroup
	health.Go(func() { r.keepHealth(healthCtx) })
	// Last of all, so that the last records count.
	defer health.Wait()
	defer stop()
	r.recordUntil(ctx)
	return nil
}

func (r *Recorder) recordUntil(ctx context.Context) {
	wait := retries()
	for ctx.Err() == nil {
		began := time.Now()
		err := r.consume(ctx)
		if ctx.Err() != nil {
			return
		}
		r.log.Warn("recording was interrupted: starting over", zap.Error(err))
		if time.Since(began) > time.Minute {
			wait.Reset()
		}
		pause(ctx, wait.NextBackOff())
	}
}

// consume pulls and records until something breaks or ctx is done.
func (r *Recorder) consume(ctx context.Context) error {
	config := topology.Record(topology.Consumption{AckWait: ackWait, MaxAckPending: maxAckPending})
	consumer, err := r.js.CreateOrUpdateConsumer(ctx, topology.StreamAttempts, config)
	if err != nil {
		return fmt.Errorf("open consumer %s: %w", topology.ConsumerRecord, err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(batchMessages, prefetchBytes),
		jetstream.PullHeartbeat(topology.PullHeartbeat), jetstream.WithMessagesErrOnMissingHeartbeat(false))
	if err != nil {
		return fmt.Errorf("pull records: %w", err)
	}
	defer handBackRest(messages)
	rest := newRest(r.share)
	for {
		batch, err := gather(ctx, messages, rest.most())
		if err != nil {
			handBack(batch)
			return err
		}
		began := time.Now()
		if err := r.settle(ctx, batch); err != nil {
			handBack(batch)
			return err
		}
		rest.after(ctx, time.Since(began))
	}
}

// gather waits for a message and takes what else is there, up to the bounds of a
// batch, of which one is how many bytes.
func gather(ctx context.Context, messages jetstream.MessagesContext, most int) ([]jetstream.Msg, error) {
	first, err := messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("wait for records: %w", err)
	}
	batch := []jetstream.Msg{first}
	size := len(first.Data())
	deadline := time.Now().Add(linger)
	for len(batch) < batchMessages && size < most {
		left := time.Until(deadline)
		if left <= 0 {
			break
		}
		next, err := messages.Next(jetstream.NextMaxWait(left))
		if err != nil {
			return batch, nil //nolint:nilerr // no more for now; what is wrong, if anything, shows with the next wait
		}
		batch = append(batch, next)
		size += len(next.Data())
	}
	return batch, nil
}

// settle records a batch, trying for as long as ctx lasts, and acknowledges it.
func (r *Recorder) settle(ctx context.Context, batch []jetstream.Msg) error {
	list := r.decode(batch)
	err := backoff.RetryNotify(
		func() error {
			// A write that a stop would cut off may be finished.
			attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
			defer cancel()
			return r.write(attempt, list)
		},
		backoff.WithContext(retries(), ctx),
		func(err error, next time.Duration) {
			r.metrics.late.Inc()
			r.log.Warn("records are late: trying again", zap.Int("attempts", len(list)), zap.Duration("next_ms", next), zap.Error(err))
			for _, message := range batch {
				_ = message.InProgress() // at worst they come again
			}
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
	// In portions, because a few messages can hold very many records.
	for start := 0; start < len(list); start += batchAttempts {
		portion := list[start:min(start+batchAttempts, len(list))]
		recorded, err := r.store.InsertAttempts(ctx, portion)
		if err != nil {
			return fmt.Errorf("insert attempts: %w", err)
		}
		r.metrics.recorded(recorded)
		for _, refused := range recorded.Refused {
			r.log.Error("record was refused by the database: dropping it",
				zap.String("record_id", refused.ID), zap.String("fault", refused.Reason))
		}
	}
	if err := r.updateWebhooks(ctx, list); err != nil {
		return err
	}
	r.metrics.seconds.Observe(time.Since(began).Seconds())
	return nil
}

// updateWebhooks touches each webhook once, however many attempts it had.
func (r *Recorder) updateWebhooks(ctx context.Context, list []*webhooksv1.Attempt) error {
	byWebhook := map[string][]*webhooksv1.Attempt{}
	for _, a := range list {
		if counts(a) {
			byWebhook[a.GetWebhookId()] = append(byWebhook[a.GetWebhookId()], a)
		}
	}
	for id, group := range byWebhook {
		turn, err := r.book.tell(ctx, id, summary(group))
		if err != nil {
			return err
		}
		r.notify(turn, group[len(group)-1])
		if err := r.disableGone(ctx, group); err != nil {
			return err
		}
		if err := r.disableHopeless(ctx, id, group); err != nil {
			return err
		}
	}
	return nil
}

// disableGone switches a webhook off when a receiver answered 410 to what is
// still its registration: one that was changed or enabled again since then gets
// the benefit of the doubt.
func (r *Recorder) disableGone(ctx context.Context, group []*webhooksv1.Attempt) error {
	for _, a := range group {
		if a.GetOutcome() != webhooksv1.Outcome_OUTCOME_GONE {
			continue
		}
		revision := int64(a.GetWebhookRevision()) //nolint:gosec // made by this service
		disabled, err := r.store.Disable(ctx, a.GetProjectId(), a.GetWebhookId(), revision, store.DisabledGone)
		if err != nil {
			return fmt.Errorf("disable webhook %s: %w", a.GetWebhookId(), err)
		}
		if disabled {
			r.metrics.disabled.Inc()
			r.log.Info("webhook disabled: the receiver is gone",
				zap.String(observe.KeyProject, a.GetProjectId()), zap.String(observe.KeyWebhook, a.GetWebhookId()))
			r.project(ctx, a.GetProjectId(), a.GetWebhookId())
			r.notifyDisabled(a, store.DisabledGone)
		}
	}
	return nil
}

// handBack lets another replica have the messages at once.
func handBack(batch []jetstream.Msg) {
	for _, message := range batch {
		_ = message.Nak() // at worst after the ack wait
	}
}

// handBackRest does so with what has been sent ahead.
func handBackRest(messages jetstream.MessagesContext) {
	messages.Drain()
	for {
		message, err := messages.Next(jetstream.NextMaxWait(handBackTimeout))
		if err != nil {
			messages.Stop()
			return
		}
		_ = message.Nak() // at worst after the ack wait
	}
}

// retries paces what is tried for ever: quickly at first, then every ten seconds.
func retries() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(10*time.Second),
		backoff.WithMaxElapsedTime(0),
	)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
