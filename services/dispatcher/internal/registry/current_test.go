package registry_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// current waits until the registry knows what is in the bucket.
func (f *fixture) current() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	require.NoError(f.t, f.WaitCurrent(ctx))
}

// blind waits until the registry says that it may be behind.
func (f *fixture) blind() {
	f.t.Helper()
	f.eventually(func() bool { return !f.Current() }, "it claims to know what it cannot see")
}

// What nobody seems to want may be wanted by a webhook that was made since.
func TestADispatcherThatCannotSeeTheBucketKnowsNobodyToBeMissing(t *testing.T) {
	for name, fault := range map[string]struct{ begin, end func(*fixture) }{
		"cut off": {func(f *fixture) { f.proxy.Cut() }, func(f *fixture) { f.proxy.Heal() }},
		"frozen":  {func(f *fixture) { f.proxy.Freeze() }, func(f *fixture) { f.proxy.Heal() }},
		"stopped": {func(f *fixture) { f.server.Shutdown() }, func(f *fixture) { f.server.Restart() }},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			f.put(registration("w1", 1))
			f.projected()
			f.current()

			fault.begin(f)
			began := time.Now()
			f.blind()
			assert.Less(t, time.Since(began), 2*time.Second)
			webhooks, known := f.Match(nil, "p1", event.ConversationStarted, time.Now())
			assert.Len(t, webhooks, 1, "what is known is kept")
			assert.False(t, known)
			if name != "stopped" {
				f.put(registration("w2", 1))
			}
			put := time.Now()
			fault.end(f)

			f.current()
			f.eventually(func() bool {
				webhooks, known := f.Match(nil, "p1", event.ConversationStarted, time.Now())
				if name != "stopped" && known && time.Since(put) > time.Second+100*time.Millisecond {
					assert.Len(t, webhooks, 2, "current, and yet it misses a change")
				}
				return known && (name == "stopped" || len(webhooks) == 2)
			}, "it does not come back")
		})
	}
}

// Emptying a bucket is something that its watchers are not told.
func TestAnEmptiedBucketProvesNothing(t *testing.T) {
	f := start(t)
	f.put(registration("w1", 1))
	f.projected()
	f.current()

	stream, err := f.js.Stream(t.Context(), topology.StreamBucket)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	f.blind()
	assert.Equal(t, []string{"w1"}, f.matches())

	f.put(registration("w1", 1))
	f.put(registration("w2", 1))
	f.putRaw(topology.KeyProjected, []byte("2"))
	f.current()
	assert.Len(t, f.matches(), 2)
}

// A change a second ago is known, whenever that is claimed: here, while changes
// come faster than the bucket is looked at.
func TestWhatIsCurrentHasEveryChangeOfASecondAgo(t *testing.T) {
	f := start(t)
	f.projected()
	f.current()

	written := make([]time.Time, 150)
	for i := range written {
		f.put(registration(fmt.Sprintf("w%d", i), 1))
		written[i] = time.Now()
		asked := time.Now()
		webhooks, known := f.Match(nil, "p1", event.ConversationStarted, asked)
		owed := 0
		for ; owed < i && asked.Sub(written[owed]) > time.Second; owed++ {
		}
		assert.True(t, !known || len(webhooks) >= owed, "%d of %d", len(webhooks), owed)
	}
}

func (f *fixture) wantFound(id string, known, deleted bool) {
	f.t.Helper()
	w, gone := f.Find(f.t.Context(), "p1", id)
	assert.Equal(f.t, known, w != nil && w.ID == id, id)
	assert.Equal(f.t, deleted, gone, id)
}

func TestFindTellsUnknownFromDeleted(t *testing.T) {
	f := start(t)
	f.wantFound("w1", false, false)
	f.put(registration("w1", 1))
	f.put(registration("w2", 1))
	f.put(&webhooksv1.Registration{Id: "w2", ProjectId: "p1", Revision: 2, Deleted: true})
	f.projected()
	f.current()

	f.wantFound("w1", true, false)
	f.wantFound("w2", false, true)
	f.wantFound("w3", false, false)
}

// Row A13: the backup has the marker, and lacks a webhook that was made since.
func TestWhatIsMissingInAnOldBackupIsNotForgotten(t *testing.T) {
	f := start(t)
	f.put(registration("w1", 1))
	f.put(registration("w2", 1))
	f.projected()
	backup := natstest.TakeBackup(t, f.nc, topology.StreamBucket)
	f.put(&webhooksv1.Registration{Id: "w2", ProjectId: "p1", Revision: 2, Deleted: true})
	f.put(registration("w3", 1))
	f.putRaw(topology.KeyProjected, []byte("2"))
	f.passed()
	f.current()

	require.NoError(t, f.js.DeleteStream(t.Context(), topology.StreamBucket))
	backup.Restore(t, f.nc)

	f.eventually(func() bool { return f.logs.FilterMessage("registrations loaded").Len() == 2 }, "loaded again")
	assert.ElementsMatch(t, []string{"w1", "w3"}, f.matches())
	f.wantFound("w2", false, true)
}

// Events of before the webhook was in force everywhere are its writer's affair.
func TestEventsOfBeforeASubscriptionAreNotMatched(t *testing.T) {
	f := start(t)
	from := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	late := registration("w1", 1)
	late.Events = append(late.Events, event.ReportGenerated)
	late.WantedFrom = []*webhooksv1.WantedFrom{{Event: event.ReportGenerated, From: timestamppb.New(from)}}
	f.put(late)
	f.projected()

	for _, try := range []struct {
		eventType string
		published time.Time
		want      int
	}{
		{event.ReportGenerated, from.Add(-time.Nanosecond), 0},
		{event.ReportGenerated, from, 1},
		{event.ConversationStarted, from.Add(-time.Hour), 1},
	} {
		webhooks, _ := f.Match(nil, "p1", try.eventType, try.published)
		assert.Len(t, webhooks, try.want, "%s at %s", try.eventType, try.published)
	}
}

// Nasty case 42.
func TestCase42AHundredThousandRegistrationsLoadInSeconds(t *testing.T) {
	const webhooks = 100_000
	f := prepare(t)
	js, err := jetstream.New(f.nc, jetstream.WithPublishAsyncMaxPending(webhooks))
	require.NoError(t, err)
	for i := range webhooks {
		r := registration(fmt.Sprintf("w%d", i), 1)
		r.ProjectId = fmt.Sprintf("p%d", i/50)
		data, err := proto.Marshal(r)
		require.NoError(t, err)
		_, err = js.PublishAsync(topology.SubjectKey(topology.KeyRegistration(r.GetProjectId(), r.GetId())), data)
		require.NoError(t, err)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		require.Fail(t, "not written")
	}
	f.putRaw(topology.KeyProjected, []byte("1"))

	began := time.Now()
	f.run()
	select {
	case <-f.Ready():
	case <-time.After(time.Minute):
		require.Fail(t, "the registry is not ready")
	}
	f.current()
	assert.Less(t, time.Since(began), 30*time.Second, "with the race detector, beside other tests")
	assert.Equal(t, webhooks, f.Len())
	matching, known := f.Match(nil, "p7", event.ConversationStarted, time.Now())
	assert.True(t, known)
	assert.Len(t, matching, 50)
}
