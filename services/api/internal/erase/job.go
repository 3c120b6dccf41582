package erase

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/account"
	"github.com/dembrane/webhooks/services/api/internal/eventlog"
	"github.com/dembrane/webhooks/services/api/internal/lease"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	// eraseBatch is how many events are looked up before they are erased.
	eraseBatch = 500
	// unpaced is how many events are erased in one go. The server writes a whole file
	// of several MiB again for each, and nobody can publish meanwhile: with more of
	// them, half of the time is left to others.
	unpaced = 20
	// drainPatience bounds one wait for the recorder, and emptyPatience that for
	// ATTEMPTS to have nothing in it for a moment.
	drainPatience = 5 * time.Minute
	emptyPatience = 2 * time.Second
	emptyPoll     = 50 * time.Millisecond
)

// job is one erasure while a process works on it.
type job struct {
	*Service

	log *zap.Logger

	mu      sync.Mutex
	erasure store.Erasure
}

// counted is the erasure as far as it is.
func (j *job) counted() store.Erasure {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.erasure
}

// swapLease stores how far the erasure is, too: whoever takes it over counts on from there.
func (j *job) swapLease(ctx context.Context, seen, next lease.Lease) (bool, error) {
	return j.Store.SwapErasureLease(ctx, j.counted(), seen, next) //nolint:wrapcheck // it says what it was
}

// count adds events; attempts are how many there are in all.
func (j *job) count(events, attempts int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.erasure.Events += events
	j.erasure.Attempts = attempts
}

// about reports whether the erasure is about an event under a sequence.
func (j *job) about(eventID string, sequence uint64) bool {
	return sequence != 0 && sequence <= uint64(j.erasure.Through) && //nolint:gosec // a sequence
		(j.erasure.EventID == "" || j.erasure.EventID == eventID)
}

// run does every step, from the first on.
func (j *job) run(ctx context.Context) error {
	began := time.Now()
	for _, step := range []func(context.Context) error{
		j.eraseEvents, j.endOwed, j.drain, j.eraseAnswers, j.Scrub, j.empty,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	done := j.counted()
	if err := j.Store.EndErasure(ctx, done); err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	j.log.Info("events erased", zap.String("caller", done.By), zap.Int64("events", done.Events),
		zap.Int64("attempts", done.Attempts), zap.Duration("took_ms", time.Since(began)))
	return nil
}

// eraseEvents overwrites the events, and what was written about those that could not
// be read.
func (j *job) eraseEvents(ctx context.Context) error {
	stream, err := j.JS.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return fmt.Errorf("open %s: %w", topology.StreamEvents, err)
	}
	var rejected []uint64
	for after := uint64(0); ; {
		var found []uint64
		query := eventlog.Query{ProjectID: j.erasure.ProjectID, After: after}
		err := j.events.EachStored(ctx, query, func(e eventlog.Event) error {
			if after = e.Sequence; after > uint64(j.erasure.Through) { //nolint:gosec // a sequence
				return eventlog.ErrStop
			}
			if j.about(e.ID, e.Sequence) {
				found = append(found, e.Sequence)
			}
			if len(found) == eraseBatch {
				return eventlog.ErrStop
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("find what is to be erased: %w", err)
		}
		if err := j.overwrite(ctx, stream, found); err != nil {
			return err
		}
		if j.erasure.EventID != "" {
			rejected = append(rejected, found...)
		}
		if len(found) < eraseBatch {
			return j.eraseRejections(ctx, rejected)
		}
	}
}

// overwrite erases messages of EVENTS.
func (j *job) overwrite(ctx context.Context, stream jetstream.Stream, sequences []uint64) error {
	for i, sequence := range sequences {
		began := time.Now()
		if err := j.overwriteOne(ctx, stream, sequence); err != nil {
			return err
		}
		j.count(1, 0)
		if i >= unpaced {
			retry.Pause(ctx, time.Since(began))
		}
	}
	return nil
}

func (j *job) overwriteOne(ctx context.Context, stream jetstream.Stream, sequence uint64) error {
	err := stream.SecureDeleteMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		// Another one was faster, or it was not done: the leader knows.
		if _, gone := j.reader.Event(ctx, j.erasure.ProjectID, sequence); errors.Is(gone, topology.ErrEventGone) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("erase event %d: %w", sequence, err)
	}
	return nil
}

// eraseRejections erases what was written about events that could not be read: all of
// the project, or those under these sequences.
func (j *job) eraseRejections(ctx context.Context, sequences []uint64) error {
	wanted := map[uint64]bool{}
	for _, sequence := range sequences {
		wanted[sequence] = true
	}
	stream, err := j.JS.Stream(ctx, topology.StreamRejected)
	if err != nil {
		return fmt.Errorf("open %s: %w", topology.StreamRejected, err)
	}
	for _, subject := range topology.SubjectsRejected(j.erasure.ProjectID) {
		err = account.Each(ctx, j.JS, topology.StreamRejected, subject, func(msg *jetstream.RawStreamMsg) error {
			of := &webhooksv1.Rejection{}
			if err := protojson.Unmarshal(msg.Data, of); err != nil {
				of.EventSequence = 0 // of whatever it is
			}
			all := j.erasure.EventID == "" && of.GetEventSequence() <= uint64(j.erasure.Through) //nolint:gosec // a sequence
			if !all && !wanted[of.GetEventSequence()] {
				return nil
			}
			err := stream.SecureDeleteMsg(ctx, msg.Sequence)
			if err != nil && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
				return fmt.Errorf("erase a rejection: %w", err)
			}
			return nil
		})
		if err != nil {
			return err //nolint:wrapcheck // it says what it was
		}
	}
	return nil
}

// drain waits until what was attempted before is recorded.
func (j *job) drain(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	return account.Recorded(waiting, j.JS) //nolint:wrapcheck // it says what it was
}

// eraseAnswers takes what receivers answered out of the delivery log.
func (j *job) eraseAnswers(ctx context.Context) error {
	logs, err := j.Store.LogsOf(ctx, j.erasure.ProjectID)
	if err != nil {
		return err //nolint:wrapcheck // it says what it was
	}
	var erased int64
	for _, webhookID := range logs {
		n, err := j.Store.EraseAnswers(ctx, j.erasure.ProjectID, webhookID, func(e *webhooksv1.LogEntry) bool {
			return j.about(e.GetEventId(), e.GetEventSequence())
		})
		erased += n
		j.count(0, erased)
		if err != nil {
			return err //nolint:wrapcheck // it says what it was
		}
	}
	return nil
}

// empty waits until ATTEMPTS has nothing in it for a moment, when its server deletes
// the files with what was recorded. Where it never has, they are filled, and deleted,
// one after the other anyway.
func (j *job) empty(ctx context.Context) error {
	stream, err := j.JS.Stream(ctx, topology.StreamAttempts)
	if err != nil {
		return fmt.Errorf("open %s: %w", topology.StreamAttempts, err)
	}
	for deadline := time.Now().Add(emptyPatience); ctx.Err() == nil && time.Now().Before(deadline); retry.Pause(ctx, emptyPoll) {
		info, err := stream.Info(ctx)
		if err != nil {
			return fmt.Errorf("look at %s: %w", topology.StreamAttempts, err)
		}
		if info.State.Msgs == 0 {
			return nil
		}
	}
	return nil
}
