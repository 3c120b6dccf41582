package store_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/lease"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

func outcomeOf(webhookID string, sequence uint64, outcome webhooksv1.Outcome) *webhooksv1.Attempt {
	return &webhooksv1.Attempt{
		Id: ulid.Make().String(), WebhookId: webhookID, EventId: "evt_" + strconv.FormatUint(sequence, 10),
		EventSequence: sequence, Number: 1, Outcome: outcome, Trigger: webhooksv1.Trigger_TRIGGER_EVENT,
	}
}

func TestOutcomesAreFoundByTheSequenceOfTheirEvent(t *testing.T) {
	s := open(t)
	one := outcomeOf("w1", 1023, webhooksv1.Outcome_OUTCOME_RETRY)
	two := outcomeOf("w1", 1024, webhooksv1.Outcome_OUTCOME_DELIVERED)
	of := outcomeOf("w2", 1023, webhooksv1.Outcome_OUTCOME_EXHAUSTED)
	test := outcomeOf("w1", 0, webhooksv1.Outcome_OUTCOME_DELIVERED)
	again := outcomeOf("w1", 1023, webhooksv1.Outcome_OUTCOME_DELIVERED)
	again.ReplayId, again.Number = "replay", 7
	require.NoError(t, s.AppendOutcomes(t.Context(), []*webhooksv1.Attempt{one, two, of, test}))
	require.NoError(t, s.AppendOutcomes(t.Context(), []*webhooksv1.Attempt{one, two, of, test}), "a batch that comes again")
	require.NoError(t, s.AppendOutcomes(t.Context(), []*webhooksv1.Attempt{again}))

	list, err := s.BlockOutcomes(t.Context(), "w1", store.OutcomeBlock(1023))
	require.NoError(t, err)
	require.Len(t, list, 2, "each once")
	assert.Equal(t, store.Outcome{
		Sequence: 1023, Event: store.EventMark("evt_1023"), Outcome: webhooksv1.Outcome_OUTCOME_RETRY,
		Trigger: webhooksv1.Trigger_TRIGGER_EVENT, Number: 1, Attempt: ulid.MustParse(one.GetId()),
	}, list[0])
	assert.Equal(t, webhooksv1.Outcome_OUTCOME_DELIVERED, list[1].Outcome)
	assert.WithinDuration(t, time.Now(), list[1].At(), time.Minute)
	none, err := s.BlockOutcomes(t.Context(), "w2", store.OutcomeBlock(5000))
	require.NoError(t, err)
	assert.Empty(t, none)

	replayed, next, err := s.ReplayOutcomes(t.Context(), "replay", 0)
	require.NoError(t, err)
	require.Len(t, replayed, 1)
	assert.EqualValues(t, 7, replayed[0].Number)
	replayed, _, err = s.ReplayOutcomes(t.Context(), "replay", next)
	require.NoError(t, err)
	assert.Empty(t, replayed)
}

// Replicas that know nothing of each other write pages of the same webhook.
func TestNoOutcomeIsLostWhenSeveralRecord(t *testing.T) {
	server := mongotest.Start(t)
	const replicas, each = 4, 25
	var group sync.WaitGroup
	for range replicas {
		s := openAt(t, server)
		group.Go(func() {
			for i := range each {
				assert.NoError(t, s.AppendOutcomes(t.Context(), []*webhooksv1.Attempt{
					outcomeOf("w1", uint64(i+1), webhooksv1.Outcome_OUTCOME_DELIVERED),
				}))
			}
		})
	}
	group.Wait()
	late := openAt(t, server) // it has written nothing yet, and finds the next number
	require.NoError(t, late.AppendOutcomes(t.Context(), []*webhooksv1.Attempt{outcomeOf("w1", 900, webhooksv1.Outcome_OUTCOME_DELIVERED)}))
	list, err := late.BlockOutcomes(t.Context(), "w1", 0)
	require.NoError(t, err)
	assert.Len(t, list, replicas*each+1)
}

func TestOldOutcomesAreForgotten(t *testing.T) {
	s := open(t)
	require.NoError(t, s.AppendOutcomes(t.Context(), []*webhooksv1.Attempt{
		outcomeOf("w1", 1, webhooksv1.Outcome_OUTCOME_DELIVERED), outcomeOf("w1", 5000, webhooksv1.Outcome_OUTCOME_DELIVERED),
	}))
	deleted, err := s.ExpireOutcomes(t.Context(), time.Now().Add(-time.Hour), 10)
	require.NoError(t, err)
	assert.Zero(t, deleted)
	deleted, err = s.ExpireOutcomes(t.Context(), time.Now().Add(time.Hour), 1)
	require.NoError(t, err)
	assert.Equal(t, 1, deleted, "in steps")
}

func TestAWebhookHasOneReplayAtATime(t *testing.T) {
	s := open(t)
	first := store.Replay{ID: ulid.Make().String(), WebhookID: "w1", State: store.ReplayRunning, CreatedAt: time.Now()}
	second := store.Replay{ID: ulid.Make().String(), WebhookID: "w1", State: store.ReplayRunning, CreatedAt: time.Now()}
	_, err := s.StartReplay(t.Context(), first)
	require.NoError(t, err)
	running, err := s.StartReplay(t.Context(), second)
	require.ErrorIs(t, err, store.ErrReplayRunning)
	assert.Equal(t, first.ID, running.ID)
	again, err := s.StartReplay(t.Context(), first)
	require.NoError(t, err, "the same request once more")
	assert.Equal(t, first.ID, again.ID)

	all, err := s.RunningReplays(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1)
	one := lease.Lease{Owner: "one", Until: time.Now().Add(time.Minute)}
	ok, err := s.SwapReplayLease(t.Context(), all[0], all[0].Lease, one)
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = s.SwapReplayLease(t.Context(), all[0], all[0].Lease, lease.Lease{Owner: "other", Until: one.Until})
	require.NoError(t, err)
	assert.False(t, ok, "taken by two")
	ok, err = s.SwapReplayLease(t.Context(), all[0], one, lease.Lease{Owner: "one", Until: one.Until.Add(time.Minute)})
	require.NoError(t, err)
	assert.True(t, ok, "renewed")

	changed, ok, err := s.UpdateReplay(t.Context(), first.ID, func(r *store.Replay) { r.State = store.ReplayCancelled })
	require.NoError(t, err)
	assert.True(t, ok)
	assert.NotNil(t, changed.EndedAt)
	_, ok, err = s.UpdateReplay(t.Context(), first.ID, func(r *store.Replay) { r.State = store.ReplayRunning })
	require.NoError(t, err)
	assert.False(t, ok, "what has ended has ended")
	require.NoError(t, s.ReleaseReplay(t.Context(), all[0]))
	_, err = s.StartReplay(t.Context(), second)
	require.NoError(t, err)

	list, err := s.ListReplays(t.Context(), "w1", 10)
	require.NoError(t, err)
	require.Len(t, list, 2)
	assert.Equal(t, second.ID, list[0].ID, "newest first")
	_, err = s.GetReplay(t.Context(), "w2", first.ID)
	require.ErrorIs(t, err, store.ErrReplayNotFound)
	deleted, err := s.ExpireReplays(t.Context(), time.Now().Add(time.Hour), 10)
	require.NoError(t, err)
	assert.Equal(t, 1, deleted, "what runs is kept")
}

// Replicas of an earlier version take leases away from ours, and ours from theirs: where
// a lease lies in its document stays as it was.
func TestALeaseLiesWhereEarlierVersionsLookForIt(t *testing.T) {
	held := lease.Lease{Owner: "one", Until: time.Now().UTC()}
	for want, document := range map[string]any{
		"_id replay_id owner until": store.RunningReplay{Lease: held},
		"_id project_id event_id by through events attempts done owner until begun_at ended_at": store.Erasure{Lease: held},
	} {
		data, err := bson.Marshal(document)
		require.NoError(t, err)
		elements, err := bson.Raw(data).Elements()
		require.NoError(t, err)
		var names []string
		for _, element := range elements {
			names = append(names, element.Key())
		}
		assert.Equal(t, want, strings.Join(names, " "))
		assert.Equal(t, "one", bson.Raw(data).Lookup("owner").StringValue())
		assert.WithinDuration(t, held.Until, bson.Raw(data).Lookup("until").Time(), time.Millisecond)
	}
}
