package replay

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/account"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// Cancel ends a replay of the webhook: what has not been sent is not sent any more.
// One that has ended stays as it is.
func (s *Service) Cancel(ctx context.Context, webhookID, id string) error {
	if _, err := s.store.GetReplay(ctx, webhookID, id); err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	r, _, err := s.store.CancelReplay(ctx, id, "It was cancelled.")
	if err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	running, err := s.store.RunningReplay(ctx, webhookID)
	if errors.Is(err, store.ErrReplayNotFound) || err == nil && running.ReplayID != id {
		return nil // also what an earlier try to cancel it has left is taken back
	}
	if err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	return s.end(ctx, r)
}

// fence has JetStream refuse what is written for a replay by anybody but the last one
// who took over: a process that stands still, or a message that is stuck in a network,
// may come back when somebody else runs the replay, or when it was cancelled.
func (s *Service) fence(ctx context.Context, webhookID, id string) (jetstream.PublishOpt, error) {
	subject := topology.SubjectReplayWriter(webhookID, id)
	stored, err := s.js.Publish(ctx, subject, nil)
	if err != nil {
		return nil, fmt.Errorf("take over a replay: %w", err)
	}
	return jetstream.WithExpectLastSequenceForSubject(stored.Sequence, subject), nil
}

// fenced reports whether a range was refused because somebody else has taken over.
func fenced(err error) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) && (refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// end takes back what a replay that was cancelled has written down and is not sent yet,
// and lets the next one of the webhook begin. Whoever may still be running it writes
// nothing any more. It may be repeated, and done by several at once.
func (s *Service) end(ctx context.Context, r store.Replay) error {
	if _, err := s.fence(ctx, r.WebhookID, r.ID); err != nil {
		return err
	}
	stream, err := s.js.Stream(ctx, topology.StreamRanges)
	if err != nil {
		return fmt.Errorf("open %s: %w", topology.StreamRanges, err)
	}
	if r.State != store.ReplayDone {
		if err := s.withdraw(ctx, stream, r); err != nil {
			return err
		}
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(topology.SubjectReplayWriter(r.WebhookID, r.ID))); err != nil {
		return fmt.Errorf("end a replay: %w", err)
	}
	//nolint:wrapcheck // it says what it was
	return s.store.ReleaseReplay(ctx, store.RunningReplay{WebhookID: r.WebhookID, ReplayID: r.ID})
}

// withdraw deletes the ranges of a replay of which nothing was sent yet. What a
// dispatcher has begun with goes on, and so does what was tried and is to be tried
// again.
func (s *Service) withdraw(ctx context.Context, stream jetstream.Stream, of store.Replay) error {
	for _, subject := range []string{topology.SubjectScheduledRange(of.WebhookID, "*"), topology.SubjectRange(of.WebhookID)} {
		err := account.EachRange(ctx, s.js, subject, func(r *webhooksv1.Range, sequence uint64) error {
			if r.GetReplayId() != of.ID || r.GetAttempt() > 1 {
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
