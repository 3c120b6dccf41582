package due

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/dispatcher/internal/deliver"
	"github.com/dembrane/webhooks/services/dispatcher/internal/eventbody"
)

// stream counts how often each event is read back.
type stream struct {
	mu    sync.Mutex
	reads map[uint64]int
	name  string // of the participant; it makes the body large
	err   error
}

func (s *stream) Event(_ context.Context, _ string, sequence uint64) (*jetstream.RawStreamMsg, error) {
	<-time.After(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads[sequence]++
	if s.err != nil {
		return nil, s.err
	}
	e := payload.Sample(event.ConversationStarted, &webhooksv1.Project{Id: "p1"}, "evt_1", time.Now())
	e.GetConversation().ParticipantName = &s.name
	data, err := event.Encode(event.JSON, e)
	return &jetstream.RawStreamMsg{Subject: "dembrane.events.0.p1.conversation.started", Sequence: sequence, Data: data}, err
}

func (s *stream) Read(ctx context.Context, project string, sequences []uint64,
	yield func(uint64, *jetstream.RawStreamMsg, error) bool,
) error {
	for _, sequence := range sequences {
		msg, err := s.Event(ctx, project, sequence)
		if err != nil && !errors.Is(err, topology.ErrEventGone) {
			return err
		}
		if !yield(sequence, msg, err) {
			return nil
		}
	}
	return nil
}

func reading(t *testing.T, memory int64) (*stream, *Due) {
	t.Helper()
	s := &stream{reads: map[uint64]int{}}
	d, err := New(Deps{
		Events: s, Renderer: eventbody.NewRenderer(payload.Renderer{AdminBaseURL: "https://dashboard.example.org"}, memory),
	})
	require.NoError(t, err)
	return s, d
}

func TestDeliveriesOfOneEventReadItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := reading(t, 1<<20)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				got, put, err := d.bodies.get(t.Context(), "p1", bodyKey{sequence: 7})
				if assert.NoError(t, err) {
					assert.Equal(t, "evt_1", got.EventID)
					put()
				}
			})
		}
		all.Wait()
		_, put, err := d.bodies.get(t.Context(), "p1", bodyKey{sequence: 7})
		require.NoError(t, err)
		put()
		assert.Equal(t, map[uint64]int{7: 1}, s.reads)
	})
}

// Erasing an event is removing it from the stream: what is kept of it must not
// outlive that for long.
func TestABodyIsReadAgainAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := reading(t, 1<<20)
		for range 2 {
			_, put, err := d.bodies.get(t.Context(), "p1", bodyKey{sequence: 7})
			require.NoError(t, err)
			put()
			<-time.After(keepFor)
		}
		assert.Equal(t, map[uint64]int{7: 2}, s.reads)
	})
}

func TestBodiesInTheCacheGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := reading(t, 1<<30)
		d.bodies.maxBytes = 5000
		s.name = string(make([]byte, 100))
		for sequence := range uint64(100) {
			_, put, err := d.bodies.get(t.Context(), "p1", bodyKey{sequence: sequence})
			require.NoError(t, err)
			put()
			assert.LessOrEqual(t, d.bodies.bytes, int64(5000))
		}
	})
}

// All memory comes back, whoever was last to use a body.
func TestMemoryOfBodiesComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d := reading(t, 100_000)
		d.bodies.maxBytes = 0 // nothing is kept once it is not used
		for sequence := range uint64(1000) {
			_, put, err := d.bodies.get(t.Context(), "p1", bodyKey{sequence: sequence})
			require.NoError(t, err, "after %d", sequence)
			put()
			put()
		}
		release, ok := d.Renderer.Hold(100_000)
		require.True(t, ok, "something was not given back")
		release()
	})
}

func TestAFaultIsToldToEverybodyAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := reading(t, 1<<20)
		s.err = errors.New("away")
		_, _, err := d.bodies.get(t.Context(), "p1", bodyKey{sequence: 7})
		require.ErrorIs(t, err, s.err)
		s.err = nil
		_, put, err := d.bodies.get(t.Context(), "p1", bodyKey{sequence: 7})
		require.NoError(t, err)
		put()
	})
}

func owedRange(count int) *webhooksv1.Range {
	r := &webhooksv1.Range{Id: "r1", ProjectId: "p1", WebhookId: "w1", Attempt: 1, EventTypes: []string{"conversation.started"}}
	for range count {
		r.SequenceSteps = append(r.SequenceSteps, 1)
		r.EventIds = append(r.EventIds, "evt_1")
	}
	return r
}

// What may not go now is neither read back nor rendered.
func TestARangeReadsOnlyWhatMayGo(t *testing.T) {
	s, d := reading(t, 1<<20)
	for _, x := range deliveries(owedRange(pageEvents)) {
		d.Deliver = func(context.Context, deliver.Delivery) error { return nil } // turned away, and stored
		require.NoError(t, d.fromRange(t.Context(), x, newPage(d, []deliver.Delivery{x}), func() {}))
	}
	assert.Empty(t, s.reads)
}

func TestAPageIsReadOnceAndItsMemoryComesBack(t *testing.T) {
	s, d := reading(t, 1<<20)
	list := deliveries(owedRange(pageEvents))
	p := newPage(d, list)
	d.Deliver = func(ctx context.Context, x deliver.Delivery) error {
		if x.Sequence%2 == 0 { // the others are turned away
			_, err := x.Body(ctx, chat.JSON)
			return err
		}
		return nil
	}
	for _, x := range list {
		require.NoError(t, d.fromRange(t.Context(), x, p, func() {}))
	}
	p.release()
	assert.Len(t, s.reads, pageEvents)
	release, ok := d.Renderer.Hold(1 << 20)
	require.True(t, ok, "something was not given back")
	release()
}

func TestARangeWithoutMemoryIsTriedLater(t *testing.T) {
	_, d := reading(t, 2000) // for one or two events as they are, for no body
	var refused int
	d.Deliver = func(ctx context.Context, x deliver.Delivery) error {
		if _, err := x.Body(ctx, chat.JSON); errors.Is(err, eventbody.ErrNoMemory) {
			refused++
		}
		return nil
	}
	list := deliveries(owedRange(pageEvents))
	p := newPage(d, list)
	for _, x := range list {
		require.NoError(t, d.fromRange(t.Context(), x, p, func() {}))
	}
	assert.Positive(t, refused)
}

func TestOnlyWholeRangesAreUsable(t *testing.T) {
	require.True(t, usable(owedRange(1)))
	require.True(t, usable(owedRange(maxRangeEvents)))
	for name, change := range map[string]func(*webhooksv1.Range){
		"empty":              func(r *webhooksv1.Range) { r.SequenceSteps, r.EventIds = nil, nil },
		"too large":          func(r *webhooksv1.Range) { proto.Reset(r); proto.Merge(r, owedRange(maxRangeEvents+1)) },
		"an id is missing":   func(r *webhooksv1.Range) { r.EventIds = r.GetEventIds()[1:] },
		"no type":            func(r *webhooksv1.Range) { r.EventTypes = nil },
		"types not said":     func(r *webhooksv1.Range) { r.EventTypes = []string{"a", "b"} },
		"a type is unknown":  func(r *webhooksv1.Range) { r.EventTypeIndex = []uint32{0, 1, 0} },
		"types are missing":  func(r *webhooksv1.Range) { r.EventTypeIndex = []uint32{0} },
		"no attempt":         func(r *webhooksv1.Range) { r.Attempt = 0 },
		"no webhook":         func(r *webhooksv1.Range) { r.WebhookId = "" },
		"no project":         func(r *webhooksv1.Range) { r.ProjectId = "a.b" },
		"no id of the range": func(r *webhooksv1.Range) { r.Id = "" },
	} {
		r := owedRange(3)
		change(r)
		assert.False(t, usable(r), name)
	}
}

// A stream that was made again has other events under the same sequences: what is
// kept of one says nothing about another, least of all that it is gone.
func TestWhatIsKeptOfAnotherEventProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := reading(t, 1<<20)
		for range 2 {
			for _, id := range []string{"evt_1", "evt_2"} {
				_, put, err := d.bodies.get(t.Context(), "p1", bodyKey{sequence: 7, eventID: id})
				require.NoError(t, err)
				put()
			}
		}
		assert.Equal(t, map[uint64]int{7: 2}, s.reads, "each was read for itself")
	})
}

// What a range has read back is not sent after a long wait without another look.
func TestAPageThatWaitedIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := reading(t, 1<<20)
		list := deliveries(owedRange(2))
		p := newPage(d, list)
		for _, wait := range []time.Duration{0, keepFor + time.Millisecond} {
			<-time.After(wait)
			body, err := p.body(t.Context(), list[min(int(wait), 1)].Sequence, chat.JSON)
			require.NoError(t, err)
			body.Release()
		}
		p.release()
		assert.Equal(t, map[uint64]int{1: 1, 2: 2}, s.reads)
	})
}
