package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/account"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// runnerPatience bounds how long a cancellation waits for a range that is being
	// written, and runnerPoll is how often it looks.
	runnerPatience = 5 * time.Second
	runnerPoll     = 20 * time.Millisecond
)

// Cancel ends a replay of the webhook: what has not been sent is not sent any more.
// One that has ended stays as it is.
func (s *Service) Cancel(ctx context.Context, webhookID, id string) error {
	if _, err := s.store.GetReplay(ctx, webhookID, id); err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	r, cancelled, err := s.store.CancelReplay(ctx, id, "It was cancelled.")
	if err != nil || !cancelled {
		return err //nolint:wrapcheck // it says what it was
	}
	return s.endForRunner(ctx, r)
}

// endForRunner ends a replay that another goroutine or replica may still be running. A
// range that is being written at this moment would be sent after the cancellation, and
// would come twice with the next replay, which does not see it yet: so its runner takes
// it back first. One that is dead, or stuck, is not waited for.
func (s *Service) endForRunner(ctx context.Context, r store.Replay) error {
	for deadline := time.Now().Add(runnerPatience); r.Writing && time.Now().Before(deadline); {
		running, err := s.store.RunningReplay(ctx, r.WebhookID)
		switch {
		case errors.Is(err, store.ErrReplayNotFound):
			return nil // it has taken back what it wrote
		case err != nil:
			return err //nolint:wrapcheck // it says what it was
		case running.ReplayID != r.ID:
			return nil
		case !time.Now().Before(running.Until):
			return s.end(ctx, r)
		}
		retry.Pause(ctx, runnerPoll)
		if ctx.Err() != nil {
			return fmt.Errorf("wait for a range that is being written: %w", context.Cause(ctx))
		}
	}
	return s.end(ctx, r)
}

// end lets the next replay of the webhook begin, and takes back what one that was
// cancelled has written down and is not sent yet.
func (s *Service) end(ctx context.Context, r store.Replay) error {
	if r.State != store.ReplayDone {
		if err := s.withdraw(ctx, r.WebhookID, r.ID); err != nil {
			return err
		}
	}
	//nolint:wrapcheck // it says what it was
	return s.store.ReleaseReplay(ctx, store.RunningReplay{WebhookID: r.WebhookID, ReplayID: r.ID})
}

// withdraw deletes the ranges of a replay of which nothing was sent yet. What a
// dispatcher has begun with goes on, and so does what was tried and is to be tried
// again.
func (s *Service) withdraw(ctx context.Context, webhookID, id string) error {
	stream, err := s.js.Stream(ctx, topology.StreamRanges)
	if err != nil {
		return fmt.Errorf("open %s: %w", topology.StreamRanges, err)
	}
	for _, subject := range []string{topology.SubjectScheduledRange(webhookID, "*"), topology.SubjectRange(webhookID)} {
		err := account.EachRange(ctx, s.js, subject, func(r *webhooksv1.Range, sequence uint64) error {
			if r.GetReplayId() != id || r.GetAttempt() > 1 {
				return nil
			}
			err := stream.DeleteMsg(ctx, sequence)
			if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
				return fmt.Errorf("take back a range: %w", err)
			}
			return nil
		})
		if err != nil {
			return err //nolint:wrapcheck // it says what it was
		}
	}
	return nil
}
