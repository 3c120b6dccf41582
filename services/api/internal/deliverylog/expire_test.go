package deliverylog_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/activity"
	"github.com/dembrane/webhooks/services/api/internal/deliverylog"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// logged records attempts that began some time ago, a minute apart, and returns
// their ids, oldest first.
func (w *world) logged(made store.Webhook, ago time.Duration, count int) []string {
	w.t.Helper()
	var ids []string
	for start := 0; start < count; start += 50 {
		var list []*webhooksv1.Attempt
		var entries []*webhooksv1.LogEntry
		for i := start; i < min(count, start+50); i++ {
			a := attemptOf(made, webhooksv1.Outcome_OUTCOME_DELIVERED, 200)
			began := time.Now().Add(-ago + time.Duration(i)*time.Millisecond)
			id := ulid.MustNew(ulid.Timestamp(began), ulid.DefaultEntropy())
			a.Id, a.StartedAt = id.String(), timestamppb.New(began)
			list, entries, ids = append(list, a), append(entries, activity.Entry(a, id)), append(ids, a.GetId())
		}
		_, err := w.store.InsertAttempts(w.t.Context(), list)
		require.NoError(w.t, err)
		require.NoError(w.t, w.store.AppendLog(w.t.Context(), made.ProjectID, made.ID, entries, func(string) bool { return false }))
	}
	return ids
}

// inLog counts the attempts that a list shows.
func (w *world) inLog(made store.Webhook) int {
	w.t.Helper()
	count := 0
	_, err := w.store.WalkLog(w.t.Context(), made.ID, store.LogWalk{Pages: 1000}, func(uint64, *webhooksv1.LogEntry) bool {
		count++
		return true
	})
	require.NoError(w.t, err)
	return count
}

// expire lets the log expire until cond holds.
func (w *world) expire(s attempts, keep deliverylog.Retention, cond func() bool) {
	w.t.Helper()
	recorder := w.recorder(s)
	for more := true; more; {
		var err error
		more, err = recorder.Expire(w.t.Context(), keep)
		require.NoError(w.t, err)
	}
	require.True(w.t, cond())
}

func (w *world) has(made store.Webhook, id string) bool {
	w.t.Helper()
	_, err := w.store.Attempt(w.t.Context(), made.ProjectID, made.ID, id)
	if errors.Is(err, store.ErrNoAttempt) {
		return false
	}
	require.NoError(w.t, err)
	return true
}

// What is too old goes, from the pages and from the newest part, with its records;
// what is young stays, and is recorded on top of it.
func TestExpireByAge(t *testing.T) {
	w := newWorld(t)
	mixed, old, quiet := w.create(), w.create(), w.create()
	gone := w.logged(mixed, 3*time.Hour, 150)
	stays := w.logged(mixed, time.Minute, 60)
	w.logged(old, 3*time.Hour, 230)
	w.logged(quiet, 2*time.Minute, 3)
	w.expire(w.store, deliverylog.Retention{MaxAge: time.Hour}, func() bool {
		return w.inLog(mixed) == 60 && w.inLog(old) == 0
	})
	assert.Equal(t, 3, w.inLog(quiet))
	assert.False(t, w.has(mixed, gone[0]))
	assert.False(t, w.has(mixed, gone[149]))
	assert.True(t, w.has(mixed, stays[0]))
	w.wantRecords(mixed.ID, 60)
	w.wantRecords(old.ID, 0)
	more := w.logged(old, time.Second, 260)
	assert.Equal(t, 260, w.inLog(old))
	assert.True(t, w.has(old, more[0]))
	heads, err := w.store.LogHeads(t.Context())
	require.NoError(t, err)
	for _, h := range heads {
		if h.WebhookID == old.ID {
			assert.InDelta(t, 260*1024, h.Size(), 100*260)
		}
	}
}

// The oldest attempts of all webhooks go first, and never the newest of one.
func TestExpireBySize(t *testing.T) {
	w := newWorld(t)
	first, second := w.create(), w.create()
	older := w.logged(first, 3*time.Hour, 250)
	newer := w.logged(second, 2*time.Hour, 250)
	const perAttempt = 1100
	w.expire(w.store, deliverylog.Retention{MaxAge: 100 * time.Hour, MaxBytes: 320 * perAttempt}, func() bool {
		return w.inLog(first)+w.inLog(second) <= 320
	})
	assert.False(t, w.has(first, older[0]))
	assert.True(t, w.has(second, newer[249]))
	assert.GreaterOrEqual(t, w.inLog(first), 100)
	assert.GreaterOrEqual(t, w.inLog(second), w.inLog(first))
	// A limit that nothing can keep to leaves the newest of each.
	w.expire(w.store, deliverylog.Retention{MaxAge: 100 * time.Hour, MaxBytes: 1}, func() bool { return w.inLog(second) <= 200 })
	assert.GreaterOrEqual(t, w.inLog(first), 100)
	assert.GreaterOrEqual(t, w.inLog(second), 100)
}

// Of a webhook that was deleted nothing is left in the end.
func TestTheLogOfADeletedWebhookIsForgotten(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	w.logged(made, 3*time.Hour, 20)
	require.NoError(t, w.store.Delete(t.Context(), "p1", made.ID))
	w.expire(w.store, deliverylog.Retention{MaxAge: time.Hour}, func() bool {
		heads, err := w.store.LogHeads(t.Context())
		require.NoError(t, err)
		return len(heads) == 0
	})
}

// failingDrop fails after it has deleted.
type failingDrop struct {
	*store.Store

	dropped int
}

func (f *failingDrop) DropPage(ctx context.Context, h store.LogHead) (store.LogHead, int, error) {
	rest, n, err := f.Store.DropPage(ctx, h)
	if f.dropped++; f.dropped == 1 {
		return h, 0, errInjected
	}
	return rest, n, err
}

// What several do, or one does twice, is done once.
func TestDroppingAPageTwice(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	w.logged(made, 3*time.Hour, 230)
	heads, err := w.store.LogHeads(t.Context())
	require.NoError(t, err)
	require.Len(t, heads, 1)
	f := &failingDrop{Store: w.store}
	_, _, err = f.DropPage(t.Context(), heads[0])
	require.ErrorIs(t, err, errInjected)
	_, n, err := f.DropPage(t.Context(), heads[0]) // who does not know
	require.NoError(t, err)
	assert.Zero(t, n)
	assert.Equal(t, 130, w.inLog(made))
	again, err := w.store.LogHeads(t.Context())
	require.NoError(t, err)
	assert.Equal(t, heads[0].First+1, again[0].First)
	assert.InDelta(t, 130*1024, again[0].Size(), 100*130)
}
