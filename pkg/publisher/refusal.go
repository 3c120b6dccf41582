package publisher

import (
	"context"
	"errors"
	"fmt"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/event"
)

// judge says what a failed try means and what to do about it. An error that
// retrying cannot help comes back as a [backoff.PermanentError].
func (p *Publisher) judge(err error, message *nats.Msg) error {
	switch {
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return backoff.Permanent(fmt.Errorf("%w: open a new one and publish the event again", err))
	case errors.Is(err, nats.ErrMaxPayload):
		return backoff.Permanent(tooLargeForServer(int64(message.Size()-len(message.Subject)), p.nc.MaxPayload()))
	case errors.Is(err, nats.ErrHeadersNotSupported):
		return backoff.Permanent(fmt.Errorf("%w: use a nats-server of version 2.12 or newer", err))
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("%w: no stream takes %s: create the stream %s by starting the services once, and check that JetStream is on",
			err, message.Subject, event.Stream)
	case !p.nc.IsConnected():
		return fmt.Errorf("%w: nats cannot be reached (connection is %s): check the servers", err, p.nc.Status())
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: no acknowledgement: check that these credentials may publish to %s", err, message.Subject)
	}
	if refused, ok := errors.AsType[*jetstream.APIError](err); ok {
		return judgeRefusal(err, refused)
	}
	return err
}

// judgeRefusal judges what JetStream itself answered. Everything it calls
// temporary is retried, and so is a full stream, which it counts as such.
func judgeRefusal(err error, refused *jetstream.APIError) error {
	const (
		messageExceedsMaximum = 10054
		storeFailed           = 10077

		badRequest      = 400
		conflict        = 409
		serverErrorFrom = 500
	)
	switch {
	case refused.ErrorCode == messageExceedsMaximum:
		return backoff.Permanent(fmt.Errorf("%w: the stream %s has a smaller limit of its own: raise its max_msg_size: %w",
			ErrTooLarge, event.Stream, err))
	case refused.ErrorCode == storeFailed:
		return fmt.Errorf("%w: the stream %s cannot store it: raise EVENTS_MAX_BYTES or free disk space",
			err, event.Stream)
	case refused.Code >= badRequest && refused.Code < serverErrorFrom && refused.Code != conflict:
		return backoff.Permanent(fmt.Errorf("%w: check the configuration of the stream %s", err, event.Stream))
	default:
		return err
	}
}

func tooLargeForServer(size, limit int64) error {
	return fmt.Errorf("%w: it is %d bytes with its headers and the nats-server takes %d; raise its max_payload to %d",
		ErrTooLarge, size, limit, event.MaxBytes+event.HeaderAllowance)
}
