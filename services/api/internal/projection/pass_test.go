package projection_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/projection"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// interrupted is a store that calls back between its webhooks and what follows a
// pass, and counts what is loaded.
type interrupted struct {
	*store.Store

	after func()
	loads atomic.Int64
}

func (s *interrupted) Each(ctx context.Context, visit func(store.Webhook) error) error {
	err := s.Store.Each(ctx, visit)
	if s.after != nil {
		s.after()
	}
	return err
}

func (s *interrupted) Load(ctx context.Context, id string) (store.Webhook, error) {
	s.loads.Add(1)
	return s.Store.Load(ctx, id)
}

func (w *world) stream() jetstream.Stream {
	w.t.Helper()
	stream, err := w.js.Stream(w.t.Context(), topology.StreamBucket)
	require.NoError(w.t, err)
	return stream
}

// Row A14: the bucket is emptied while a pass runs.
func TestAPassNeverMarksABucketThatWasEmptiedMeanwhile(t *testing.T) {
	for name, empty := range map[string]func(*world){
		"emptied": func(w *world) { require.NoError(w.t, w.stream().Purge(w.t.Context())) },
		"made again": func(w *world) {
			require.NoError(w.t, w.js.DeleteKeyValue(w.t.Context(), topology.BucketWebhooks))
			require.NoError(w.t, topology.Ensure(w.t.Context(), w.js, streams()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			made := w.create()
			var once sync.Once
			s := &interrupted{Store: w.store}
			s.after = func() { once.Do(func() { empty(w) }) }
			p := w.projector(projection.Deps{Store: s})

			require.Error(t, p.Complete(t.Context()))
			assert.False(t, w.complete(), "it lacks everything")
			require.NoError(t, p.Complete(t.Context()))
			assert.True(t, w.complete())
			assert.NotNil(t, w.held(made.ID))
		})
	}
}

// Emptying a running system's bucket takes nothing that stays.
func TestAnEmptiedBucketIsWrittenAgain(t *testing.T) {
	w := newWorld(t)
	made := w.create()
	w.run(projection.Deps{})
	w.agree(made.ID)
	require.Eventually(t, w.complete, patience, 10*time.Millisecond)
	require.NoError(t, w.stream().Purge(t.Context()))
	w.agree(made.ID)
	require.Eventually(t, w.complete, patience, 10*time.Millisecond)
}

// Nasty case 37 and row A13: what is put back has the marker of its time, and the
// number and the birthday of the bucket that it was.
func TestABackupThatIsPutBackIsIncompleteUntilItIsRepaired(t *testing.T) {
	for _, running := range []bool{true, false} {
		w := newWorld(t)
		nc := w.nats.Connect(t)
		old := w.create()
		stop := w.run(projection.Deps{})
		w.agree(old.ID)
		require.Eventually(t, w.complete, patience, 10*time.Millisecond)
		backup := natstest.TakeBackup(t, nc, topology.StreamBucket)
		since := w.create()
		w.agree(since.ID)
		w.rename(old.ID, "https://example.org/2")
		w.agree(old.ID)
		if !running {
			stop()
		}
		marks, err := w.bucket().Watch(t.Context(), topology.KeyProjected, jetstream.UpdatesOnly())
		require.NoError(t, err)
		require.NoError(t, marks.Stop())

		require.NoError(t, w.js.DeleteStream(t.Context(), topology.StreamBucket))
		backup.Restore(t, nc)
		marks, err = w.bucket().Watch(t.Context(), topology.KeyProjected)
		require.NoError(t, err)
		if !running {
			w.run(projection.Deps{})
		}
		w.agree(since.ID)
		w.agree(old.ID)
		require.Eventually(t, w.complete, patience, 10*time.Millisecond)
		taken := false
		for !taken {
			select {
			case update := <-marks.Updates():
				taken = update != nil && update.Operation() != jetstream.KeyValuePut
			case <-time.After(patience):
				require.Fail(t, "the marker of the backup stood all the time")
			}
		}
		require.NoError(t, marks.Stop())
	}
}

// Row A17: tombstones cost nothing, and go when nothing can be owed any more.
func TestAPassCostsWhatIsLive(t *testing.T) {
	w := newWorld(t)
	s := &interrupted{Store: w.store}
	p := w.projector(projection.Deps{Store: s})
	live := w.create()
	require.NoError(t, p.Complete(t.Context()))
	for _, id := range []string{"purged1", "purged2", "purged3"} {
		w.put(&webhooksv1.Registration{Id: id, ProjectId: "p1", Revision: 2, Deleted: true})
	}
	before, err := w.stream().Info(t.Context())
	require.NoError(t, err)
	s.loads.Store(0)

	require.NoError(t, p.Complete(t.Context()))

	assert.Zero(t, s.loads.Load(), "nothing differs")
	after, err := w.stream().Info(t.Context())
	require.NoError(t, err)
	assert.Equal(t, before.State.LastSeq+1, after.State.LastSeq, "the marker only")
	assert.True(t, w.held("purged1").GetDeleted())
	w.agree(live.ID)
}

// And they do not stay for ever: here, nothing can be owed at once.
func TestATombstoneGoesWhenNothingCanBeOwedAnyMore(t *testing.T) {
	w := newWorld(t)
	live, deleted := w.create(), w.create()
	require.NoError(t, w.projector(projection.Deps{}).Complete(t.Context()))
	require.NoError(t, w.store.Delete(t.Context(), "p1", deleted.ID))
	atOnce := streams()
	atOnce.EventsMaxAge = -7 * 24 * time.Hour
	p := w.projector(projection.Deps{Settings: atOnce})

	require.NoError(t, p.Complete(t.Context()))
	assert.True(t, w.held(deleted.ID).GetDeleted(), "the database has only just forgotten it")
	require.NoError(t, p.Complete(t.Context()))

	assert.Nil(t, w.held(deleted.ID))
	w.agree(live.ID)
	info, err := w.stream().Info(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 3, info.State.Msgs, "one webhook, and two keys of our own")
	require.NoError(t, p.Complete(t.Context()))
}

// What one webhook missed cannot be found out: the bucket is complete all the same.
func TestOneThatIsOwedEventsHoldsUpNobodyElse(t *testing.T) {
	w := newWorld(t)
	late := w.createAt(registration.Published, time.Now().Add(-time.Minute))
	other := w.create()
	require.NoError(t, w.js.DeleteStream(t.Context(), topology.StreamEvents))
	p := w.projector(projection.Deps{})

	require.NoError(t, p.Complete(t.Context()))

	assert.True(t, w.complete())
	w.agree(other.ID)
	got, err := w.store.Load(t.Context(), late.ID)
	require.NoError(t, err)
	assert.True(t, got.Pending)
	assert.NotEmpty(t, got.Owed)
	require.NoError(t, topology.Ensure(t.Context(), w.js, streams()))
	w.runOver(p)
	w.agree(late.ID)
}
