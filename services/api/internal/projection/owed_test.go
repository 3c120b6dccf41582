package projection_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/projection"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// publish stores an event as a pipeline stage does.
func (w *world) publish(eventType, id string) uint64 {
	w.t.Helper()
	msg := nats.NewMsg(topology.SubjectEvent("p1", eventType))
	msg.Header.Set(nats.MsgIdHdr, id)
	msg.Data = []byte("{}")
	ack, err := w.js.PublishMsg(w.t.Context(), msg)
	require.NoError(w.t, err)
	return ack.Sequence
}

// owed is what was written down for a webhook, by event id.
func (w *world) owed(id string) map[string]uint64 {
	w.t.Helper()
	stream, err := w.js.Stream(w.t.Context(), topology.StreamRanges)
	require.NoError(w.t, err)
	all := map[string]uint64{}
	for sequence := uint64(1); sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		msg, err := stream.GetMsg(w.t.Context(), sequence)
		require.NoError(w.t, err)
		r := &webhooksv1.Range{}
		require.NoError(w.t, proto.Unmarshal(msg.Data, r))
		if r.GetWebhookId() != id {
			continue
		}
		assert.Equal(w.t, topology.SubjectRange(id), msg.Subject)
		assert.EqualValues(w.t, 1, r.GetAttempt())
		assert.Equal(w.t, "p1", r.GetProjectId())
		require.Len(w.t, r.GetEventIds(), len(r.GetSequenceSteps()))
		at := uint64(0)
		for i, step := range r.GetSequenceSteps() {
			at += step
			_, twice := all[r.GetEventIds()[i]]
			assert.False(w.t, twice, "owed twice")
			all[r.GetEventIds()[i]] = at
		}
	}
	return all
}

// stored is the time stamp of an event.
func (w *world) stored(sequence uint64) time.Time {
	w.t.Helper()
	stream, err := w.js.Stream(w.t.Context(), topology.StreamEvents)
	require.NoError(w.t, err)
	msg, err := stream.GetMsg(w.t.Context(), sequence)
	require.NoError(w.t, err)
	return msg.Time
}

// wanted reports whether a dispatcher that knows the webhook delivers an event when
// it takes it in.
func (w *world) wanted(id, eventType string, at time.Time) bool {
	r := w.held(id)
	if !r.GetEnabled() {
		return false
	}
	for _, wanted := range r.GetWantedFrom() {
		if wanted.GetEvent() == eventType && at.Before(wanted.GetFrom().AsTime()) {
			return false
		}
	}
	return true
}

// Row A9: the api is cut off from NATS; a host makes one webhook, enables one,
// disables one, deletes one. What the first two miss meanwhile is owed to them, and
// every event goes to them exactly once: written down, or taken in.
func TestAnAPIThatIsCutOffOwesWhatIsMissedMeanwhile(t *testing.T) {
	w := newWorld(t)
	enabled, disabled, deleted := w.create(), w.createAs(registration.Published), w.createAs(registration.Published)
	proxy := natstest.NewProxy(t, w.nats.URL())
	js, err := jetstream.New(proxy.Connect())
	require.NoError(t, err)
	p := w.projector(projection.Deps{JS: js})
	for _, made := range []store.Webhook{enabled, disabled, deleted} {
		require.True(t, p.Project(t.Context(), "p1", made.ID), "in force")
	}
	w.publish("report.generated", "before")
	<-time.After(500 * time.Millisecond) // clocks are compared over the network

	proxy.Cut()
	change := func(id string, status registration.Status) {
		t.Helper()
		_, err := w.store.Change(t.Context(), "p1", id, func(h *store.Webhook) error {
			h.Status = status
			return nil
		})
		require.NoError(t, err)
		assert.False(t, p.Project(t.Context(), "p1", id), "in force although nobody can know")
	}
	made := w.createAs(registration.Published)
	assert.False(t, p.Project(t.Context(), "p1", made.ID))
	change(enabled.ID, registration.Published)
	change(disabled.ID, registration.Draft)
	require.NoError(t, w.store.Delete(t.Context(), "p1", deleted.ID))
	assert.False(t, p.Project(t.Context(), "p1", deleted.ID))
	published := map[string]uint64{}
	for i := range 10 {
		id := fmt.Sprintf("during-%d", i)
		published[id] = w.publish("report.generated", id)
		w.publish("conversation.started", "unwanted-"+id)
	}
	proxy.Heal()

	w.runOver(p)
	deadline := time.Now().Add(patience)
	for i := 0; len(w.owed(made.ID)) < 10 || len(w.owed(enabled.ID)) < 10; i++ { // and while it comes into force
		require.True(t, time.Now().Before(deadline), "nothing is owed")
		id := fmt.Sprintf("after-%d", i)
		published[id] = w.publish("report.generated", id)
		<-time.After(20 * time.Millisecond)
	}
	for _, id := range []string{made.ID, enabled.ID, disabled.ID, deleted.ID} {
		w.agree(id)
	}
	assert.True(t, w.held(deleted.ID).GetDeleted())
	assert.Empty(t, w.owed(disabled.ID))
	assert.Empty(t, w.owed(deleted.ID))
	for _, id := range []string{made.ID, enabled.ID} {
		owed := w.owed(id)
		assert.NotContains(t, owed, "before")
		for event, sequence := range published {
			written, missed := owed[event]
			takenIn := w.wanted(id, "report.generated", w.stored(sequence))
			assert.NotEqual(t, takenIn, missed, "%s: owed by one", event)
			if missed {
				assert.Equal(t, sequence, written)
			}
			delete(owed, event)
		}
		assert.Empty(t, owed, "and nothing else")
	}
}

// The api was killed between the write and the projection, or after it: what is
// published until somebody finds it is owed as well.
func TestWhatACrashLeftOwedIsFound(t *testing.T) {
	w := newWorld(t)
	made := w.createAs(registration.Published)
	sequence := w.publish("report.generated", "e1")
	w.runOver(w.projector(projection.Deps{}))
	require.Eventually(t, func() bool { return len(w.owed(made.ID)) > 0 }, patience, 10*time.Millisecond)
	assert.Equal(t, map[string]uint64{"e1": sequence}, w.owed(made.ID))
	w.agree(made.ID)
}

// Usually nothing is owed, and nothing is written about it.
func TestAChangeThatIsInForceAtOnceOwesNothing(t *testing.T) {
	w := newWorld(t)
	p := w.projector(projection.Deps{})
	made := w.createAs(registration.Published)
	require.True(t, p.Project(t.Context(), "p1", made.ID))
	w.publish("report.generated", "e1")
	_, err := w.store.Change(t.Context(), "p1", made.ID, func(h *store.Webhook) error {
		h.Events = append(h.Events, "conversation.started")
		return nil
	})
	require.NoError(t, err)
	require.True(t, p.Project(t.Context(), "p1", made.ID))

	w.agree(made.ID)
	got, err := w.store.Load(t.Context(), made.ID)
	require.NoError(t, err)
	assert.Empty(t, got.Owed)
	assert.Empty(t, w.held(made.ID).GetWantedFrom())
	assert.Empty(t, w.owed(made.ID))
}

// A type that is added owes its own events only.
func TestAnAddedTypeOwesItsOwnEvents(t *testing.T) {
	w := newWorld(t)
	p := w.projector(projection.Deps{})
	made := w.createAs(registration.Published)
	require.True(t, p.Project(t.Context(), "p1", made.ID))
	_, err := w.store.Change(t.Context(), "p1", made.ID, func(h *store.Webhook) error {
		h.Events = append(h.Events, "conversation.started")
		return nil
	})
	require.NoError(t, err)
	w.publish("report.generated", "old")
	sequence := w.publish("conversation.started", "new")
	w.runOver(p)
	require.Eventually(t, func() bool { return len(w.owed(made.ID)) > 0 }, patience, 10*time.Millisecond)
	assert.Equal(t, map[string]uint64{"new": sequence}, w.owed(made.ID))
}
