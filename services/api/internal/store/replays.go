package store

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"github.com/dembrane/webhooks/services/api/internal/lease"
	"github.com/dembrane/webhooks/services/api/internal/store/documents"
)

// ReplayState is where a replay is: a closed set.
type ReplayState string

// The states of a replay. The last three are its end.
const (
	ReplayRunning   ReplayState = "running"
	ReplayPaused    ReplayState = "paused"
	ReplayDone      ReplayState = "done"
	ReplayCancelled ReplayState = "cancelled"
	ReplayFailed    ReplayState = "failed"
)

// Ended reports whether nothing more is sent.
func (s ReplayState) Ended() bool { return s != ReplayRunning && s != ReplayPaused }

// Replay is one replay of a webhook, and how far it is.
type Replay struct {
	ID        string `bson:"_id"`
	ProjectID string `bson:"project_id"`
	WebhookID string `bson:"webhook_id"`
	CreatedBy string `bson:"created_by"`

	// Since and Until bound the events by when they were stored in EVENTS.
	Since time.Time `bson:"since"`
	Until time.Time `bson:"until"`
	Only  string    `bson:"only"`
	// Events are the types; none for all that the webhook subscribes to.
	Events       []string `bson:"events"`
	MaxPerSecond float64  `bson:"max_per_second"`

	State ReplayState `bson:"state"`
	// Message says why it is paused or has ended before its time.
	Message string `bson:"message"`
	// Cursor is the sequence of the last event that was looked at, and Ranges how
	// many ranges are written: the number of the next one.
	Cursor int64 `bson:"cursor"`
	Ranges int64 `bson:"ranges"`
	// DueAt is when the last range was due.
	DueAt time.Time `bson:"due_at"`
	// Total is how many there are; nil until they are counted.
	Total *int64 `bson:"total"`
	// Sent is how many are written down, Delivered and Failed what became of them:
	// what is neither is on its way, or will be tried again.
	Sent      int64 `bson:"sent"`
	Delivered int64 `bson:"delivered"`
	Failed    int64 `bson:"failed"`

	CreatedAt time.Time  `bson:"created_at"`
	UpdatedAt time.Time  `bson:"updated_at"`
	EndedAt   *time.Time `bson:"ended_at"`
}

// RunningReplay says which replay of a webhook runs, and which replica of the api
// runs it. Its _id is the webhook: there is one at most.
type RunningReplay struct {
	WebhookID string `bson:"_id"`
	ReplayID  string `bson:"replay_id"`

	lease.Lease `bson:",inline"`
}

// ErrReplayRunning says that the webhook has a replay that has not ended.
var ErrReplayRunning = errors.New("a replay is running")

// ErrReplayNotFound says that there is no such replay of this webhook.
var ErrReplayNotFound = errors.New("replay not found")

// StartReplay stores a replay, if no other one of its webhook is running. Then it
// returns the one that is, and [ErrReplayRunning]. Storing it again returns it as it
// is.
func (s *Store) StartReplay(ctx context.Context, r Replay) (Replay, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if there, err := s.LoadReplay(ctx, r.ID); err == nil || !errors.Is(err, ErrReplayNotFound) {
		return there, err
	}
	// A crash in between leaves a webhook that seems to have a replay: whoever runs
	// replays takes that away after a while.
	running := RunningReplay{WebhookID: r.WebhookID, ReplayID: r.ID}
	for {
		_, err := s.replaying.InsertOne(ctx, running)
		if err == nil {
			return r, s.insertReplay(ctx, r)
		}
		if !mongo.IsDuplicateKeyError(err) {
			return Replay{}, unavailable("insert running replay", err)
		}
		other, err := s.otherReplay(ctx, r)
		if !errors.Is(err, errJustEnded) {
			return other, err
		}
	}
}

// errJustEnded says that the replay that was in the way is not there any more.
var errJustEnded = errors.New("the other replay has just ended")

func (s *Store) insertReplay(ctx context.Context, r Replay) error {
	_, err := s.replays.InsertOne(ctx, r)
	if mongo.IsDuplicateKeyError(err) {
		return nil // by the same request, sent again
	}
	return unavailable("insert replay", err)
}

// otherReplay is for a webhook that is said to have a running replay.
func (s *Store) otherReplay(ctx context.Context, r Replay) (Replay, error) {
	running, err := s.RunningReplay(ctx, r.WebhookID)
	if errors.Is(err, ErrReplayNotFound) {
		return Replay{}, errJustEnded
	}
	if err != nil {
		return Replay{}, err
	}
	if running.ReplayID == r.ID { // our own, of a try that broke off
		return r, s.insertReplay(ctx, r)
	}
	other, err := s.LoadReplay(ctx, running.ReplayID)
	if errors.Is(err, ErrReplayNotFound) {
		// Its try has broken off, or is at it: whoever runs replays sorts it out.
		return Replay{ID: running.ReplayID}, ErrReplayRunning
	}
	if err != nil {
		return Replay{}, err
	}
	return other, ErrReplayRunning
}

// LoadReplay returns a replay of whatever webhook, or [ErrReplayNotFound].
func (s *Store) LoadReplay(ctx context.Context, id string) (Replay, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var r Replay
	err := s.replays.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&r)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return Replay{}, ErrReplayNotFound
	}
	return r, unavailable("load replay", err)
}

// GetReplay returns a replay of this webhook, or [ErrReplayNotFound].
func (s *Store) GetReplay(ctx context.Context, webhookID, id string) (Replay, error) {
	r, err := s.LoadReplay(ctx, id)
	if err == nil && r.WebhookID != webhookID {
		return Replay{}, ErrReplayNotFound
	}
	return r, err
}

// ListReplays returns the newest replays of a webhook, newest first.
func (s *Store) ListReplays(ctx context.Context, webhookID string, limit int64) ([]Replay, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return findAll[Replay](ctx, s.replays, bson.D{{Key: keyOfHook, Value: webhookID}},
		options.Find().SetSort(bson.D{descending(keyID)}).SetLimit(limit))
}

// UpdateReplay applies edit to a replay and stores the result, if it is still
// running or paused: what has ended stays as it is, and false is returned. It is for
// whoever runs the replay.
func (s *Store) UpdateReplay(ctx context.Context, id string, edit func(*Replay)) (r Replay, stored bool, err error) {
	err = s.replays.Change(ctx, id, func(ctx context.Context, d *documents.Document) error {
		if r, err = s.LoadReplay(ctx, id); err != nil || r.State.Ended() {
			return err
		}
		was := r.State
		edit(&r)
		r.UpdatedAt = now()
		if r.State.Ended() && r.EndedAt == nil {
			ended := now()
			r.EndedAt = &ended
		}
		// The state is in the filter: a cancellation by another replica is not undone.
		stored, err = d.Update(ctx, d.SinceRead(bson.E{Key: "state", Value: was}), bson.D{{Key: "$set", Value: bson.D{
			{Key: "state", Value: r.State},
			{Key: "message", Value: r.Message},
			{Key: "cursor", Value: r.Cursor},
			{Key: "ranges", Value: r.Ranges},
			{Key: "due_at", Value: r.DueAt},
			{Key: "total", Value: r.Total},
			{Key: "sent", Value: r.Sent},
			{Key: "delivered", Value: r.Delivered},
			{Key: "failed", Value: r.Failed},
			{Key: "updated_at", Value: r.UpdatedAt},
			{Key: "ended_at", Value: r.EndedAt},
		}}})
		if err == nil && !stored {
			r, err = s.LoadReplay(ctx, id)
		}
		return err //nolint:wrapcheck // it says what it was
	})
	return r, stored, err //nolint:wrapcheck // it says what it was
}

// CancelReplay ends a replay, if it has not ended, and reports whether it did. It
// changes its state and nothing else, as whoever runs it may be storing how far it is.
func (s *Store) CancelReplay(ctx context.Context, id, message string) (Replay, bool, error) {
	ended := now()
	cancelled, err := update(ctx, s.replays, id, bson.D{{Key: "state", Value: bson.D{{Key: "$in", Value: bson.A{ReplayRunning, ReplayPaused}}}}},
		bson.D{{Key: "$set", Value: bson.D{
			{Key: "state", Value: ReplayCancelled},
			{Key: "message", Value: message},
			{Key: "updated_at", Value: ended},
			{Key: "ended_at", Value: ended},
		}}})
	if err != nil {
		return Replay{}, false, err
	}
	// Its runner stores nothing any more.
	r, err := s.LoadReplay(ctx, id)
	return r, cancelled, err
}

// CountReplay stores what became of the deliveries of a replay, also after its end.
func (s *Store) CountReplay(ctx context.Context, id string, delivered, failed int64) error {
	_, err := update(ctx, s.replays, id, nil, bson.D{{Key: "$set", Value: bson.D{
		{Key: "delivered", Value: delivered}, {Key: "failed", Value: failed},
	}}})
	return err
}

// RunningReplay returns the one of a webhook, or [ErrReplayNotFound].
func (s *Store) RunningReplay(ctx context.Context, webhookID string) (RunningReplay, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var running RunningReplay
	err := s.replaying.FindOne(ctx, bson.D{{Key: "_id", Value: webhookID}}).Decode(&running)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return RunningReplay{}, ErrReplayNotFound
	}
	return running, unavailable("load running replay", err)
}

// RunningReplays returns all that run.
func (s *Store) RunningReplays(ctx context.Context) ([]RunningReplay, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return findAll[RunningReplay](ctx, s.replaying, bson.D{})
}

// SwapReplayLease replaces the lease on a replay, if that is still as it was seen. It
// reports whether that succeeded.
func (s *Store) SwapReplayLease(ctx context.Context, r RunningReplay, seen, next lease.Lease) (bool, error) {
	return swapLease(ctx, leased{
		in: s.replaying, id: r.WebhookID, while: bson.E{Key: "replay_id", Value: r.ReplayID},
	}, seen, next)
}

// ReleaseReplay lets the next replay of the webhook begin.
func (s *Store) ReleaseReplay(ctx context.Context, running RunningReplay) error {
	return remove(ctx, s.replaying, running.WebhookID, bson.D{{Key: "replay_id", Value: running.ReplayID}})
}

// ExpireReplays forgets replays that were made before the given time and have ended.
func (s *Store) ExpireReplays(ctx context.Context, before time.Time, limit int64) (int, error) {
	return expire(ctx, s.replays, "ended_at", before, limit, s.replays.DeleteByID)
}
