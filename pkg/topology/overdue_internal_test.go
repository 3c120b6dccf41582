package topology

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A schedule that is due while the storage is full fires when there is room again,
// once, and what is not due is left alone.
func TestSchedulesThatCouldNotFireFireLater(t *testing.T) {
	const store = 64 << 20
	running, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, JetStreamMaxStore: store, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	})
	require.NoError(t, err)
	running.Start()
	t.Cleanup(func() {
		running.Shutdown()
		running.WaitForShutdown()
	})
	require.True(t, running.ReadyForConnections(20*time.Second))
	nc, err := nats.Connect(running.ClientURL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	for _, config := range Streams(Settings{Replicas: 1}) {
		if config.Name == StreamDeliveries || config.Name == StreamRanges {
			config.MaxBytes = -1
			_, err := js.CreateStream(t.Context(), config)
			require.NoError(t, err)
		}
	}
	filler, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FILLER", Subjects: []string{"filler"}})
	require.NoError(t, err)
	fill := func(size int) {
		for {
			_, err := js.Publish(t.Context(), "filler", make([]byte, size))
			refused := &jetstream.APIError{}
			if errors.As(err, &refused) && refused.Code == 503 {
				return
			}
			require.NoError(t, err)
		}
	}
	fill(512 << 10)
	require.NoError(t, filler.DeleteMsg(t.Context(), 1)) // room for schedules
	schedule := func(subject, target string, at time.Time) {
		msg := nats.NewMsg(subject)
		msg.Data = []byte(subject)
		msg.Header.Set(jetstream.ScheduleHeader, "@at "+at.UTC().Format(time.RFC3339Nano))
		msg.Header.Set(jetstream.ScheduleTargetHeader, target)
		_, err := js.PublishMsg(t.Context(), msg)
		require.NoError(t, err)
	}
	const single = 3
	due := time.Now().Add(3 * time.Second)
	for i := range single {
		schedule(SubjectScheduled("w1", strconv.Itoa(i)), SubjectDelivery("w1"), due)
	}
	schedule(SubjectScheduledRange("w1", "r1"), SubjectRange("w1"), due)
	schedule(SubjectScheduled("w1", "tomorrow"), SubjectDelivery("w1"), due.Add(24*time.Hour))
	for size := 64 << 10; size > 0; size /= 8 {
		fill(size)
	}
	require.True(t, time.Now().Before(due), "too slow for this test")
	<-time.After(time.Until(due) + time.Second) // they cannot fire
	require.NoError(t, js.DeleteStream(t.Context(), "FILLER"))

	fired := func(stream, subject string) uint64 {
		found, err := js.Stream(t.Context(), stream)
		require.NoError(t, err)
		info, err := found.Info(t.Context(), jetstream.WithSubjectFilter(subject))
		require.NoError(t, err)
		return info.State.Subjects[subject]
	}
	mended, err := writeOverdue(t.Context(), js, 0)
	require.NoError(t, err)
	assert.Equal(t, single+1, mended)
	require.Eventually(t, func() bool {
		return fired(StreamDeliveries, SubjectDelivery("w1")) == single && fired(StreamRanges, SubjectRange("w1")) == 1
	}, 10*time.Second, 10*time.Millisecond)
	mended, err = writeOverdue(t.Context(), js, 0)
	require.NoError(t, err)
	assert.Zero(t, mended)
	assert.EqualValues(t, 1, fired(StreamDeliveries, SubjectScheduled("w1", "tomorrow")))
}
