package topology_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/topology"
)

func config(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	require.NoError(t, err)
	return stream.CachedInfo().Config
}

// A start never takes anything away, and says what differs and what to do (A5).
func TestAStartTakesNothingAway(t *testing.T) {
	js := open(t)
	much := settings()
	much.EventsMaxAge, much.EventsMaxBytes, much.AttemptsMaxBytes = 720*time.Hour, 1<<30, -1
	require.NoError(t, topology.Ensure(t.Context(), js, much))
	operators := config(t, js, topology.StreamEvents)
	operators.Compression = jetstream.S2Compression
	operators.Subjects = append(operators.Subjects, "copied.>")
	operators.Metadata["team"] = "ops"
	operators.Description = "Ours"
	_, err := js.UpdateStream(t.Context(), operators)
	require.NoError(t, err)
	operators = config(t, js, topology.StreamEvents)

	core, logs := observer.New(zap.InfoLevel)
	less := settings()
	less.EventsMaxAge, less.EventsMaxBytes, less.AttemptsMaxBytes = time.Hour, 1<<20, 1<<20
	owner := topology.NewOwner(js, less, zap.New(core))
	for range 3 {
		require.NoError(t, owner.Ensure(t.Context()))
	}

	assert.Equal(t, operators, config(t, js, topology.StreamEvents))
	assert.EqualValues(t, -1, config(t, js, topology.StreamAttempts).MaxBytes)
	var said []string
	for _, entry := range logs.All() {
		said = append(said, fmt.Sprint(entry.ContextMap()["stream"], ": ", entry.Message))
	}
	assert.ElementsMatch(t, []string{
		"EVENTS: stream differs from the settings: it keeps messages for 720h0m0s although the settings say 1h0m0s; " +
			"for less, which deletes: nats stream edit EVENTS --max-age 1h0m0s",
		"EVENTS: stream differs from the settings: it may hold 1073741824 bytes although EVENTS_MAX_BYTES is 1048576; " +
			"for less: nats stream edit EVENTS --max-bytes 1048576",
		"ATTEMPTS: stream differs from the settings: it may hold -1 bytes although ATTEMPTS_MAX_BYTES is 1048576; " +
			"for less: nats stream edit ATTEMPTS --max-bytes 1048576",
	}, said, "once each")
}

// What an older version made gets what this one needs, and keeps what it has.
func TestAnOlderStreamIsMended(t *testing.T) {
	js := open(t)
	for _, old := range topology.Streams(settings()) {
		old.MaxMsgSize, old.MaxBytes, old.AllowDirect, old.Metadata = -1, -1, false, nil
		_, err := js.CreateStream(t.Context(), old)
		require.NoError(t, err)
	}
	core, logs := observer.New(zap.WarnLevel)
	require.NoError(t, topology.NewOwner(js, settings(), zap.New(core)).Ensure(t.Context()))

	events := config(t, js, topology.StreamEvents)
	assert.EqualValues(t, topology.MaxEventBytes+topology.HeaderAllowance, events.MaxMsgSize)
	assert.True(t, events.AllowDirect)
	assert.EqualValues(t, -1, events.MaxBytes, "a limit would take away")
	assert.Equal(t, 5, logs.FilterMessageSnippet("has no limit in bytes").Len())
}

// A dispatcher of before there were limits sets the streams to what it knows when it
// starts: the owner puts the limits back, those that an operator has raised too, and
// deletes nothing for it.
func TestALimitThatIsTakenAwayIsPutBack(t *testing.T) {
	js := open(t)
	s := settings()
	s.AttemptsMaxBytes, s.RejectedMaxBytes = 2<<20, -1
	core, logs := observer.New(zap.WarnLevel)
	owner := topology.NewOwner(js, s, zap.New(core))
	require.NoError(t, owner.Ensure(t.Context()))
	raised := config(t, js, topology.StreamDeliveries)
	raised.MaxBytes *= 2
	_, err := js.UpdateStream(t.Context(), raised)
	require.NoError(t, err)
	require.NoError(t, owner.Ensure(t.Context()))
	bucket := "KV_" + topology.BucketWebhooks
	streams := []string{topology.StreamEvents, topology.StreamDeliveries, topology.StreamAttempts, topology.StreamRejected, bucket}
	limits := map[string]int64{}
	for _, name := range streams {
		limits[name] = config(t, js, name).MaxBytes
	}
	takeAway := func() {
		for _, name := range streams {
			taken := config(t, js, name)
			taken.MaxBytes, taken.Metadata = -1, nil
			_, err := js.UpdateStream(t.Context(), taken)
			require.NoError(t, err)
		}
	}

	for range 2 { // it starts again and again
		takeAway()
		require.NoError(t, owner.Ensure(t.Context()))
		for name, limit := range limits {
			assert.Equal(t, limit, config(t, js, name).MaxBytes, name)
		}
	}
	assert.Empty(t, logs.All())

	takeAway()
	for range 3 {
		_, err := js.Publish(t.Context(), topology.SubjectAttempts, make([]byte, 1<<20))
		require.NoError(t, err)
	}
	require.NoError(t, owner.Ensure(t.Context()))
	assert.EqualValues(t, -1, config(t, js, topology.StreamAttempts).MaxBytes, "it would delete what is stored")
	assert.Equal(t, 1, logs.FilterMessageSnippet("has lost its limit of 2097152 bytes and holds too much").Len())
	stream, err := js.Stream(t.Context(), topology.StreamAttempts)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	require.NoError(t, owner.Ensure(t.Context()))
	assert.EqualValues(t, 2<<20, config(t, js, topology.StreamAttempts).MaxBytes, "now there is room")
}

// limitedStart is a server with an account that may store so much.
func limitedStart(t *testing.T, store int64, required bool) *natstest.Server {
	t.Helper()
	return natstest.Start(t, natstest.Embedded(), natstest.WithStore(store), natstest.WithLimits(&server.JetStreamAccountLimits{
		MaxMemory: -1, MaxStore: -1, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1,
		MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1, MaxBytesRequired: required,
	}))
}

// Little room, an account that demands limits, and servers that start again (A6, A7).
func TestStreamsFitWhereThereIsLittleRoom(t *testing.T) {
	for name, c := range map[string]struct {
		store    int64
		required bool
		settings func(*topology.Settings)
		events   int64
	}{
		"much room":               {store: 64 << 30, events: 16 << 30},
		"the shipped 8 GB":        {store: 8 << 30, required: true, events: 4 << 30},
		"8 GB and 4 for events":   {store: 8 << 30, settings: func(s *topology.Settings) { s.EventsMaxBytes = 4 << 30 }, events: 4 << 30},
		"2.5 GB of free disk":     {store: 2_500_000_000 / 4 * 3, required: true, events: 1 << 30},
		"less than half a GB":     {store: 450 << 20, events: 256 << 20},
		"no limits where allowed": {store: 1 << 30, settings: func(s *topology.Settings) { s.EventsMaxBytes = -1 }, events: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := limitedStart(t, c.store, c.required)
			chosen := settings()
			if c.settings != nil {
				c.settings(&chosen)
			}
			for range 3 {
				js, err := jetstream.New(s.Connect(t))
				require.NoError(t, err)
				require.NoError(t, topology.Ensure(t.Context(), js, chosen))
				assert.Equal(t, c.events, config(t, js, topology.StreamEvents).MaxBytes)
				require.NoError(t, topology.Check(t.Context(), js))
				s.Restart()
			}
		})
	}
}

// A first start is interrupted, or the servers of a cluster do not know yet what
// others have taken: one stream has all the room. It was never used, so the next
// look may make it smaller.
func TestAnInterruptedStartLeavesRoomForTheRest(t *testing.T) {
	s := limitedStart(t, 8<<30, false)
	js, err := jetstream.New(s.Connect(t))
	require.NoError(t, err)
	events := topology.Streams(settings())[0]
	events.MaxBytes = 8 << 30
	_, err = js.CreateStream(t.Context(), events)
	require.NoError(t, err)

	require.NoError(t, topology.Ensure(t.Context(), js, settings()))

	require.NoError(t, topology.Check(t.Context(), js))
	assert.EqualValues(t, 4<<30, config(t, js, topology.StreamEvents).MaxBytes)
}

// A limit that somebody has set leaves no room for the smallest of the rest. Nobody
// can publish meanwhile: what holds something is never made smaller.
func TestEventsAreTakenOnlyWhenEverythingHasItsRoom(t *testing.T) {
	js, err := jetstream.New(limitedStart(t, 8<<30, false).Connect(t))
	require.NoError(t, err)
	much := settings()
	much.WebhooksMaxBytes = 8 << 30
	require.ErrorContains(t, topology.Ensure(t.Context(), js, much), "WEBHOOKS_MAX_BYTES")
	_, err = js.Stream(t.Context(), topology.StreamEvents)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)

	require.NoError(t, topology.Ensure(t.Context(), js, settings()))
	assert.EqualValues(t, 4<<30, config(t, js, topology.StreamEvents).MaxBytes)
}

func TestTooLittleRoomIsSaidInWords(t *testing.T) {
	js, err := jetstream.New(limitedStart(t, 100<<20, false).Connect(t))
	require.NoError(t, err)
	require.ErrorContains(t, topology.Ensure(t.Context(), js, settings()), "raise max_file_store or the account's limit, or set")
	much := settings()
	much.EventsMaxBytes = 1 << 40
	owner := topology.NewOwner(js, much, zap.NewNop())
	require.ErrorContains(t, owner.Ensure(t.Context()), "EVENTS_MAX_BYTES")
	require.Error(t, owner.Err())
	require.ErrorContains(t, topology.Check(t.Context(), js), "stream EVENTS is missing")
}

// A full EVENTS refuses publishers and stops nothing else.
func TestAFullEventsStopsNothingElse(t *testing.T) {
	s := limitedStart(t, 512<<20, true)
	js, err := jetstream.New(s.Connect(t))
	require.NoError(t, err)
	require.NoError(t, topology.Ensure(t.Context(), js, settings()))
	body := make([]byte, topology.MaxEventBytes)
	for err == nil {
		_, err = js.Publish(t.Context(), topology.SubjectEvent("p1", "report.generated"), body)
	}
	require.ErrorContains(t, err, "maximum bytes exceeded")
	for range 2 {
		for _, subject := range []string{topology.SubjectDelivery("w1"), topology.SubjectRange("w1"), topology.SubjectAttempts} {
			_, err = js.Publish(t.Context(), subject, make([]byte, 1<<20))
			require.NoError(t, err, subject)
		}
	}
	for _, stream := range []string{topology.StreamDeliveries, topology.StreamRanges} {
		full, err := topology.Room(t.Context(), js, stream)
		require.NoError(t, err)
		require.NoError(t, full)
	}
}

// JetStream deletes the oldest of what is owed when there is no room, so it must
// not come to that.
func TestRoomEndsBeforeJetStreamDeletes(t *testing.T) {
	js := open(t)
	small := settings()
	small.DeliveriesMaxBytes = 2 << 20
	require.NoError(t, topology.Ensure(t.Context(), js, small))
	stored := uint64(0)
	var full error
	for full == nil {
		_, err := js.Publish(t.Context(), topology.SubjectDelivery("w1"), make([]byte, 10<<10))
		require.NoError(t, err)
		stored++
		full, err = topology.Room(t.Context(), js, topology.StreamDeliveries)
		require.NoError(t, err)
	}
	require.ErrorContains(t, full, "stream DELIVERIES is nearly full")
	stream, err := js.Stream(t.Context(), topology.StreamDeliveries)
	require.NoError(t, err)
	assert.Equal(t, stored, stream.CachedInfo().State.Msgs, "nothing was deleted")
}

// What is larger than any event is refused, whoever publishes it (A12).
func TestEventsThatAreTooLargeAreRefused(t *testing.T) {
	js, err := jetstream.New(natstest.Start(t, natstest.Embedded(), natstest.WithMaxPayload(16<<20)).Connect(t))
	require.NoError(t, err)
	require.NoError(t, topology.Ensure(t.Context(), js, settings()))
	_, err = js.Publish(t.Context(), topology.SubjectEvent("p1", "report.generated"), make([]byte, topology.MaxEventBytes))
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), topology.SubjectEvent("p1", "report.generated"), make([]byte, 9<<20))
	require.ErrorIs(t, err, jetstream.ErrStreamMessageExceedsMaximum)
}

// Streams that are deleted, and a store that is wiped, are made again while all
// runs (A2).
func TestWhatVanishesIsMadeAgain(t *testing.T) {
	s := natstest.Start(t, natstest.Embedded())
	js, err := jetstream.New(s.Connect(t))
	require.NoError(t, err)
	owner := topology.NewOwner(js, settings(), zap.NewNop())
	require.Error(t, owner.Err(), "not set up yet")
	require.NoError(t, owner.Ensure(t.Context()))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- owner.Run(ctx) }()
	whole := func() bool { return owner.Err() == nil && topology.Check(t.Context(), js) == nil }

	for _, stream := range topology.Streams(settings()) {
		require.NoError(t, js.DeleteStream(t.Context(), stream.Name))
	}
	require.ErrorContains(t, topology.Check(t.Context(), js), "is missing; an api of this version makes it")
	require.Eventually(t, whole, patience, 10*time.Millisecond)

	s.Wipe()
	require.Eventually(t, whole, patience, 10*time.Millisecond)
	_, err = js.KeyValue(t.Context(), topology.BucketWebhooks)
	require.NoError(t, err)
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, owner.Ensure(t.Context()), "a server that stops while it makes a stream leaves a goroutine behind")
}

// Hints between dispatchers need memory of the server; everything works without.
func TestHintsAreOptional(t *testing.T) {
	s := natstest.Start(t, natstest.Embedded(), natstest.WithLimits(&server.JetStreamAccountLimits{
		MaxMemory: 0, MaxStore: -1, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1,
	}))
	js, err := jetstream.New(s.Connect(t))
	require.NoError(t, err)
	core, logs := observer.New(zap.WarnLevel)
	require.NoError(t, topology.NewOwner(js, settings(), zap.New(core)).Ensure(t.Context()))
	require.NoError(t, topology.Check(t.Context(), js))
	assert.Equal(t, 1, logs.FilterMessageSnippet("everything works without it").Len())
	_, err = js.KeyValue(t.Context(), topology.BucketLimits)
	require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
}
