package topology

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
)

const (
	// overdueAfter is how late a schedule must be to be written again. Hundreds of
	// thousands that are due at once take half as long to fire.
	overdueAfter = 30 * time.Second
	// sweepInterval is how soon after a refusal overdue schedules are looked for, and
	// sweepAlways how often in any case: nobody may have been refused anything but
	// the server itself.
	sweepInterval, sweepAlways = 5 * time.Second, 10 * time.Minute
	// sweepBatch is how many schedules are asked for at once.
	sweepBatch = 500
	// sweepTimeout bounds one look at all schedules of a stream.
	sweepTimeout = time.Minute
)

// KeepSchedules writes schedules again that should have fired and have not, until
// ctx is done. A nats-server (2.15) that cannot store what fires, because its
// storage is full, never tries again until it is restarted or another leads: what
// was owed would stay in the stream for ever. refused counts what JetStream has
// refused to store so far.
func KeepSchedules(ctx context.Context, js jetstream.JetStream, refused func() uint64, log *zap.Logger) error {
	var seen uint64
	var refusedAt, swept time.Time
	for ctx.Err() == nil {
		if now := refused(); now != seen {
			seen, refusedAt = now, time.Now()
		}
		// Those that were refused at the very end are overdue that much later.
		wanted := time.Since(swept) >= sweepAlways ||
			!refusedAt.IsZero() && time.Since(refusedAt) < 2*(overdueAfter+sweepInterval)
		if wanted {
			mended, err := writeOverdue(ctx, js, overdueAfter)
			switch {
			case err != nil && ctx.Err() == nil:
				log.Info("overdue schedules not looked for, trying again", zap.Error(err))
			case err == nil:
				swept = time.Now()
			}
			if mended > 0 {
				log.Warn("schedules had not fired and were written again", zap.Int("count", mended))
			}
		}
		retry.Pause(ctx, sweepInterval)
	}
	return nil
}

// writeOverdue writes again what is later than that.
func writeOverdue(ctx context.Context, js jetstream.JetStream, later time.Duration) (mended int, _ error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	var faults []error
	for stream, filter := range map[string]string{
		StreamDeliveries: prefixScheduled + ">", StreamRanges: prefixRanges + "later.>",
	} {
		count, err := sweep(ctx, js, stream, filter, later)
		mended += count
		faults = append(faults, err)
	}
	return mended, errors.Join(faults...)
}

func sweep(ctx context.Context, js jetstream.JetStream, name, filter string, later time.Duration) (mended int, _ error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("look at stream %s: %w", name, err)
	}
	info := stream.CachedInfo()
	if info.State.Msgs == 0 {
		return 0, nil
	}
	// By the server's clock, which fires them.
	late, err := overdue(ctx, stream, filter, info.TimeStamp.Add(-later))
	if err != nil {
		return 0, err
	}
	for _, sequence := range late {
		written, err := writeAgain(ctx, js, stream, sequence)
		if err != nil {
			return mended, err
		}
		if written {
			mended++
		}
	}
	return mended, nil
}

// overdue are the sequences of the schedules that should have fired before a time.
func overdue(ctx context.Context, stream jetstream.Stream, filter string, before time.Time) (late []uint64, _ error) {
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Description: "Which schedules are overdue.", FilterSubject: filter, HeadersOnly: true,
		AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1, InactiveThreshold: lookTimeout,
	})
	refused := &jetstream.APIError{}
	if errors.As(err, &refused) && refused.ErrorCode == codeFilterTaken {
		return nil, nil // another dispatcher is looking
	}
	if err != nil {
		return nil, fmt.Errorf("read schedules: %w", err)
	}
	info := consumer.CachedInfo()
	// It ends by itself. Nothing of what it has read is settled by that.
	defer func() { _ = stream.DeleteConsumer(context.WithoutCancel(ctx), info.Name) }()
	for left := int(info.NumPending); left > 0; { //nolint:gosec // far below
		batch, err := consumer.Fetch(min(left, sweepBatch), jetstream.FetchMaxWait(lookTimeout/10))
		if err != nil {
			return nil, fmt.Errorf("read schedules: %w", err)
		}
		count := 0
		for msg := range batch.Messages() {
			count++
			if at, err := scheduledAt(msg.Headers()); err != nil || !at.Before(before) {
				continue // not ours to judge, or not late
			}
			if meta, err := msg.Metadata(); err == nil {
				late = append(late, meta.Sequence.Stream)
			}
		}
		if err := batch.Error(); err != nil {
			return nil, fmt.Errorf("read schedules: %w", err)
		}
		if count == 0 {
			break // the rest has fired meanwhile
		}
		left -= count
	}
	return late, nil
}

// codeFilterTaken is what JetStream answers when a consumer of a work queue would
// share subjects with another one.
const codeFilterTaken = 10100

func scheduledAt(header nats.Header) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, strings.TrimPrefix(header.Get(jetstream.ScheduleHeader), "@at "))
	if err != nil {
		return at, fmt.Errorf("read a schedule: %w", err)
	}
	return at, nil
}

// writeAgain replaces a schedule by itself, unless it has fired or was replaced
// meanwhile. It then fires at once.
func writeAgain(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, sequence uint64) (bool, error) {
	raw, err := stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read schedule %d: %w", sequence, err)
	}
	_, err = js.PublishMsg(ctx, &nats.Msg{Subject: raw.Subject, Header: raw.Header, Data: raw.Data},
		jetstream.WithExpectLastSequencePerSubject(sequence))
	refused := &jetstream.APIError{}
	if errors.As(err, &refused) && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write a schedule again: %w", err)
	}
	return true, nil
}
