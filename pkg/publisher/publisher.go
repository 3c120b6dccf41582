// Package publisher is for pipeline stages: publish an event and know that it is
// safe.
//
//	p, err := publisher.New(nc)
//	...
//	if err := p.Publish(ctx, event); err != nil {
//		// Nobody may hear of it: try again later, with the same id.
//	}
//
// When [Publisher.Publish] returns nil the event is stored, and every webhook that
// wants it will be told, whatever process is killed or restarted meanwhile. Whether
// it survives a power cut too is for those who run NATS to decide: with three
// replicas, that of one machine; with sync_interval: always, that of all of them.
// docs/operating.md says what an acknowledgement is worth in each set-up.
//
// When it returns an error the event may or may not be stored. Publishing it again
// with the same id is safe: within the duplicate window it is stored once, and
// after that receivers still see the same id.
//
// Event ids must be unique over all projects and event types: an event whose id any
// other event had within the duplicate window is taken for that event and dropped,
// and Publish returns nil.
package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Errors of [Publisher.Publish] that retrying cannot help. Nothing was stored.
var (
	// ErrInvalid says that the event breaks a rule; the text says which ones, and
	// what to do. It is [event.ErrInvalid].
	ErrInvalid = event.ErrInvalid
	// ErrTooLarge says that the event is larger than the broker takes; the text
	// has its size and the limit.
	ErrTooLarge = errors.New("event is too large")
)

const (
	defaultPatience = 30 * time.Second

	firstPause = 50 * time.Millisecond
	maxPause   = 5 * time.Second

	// How long the first try waits for its acknowledgement. A broker that went
	// away never sends one, so this is short; a large event over a slow line needs
	// long, so every try waits twice as long as the one before.
	firstAckWait = 2 * time.Second
	maxAckWait   = time.Minute
)

// Publisher publishes events. It may be used from any number of goroutines.
type Publisher struct {
	nc          *nats.Conn
	js          jetstream.JetStream
	contentType string
	patience    time.Duration
}

// Option changes how a [Publisher] publishes.
type Option func(*Publisher)

// WithContentType chooses how events are encoded: [event.JSON], the default, or
// [event.Protobuf].
func WithContentType(contentType string) Option {
	return func(p *Publisher) { p.contentType = contentType }
}

// WithRetry says how long to go on trying when the context has no deadline of its
// own. The default is 30 s.
func WithRetry(maxElapsed time.Duration) Option {
	return func(p *Publisher) { p.patience = maxElapsed }
}

// New returns a publisher that uses the connection, which stays the caller's to
// close. Let the connection reconnect for ever (nats.MaxReconnects(-1)): once it
// has given up, so has the publisher. New fails only on options that cannot work.
func New(nc *nats.Conn, options ...Option) (*Publisher, error) {
	if nc == nil {
		return nil, errors.New("set up the publisher: there is no connection")
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("set up the publisher: %w", err)
	}
	p := &Publisher{nc: nc, js: js, contentType: event.JSON, patience: defaultPatience}
	for _, option := range options {
		option(p)
	}
	if p.contentType != event.JSON && p.contentType != event.Protobuf {
		return nil, fmt.Errorf("set up the publisher: %w: %q; use %s or %s",
			event.ErrContentType, p.contentType, event.JSON, event.Protobuf)
	}
	if p.patience <= 0 {
		return nil, fmt.Errorf("set up the publisher: the time to retry must be more than 0, not %s", p.patience)
	}
	return p, nil
}

// Publish stores the event and returns nil once JetStream has acknowledged it: from
// then on every matching webhook will be told. That the broker had the event already is success
// too.
//
// An event that breaks a rule or is too large is refused before anything is sent
// ([ErrInvalid], [ErrTooLarge]). Whatever may pass is retried until ctx ends, or
// for the time of [WithRetry] when ctx has no deadline: a broker that cannot be
// reached or does not answer, a stream that does not exist yet, and one that has
// reached its byte limit, since only the caller can decide to give the event up.
// The error then wraps the last refusal and the context's error; the event may or
// may not be stored, and publishing the same id again is safe.
func (p *Publisher) Publish(ctx context.Context, e *webhooksv1.Event) error {
	message, err := p.message(e)
	if err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, p.patience,
			fmt.Errorf("gave up after %s: %w", p.patience, context.DeadlineExceeded))
		defer cancel()
	}
	if err := p.store(ctx, message); err != nil {
		return fmt.Errorf("publish event %s: %w", e.GetId(), err)
	}
	return nil
}

// message renders what is sent, or says why it cannot be.
func (p *Publisher) message(e *webhooksv1.Event) (*nats.Msg, error) {
	if err := event.Validate(e); err != nil {
		return nil, err
	}
	body, err := event.Encode(p.contentType, e)
	if err != nil {
		return nil, err
	}
	if len(body) > event.MaxBytes {
		return nil, fmt.Errorf("%w: its body is %d bytes as %s and the limit is %d; shorten its transcript or summary",
			ErrTooLarge, len(body), p.contentType, event.MaxBytes)
	}
	message := &nats.Msg{
		Subject: event.Subject(e.GetProject().GetId(), e.GetType()),
		Data:    body,
		Header: nats.Header{
			jetstream.MsgIDHeader: {e.GetId()},
			"Content-Type":        {p.contentType},
		},
	}
	if about := e.GetWebhook().GetId(); about != "" {
		message.Header.Set(event.HeaderAbout, about)
	}
	// 0 as long as no server has been reached; the client then checks by itself.
	limit := p.nc.MaxPayload()
	if size := int64(message.Size() - len(message.Subject)); limit > 0 && size > limit {
		return nil, tooLargeForServer(size, limit)
	}
	return message, nil
}

// store publishes the message until it is acknowledged.
func (p *Publisher) store(ctx context.Context, message *nats.Msg) error {
	pauses := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstPause),
		backoff.WithMaxInterval(maxPause),
		backoff.WithMaxElapsedTime(0), // ctx decides
	)
	ackWait := firstAckWait
	var refusal error
	err := backoff.Retry(func() error {
		err := p.try(ctx, message, ackWait)
		ackWait = min(2*ackWait, maxAckWait)
		// What ctx itself cut off explains less than the refusal before it.
		if refusal == nil || ctx.Err() == nil {
			refusal = err
		}
		return err
	}, backoff.WithContext(pauses, ctx))
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return fmt.Errorf("%w: %w", cause, refusal)
	}
	return err
}

// try publishes once. What it returns is permanent when retrying cannot help.
func (p *Publisher) try(ctx context.Context, message *nats.Msg, ackWait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	// An acknowledgement that says "duplicate" is an acknowledgement.
	_, err := p.js.PublishMsg(ctx, message, jetstream.WithRetryAttempts(0))
	if err == nil {
		return nil
	}
	return p.judge(err, message)
}
