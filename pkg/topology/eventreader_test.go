package topology_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
)

// stored is a stream EVENTS with something in it.
type stored struct {
	t      *testing.T
	js     jetstream.JetStream
	nc     *nats.Conn
	reader *topology.EventReader
}

func store(t *testing.T) *stored {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	require.NoError(t, topology.Ensure(t.Context(), js, settings()))
	return &stored{t: t, js: js, nc: nc, reader: topology.NewEventReader(js)}
}

// publish stores count events of the project and returns their sequences.
func (s *stored) publish(project, eventType string, count int) []uint64 {
	s.t.Helper()
	sequences := make([]uint64, 0, count)
	for range count {
		ack, err := s.js.Publish(s.t.Context(), topology.SubjectEvent(project, eventType), []byte(project))
		require.NoError(s.t, err)
		sequences = append(sequences, ack.Sequence)
	}
	return sequences
}

// read returns what was found and what is gone, each once.
func (s *stored) read(sequences []uint64) (found, gone []uint64) {
	s.t.Helper()
	seen := map[uint64]bool{}
	err := s.reader.Read(s.t.Context(), "p1", sequences, func(sequence uint64, msg *jetstream.RawStreamMsg, err error) bool {
		assert.False(s.t, seen[sequence], "yielded twice")
		seen[sequence] = true
		if err != nil {
			require.ErrorIs(s.t, err, topology.ErrEventGone)
			gone = append(gone, sequence)
			return true
		}
		assert.Equal(s.t, sequence, msg.Sequence)
		assert.WithinDuration(s.t, time.Now(), msg.Time, time.Minute)
		assert.Equal(s.t, "p1", string(msg.Data))
		found = append(found, sequence)
		return true
	})
	require.NoError(s.t, err)
	return found, gone
}

// lag reads through a replica that has got only a part of what exists: it answers
// two of three direct gets, batches among them, with "not found". Everything else
// reaches the server.
func (s *stored) lag() {
	s.t.Helper()
	asked := 0
	_, err := s.nc.Subscribe("lagging.>", func(msg *nats.Msg) {
		asked++
		what := strings.TrimPrefix(msg.Subject, "lagging.")
		if !strings.HasPrefix(what, "DIRECT.") || asked%3 == 0 {
			assert.NoError(s.t, s.nc.PublishRequest("$JS.API."+what, msg.Reply, msg.Data))
			return
		}
		answer := nats.NewMsg(msg.Reply)
		answer.Header = nats.Header{"Status": {"404"}, "Description": {"Message Not Found"}}
		assert.NoError(s.t, s.nc.PublishMsg(answer))
	})
	require.NoError(s.t, err)
	js, err := jetstream.NewWithAPIPrefix(s.nc, "lagging")
	require.NoError(s.t, err)
	s.reader = topology.NewEventReader(js)
}

func TestEventsAreReadBackAcrossPages(t *testing.T) {
	s := store(t)
	wanted := s.publish("p1", "conversation.started", 700)
	found, gone := s.read(wanted)
	assert.Equal(t, wanted, found, "in order")
	assert.Empty(t, gone)
	found, gone = s.read(nil)
	assert.Empty(t, found)
	assert.Empty(t, gone)
}

// Other types of the project and other projects lie between; close together, far
// apart, or in the wrong order.
func TestEventsAreReadBackFromBetweenOthers(t *testing.T) {
	s := store(t)
	var wanted []uint64
	for i := range 120 {
		s.publish("p2", "conversation.started", i%3)
		s.publish("p1", "report.generated", i%2)
		wanted = append(wanted, s.publish("p1", "conversation.started", 1)...)
	}
	sparse := s.publish("p1", "conversation.started", 1)
	for range 12 {
		s.publish("p2", "conversation.started", 20)
		sparse = append(sparse, s.publish("p1", "conversation.started", 1)...)
	}
	backwards := make([]uint64, 0, len(wanted))
	for i := range wanted {
		backwards = append(backwards, wanted[len(wanted)-1-i])
	}
	for name, sequences := range map[string][]uint64{"dense": wanted, "sparse": sparse, "backwards": backwards} {
		found, gone := s.read(sequences)
		assert.ElementsMatch(t, sequences, found, name)
		assert.Empty(t, gone, name)
	}
}

func TestWhatIsGoneIsSaidToBeGone(t *testing.T) {
	s := store(t)
	old := s.publish("p1", "conversation.started", 10)
	wanted := s.publish("p1", "conversation.started", 40)
	others := s.publish("p2", "conversation.started", 1)
	stream, err := s.js.Stream(t.Context(), topology.StreamEvents)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context(), jetstream.WithPurgeSequence(wanted[0])))
	require.NoError(t, stream.SecureDeleteMsg(t.Context(), wanted[7]))
	require.NoError(t, stream.DeleteMsg(t.Context(), wanted[39]))
	beyond := others[0] + 1000

	all := append(append(append([]uint64{}, old...), wanted...), others[0], beyond)
	found, gone := s.read(all)

	assert.Len(t, found, 38)
	assert.ElementsMatch(t, append(append([]uint64{}, old...), wanted[7], wanted[39], others[0], beyond), gone)
	_, err = s.reader.Event(t.Context(), "p1", wanted[7])
	require.ErrorIs(t, err, topology.ErrEventGone)
	require.ErrorIs(t, err, topology.ErrEventErased, "there are older ones")
	for _, other := range []uint64{old[0], others[0], beyond} {
		_, err = s.reader.Event(t.Context(), "p1", other)
		require.ErrorIs(t, err, topology.ErrEventGone)
		require.NotErrorIs(t, err, topology.ErrEventErased)
	}
	msg, err := s.reader.Event(t.Context(), "p1", wanted[8])
	require.NoError(t, err)
	assert.Equal(t, "p1", string(msg.Data))
}

// The limit on bytes ends a page early; nothing that is held grows with the
// number of events.
func TestLargeEventsAreReadBack(t *testing.T) {
	s := store(t)
	body := make([]byte, topology.MaxEventBytes)
	var wanted []uint64
	for i := range 18 {
		ack, err := s.js.Publish(t.Context(), topology.SubjectEvent("p1", "report.generated"), body[:len(body)-i])
		require.NoError(t, err)
		wanted = append(wanted, ack.Sequence)
	}
	for _, sequences := range [][]uint64{wanted, wanted[:3]} { // as a batch, and one by one
		read := 0
		require.NoError(t, s.reader.Read(t.Context(), "p1", sequences, func(sequence uint64, msg *jetstream.RawStreamMsg, err error) bool {
			require.NoError(t, err)
			assert.Len(t, msg.Data, topology.MaxEventBytes-int(sequence-wanted[0]))
			read++
			return true
		}))
		assert.Equal(t, len(sequences), read)
	}
}

// A replica that is behind says that it has not got what exists (A1).
func TestAReplicaThatLagsProvesNothing(t *testing.T) {
	s := store(t)
	wanted := s.publish("p1", "conversation.started", 300)
	large, err := s.js.PublishMsg(t.Context(), &nats.Msg{
		Subject: topology.SubjectEvent("p1", "conversation.started"), Header: nats.Header{"X": {"y"}}, Data: make([]byte, topology.MaxEventBytes),
	})
	require.NoError(t, err)
	s.lag()
	for range 10 {
		found, gone := s.read(wanted)
		assert.ElementsMatch(t, wanted, found)
		assert.Empty(t, gone)
		for _, sequence := range []uint64{wanted[0], wanted[150]} {
			_, err := s.reader.Event(t.Context(), "p1", sequence)
			require.NoError(t, err)
		}
		msg, err := s.reader.Event(t.Context(), "p1", large.Sequence)
		require.NoError(t, err)
		assert.Len(t, msg.Data, topology.MaxEventBytes)
		assert.Equal(t, "y", msg.Header.Get("X"))
	}
}

func TestReadingWhatCannotBeAskedProvesNothing(t *testing.T) {
	s := store(t)
	wanted := s.publish("p1", "conversation.started", 20)
	never := func(uint64, *jetstream.RawStreamMsg, error) bool {
		t.Error("nothing is known")
		return true
	}
	require.NoError(t, s.js.DeleteStream(t.Context(), topology.StreamEvents))
	for _, sequences := range [][]uint64{wanted, wanted[:1]} {
		err := s.reader.Read(t.Context(), "p1", sequences, never)
		require.Error(t, err, "the stream is lost, not the events proven gone")
		require.NotErrorIs(t, err, topology.ErrEventGone)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.reader.Read(ctx, "p1", wanted, never), context.Canceled)
	s.nc.Close()
	require.Error(t, s.reader.Read(t.Context(), "p1", wanted, never))
}

func TestReadingStopsWhenNoMoreIsWanted(t *testing.T) {
	s := store(t)
	wanted := s.publish("p1", "conversation.started", 50)
	for _, sequences := range [][]uint64{wanted, wanted[:2], {999, wanted[1], wanted[3]}} {
		yielded := 0
		require.NoError(t, s.reader.Read(t.Context(), "p1", sequences, func(uint64, *jetstream.RawStreamMsg, error) bool {
			yielded++
			return false
		}))
		assert.Equal(t, 1, yielded)
	}
}

// What a publisher writes into the headers that JetStream uses is not believed.
func TestAPublisherCannotForgeWhereAnEventIs(t *testing.T) {
	s := store(t)
	var wanted []uint64
	for i := range 20 {
		ack, err := s.js.PublishMsg(t.Context(), &nats.Msg{
			Subject: topology.SubjectEvent("p1", "conversation.started"),
			Data:    []byte("p1")[:2*(i%2)],
			Header: nats.Header{
				"Nats-Sequence": {strconv.Itoa(i + 1000)}, "Nats-Subject": {"dembrane.events.0.p2.conversation.started"},
				"Nats-Time-Stamp": {"never"}, "Status": {"204"}, "Description": {"EOB"},
			},
		})
		require.NoError(t, err)
		wanted = append(wanted, ack.Sequence)
	}
	for _, sequences := range [][]uint64{wanted, wanted[:3]} {
		read := map[uint64]bool{}
		require.NoError(t, s.reader.Read(t.Context(), "p1", sequences, func(sequence uint64, msg *jetstream.RawStreamMsg, err error) bool {
			require.NoError(t, err, fmt.Sprint(sequence))
			read[sequence] = msg.Sequence == sequence
			return true
		}))
		assert.Len(t, read, len(sequences))
	}
}
