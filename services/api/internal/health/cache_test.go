package health

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

const (
	delivered = webhooksv1.Outcome_OUTCOME_DELIVERED
	retried   = webhooksv1.Outcome_OUTCOME_RETRY
	exhausted = webhooksv1.Outcome_OUTCOME_EXHAUSTED
	gone      = webhooksv1.Outcome_OUTCOME_GONE
)

func minute(n int) time.Time { return time.Date(2026, 1, 20, 12, n, 0, 0, time.UTC) }

func at(n int) *time.Time {
	t := minute(n)
	return &t
}

func attempt(n int, outcome webhooksv1.Outcome, status uint32) *webhooksv1.Attempt {
	return &webhooksv1.Attempt{
		StartedAt: timestamppb.New(minute(n)), Outcome: outcome, StatusCode: status,
		Trigger: webhooksv1.Trigger_TRIGGER_EVENT,
	}
}

func TestHealthAfterAttempts(t *testing.T) {
	tested := attempt(9, exhausted, 500)
	tested.Trigger = webhooksv1.Trigger_TRIGGER_TEST
	failing := store.Health{FailingSince: at(1), LastAttemptAt: at(1), LastStatusCode: 500}
	healthy := store.Health{LastSuccessAt: at(5), LastAttemptAt: at(5), LastStatusCode: 200}
	for name, row := range map[string]struct {
		before store.Health
		given  []*webhooksv1.Attempt
		want   store.Health
	}{
		"nothing": {healthy, nil, healthy},
		"first success": {
			store.Health{},
			[]*webhooksv1.Attempt{attempt(1, delivered, 204)},
			store.Health{LastSuccessAt: at(1), LastAttemptAt: at(1), LastStatusCode: 204},
		},
		"first failure": {
			store.Health{},
			[]*webhooksv1.Attempt{attempt(1, retried, 500)},
			store.Health{FailingSince: at(1), LastAttemptAt: at(1), LastStatusCode: 500},
		},
		"failing keeps its beginning": {
			failing,
			[]*webhooksv1.Attempt{attempt(2, retried, 502), attempt(3, exhausted, 0)},
			store.Health{FailingSince: at(1), LastAttemptAt: at(3), LastStatusCode: 0},
		},
		"success ends it": {
			failing,
			[]*webhooksv1.Attempt{attempt(2, delivered, 200)},
			store.Health{LastSuccessAt: at(2), LastAttemptAt: at(2), LastStatusCode: 200},
		},
		"success and failure in one batch, out of order": {
			failing,
			[]*webhooksv1.Attempt{attempt(4, retried, 503), attempt(2, delivered, 200)},
			store.Health{FailingSince: at(4), LastSuccessAt: at(2), LastAttemptAt: at(4), LastStatusCode: 503},
		},
		"late failure from before the success": {healthy, []*webhooksv1.Attempt{attempt(4, retried, 500)}, healthy},
		"the same records again":               {failing, []*webhooksv1.Attempt{attempt(1, retried, 500)}, failing},
		"two at the same time": {
			failing,
			[]*webhooksv1.Attempt{attempt(5, delivered, 202), attempt(5, delivered, 202)},
			store.Health{LastSuccessAt: at(5), LastAttemptAt: at(5), LastStatusCode: 202},
		},
		"another answer at the same time": {
			healthy,
			[]*webhooksv1.Attempt{attempt(5, delivered, 202)},
			store.Health{LastSuccessAt: at(5), LastAttemptAt: at(5), LastStatusCode: 202},
		},
		"gone counts as a failure": {
			healthy,
			[]*webhooksv1.Attempt{attempt(6, gone, 410)},
			store.Health{FailingSince: at(6), LastSuccessAt: at(5), LastAttemptAt: at(6), LastStatusCode: 410},
		},
		"tests and deliveries that were not made do not count": {
			healthy, []*webhooksv1.Attempt{
				tested,
				attempt(9, webhooksv1.Outcome_OUTCOME_DELETED, 0),
				attempt(9, webhooksv1.Outcome_OUTCOME_DISABLED, 0),
				attempt(9, webhooksv1.Outcome_OUTCOME_EXPIRED, 0),
				attempt(9, webhooksv1.Outcome_OUTCOME_UNSPECIFIED, 0),
			}, healthy,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var counted []*webhooksv1.Attempt
			for _, a := range row.given {
				if counts(a) {
					counted = append(counted, a)
				}
			}
			sortByTime(counted)
			once := row.before.Merge(summary(counted))
			assert.Equal(t, row.want, once)
			assert.Equal(t, row.want, once.Merge(summary(counted)), "the same once more")
			slices.Reverse(counted)
			h := row.before
			for _, a := range counted {
				h = h.Merge(healthOf(a))
			}
			assert.Equal(t, row.want, h, "one by one, newest first")
		})
	}
}

// webhookCount is how many there are, and takes how long a write takes.
const (
	webhookCount = 1000
	takes        = 10 * time.Millisecond
)

// slow is a database that takes a while over each write.
type slow struct {
	fault error // of every write

	mu     sync.Mutex
	health map[string]store.Health
}

func (s *slow) cache() *cache {
	s.health = map[string]store.Health{}
	return newCache(s.load, s.merge)
}

func (*slow) load(context.Context, string) (store.Webhook, error) {
	return store.Webhook{}, store.ErrNotFound
}

func (s *slow) merge(ctx context.Context, id string, known store.Health) (store.Health, error) {
	retry.Pause(ctx, takes)
	if s.fault != nil {
		return store.Health{}, s.fault
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health[id] = s.health[id].Merge(known)
	return s.health[id], nil
}

// upTo is how many webhookCount it knows to have had their last success in minute n.
func (s *slow) upTo(n int) (count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.health {
		if h.LastSuccessAt.Equal(minute(n)) {
			count++
		}
	}
	return count
}

// addToAll lets every webhook have one more delivery, in minute n.
func addToAll(t *testing.T, c *cache, n int) {
	t.Helper()
	for i := range webhookCount {
		_, err := c.add(t.Context(), strconv.Itoa(i), summary([]*webhooksv1.Attempt{attempt(n, delivered, 200)}))
		require.NoError(t, err)
	}
}

func TestHealthIsWrittenInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perPiece = int(flushPiece / takes)
		database := slow{}
		c := database.cache()
		addToAll(t, c, 1) // the first one changes the state, and is written at once
		require.Equal(t, webhookCount, database.upTo(1))
		addToAll(t, c, 2)
		require.Zero(t, database.upTo(2))

		rests := 0
		require.NoError(t, c.flush(t.Context(), func(worked time.Duration) bool {
			assert.Equal(t, flushPiece, worked)
			rests++
			return rests < 5
		}))
		assert.Equal(t, 5*perPiece, database.upTo(2), "a rest may end it")
		require.NoError(t, c.flush(t.Context(), func(time.Duration) bool {
			rests++
			return true
		}))
		assert.Equal(t, webhookCount, database.upTo(2), "nothing is forgotten")
		assert.Equal(t, webhookCount/perPiece, rests)
	})
}

// However many there are, four fifths of the time are left to others, and a stop
// waits for none of those.
func TestHealthIsAFifthOfTheTimeAndCompleteWithAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		database := slow{}
		c := database.cache()
		addToAll(t, c, 1)
		addToAll(t, c, 2)
		tracker := &Tracker{cache: c, throttle: func(context.Context, time.Duration) {}, log: zap.NewNop()}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { tracker.Run(ctx) })
		retry.Pause(ctx, flushInterval+10*time.Second)
		assert.InDelta(t, 2*time.Second/takes, database.upTo(2), float64(flushPiece/takes))
		addToAll(t, c, 3)
		began := time.Now()
		stop()
		running.Wait()
		assert.Equal(t, webhookCount, database.upTo(3))
		assert.LessOrEqual(t, time.Since(began), webhookCount*takes+flushPiece)
	})
}

// A database that answers late, and with an error, is spared as one that works.
func TestHealthThatCannotBeWrittenPausesAsWellAndStaysLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		database := slow{}
		c := database.cache()
		addToAll(t, c, 1)
		addToAll(t, c, 2)
		database.fault = errors.New("away")
		var rests []time.Duration
		rest := func(worked time.Duration) bool {
			rests = append(rests, worked)
			return true
		}
		require.ErrorIs(t, c.flush(t.Context(), rest), database.fault)
		assert.Equal(t, []time.Duration{takes}, rests)

		database.fault = nil
		require.NoError(t, c.flush(t.Context(), rest))
		assert.Equal(t, webhookCount, database.upTo(2))
	})
}
