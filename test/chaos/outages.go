package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// smallStore is what JetStream may store where its storage is filled: a little
	// more than our streams reserve at least.
	smallStore = "400MB"
	// filler is the stream that fills the storage, and fillerBytes one of its messages.
	filler, fillerBytes = "FILLER", 4 << 20
	// fullFor and withoutPassword are how long these outages last.
	fullFor, withoutPassword = 45 * time.Second, 10 * time.Second
	// underWayFor is how long POSTs that were under way go on arriving when no new
	// attempts are made any more.
	underWayFor = 2 * time.Second
	// errorInsufficientStorage is what JetStream answers when its storage is full.
	errorInsufficientStorage = 10023
)

// wipeStore takes away all that the nats-server has, when nothing is owed: what was
// owed would be lost with it. The services must make everything again, and be
// ready only when they consume again.
func wipeStore(t run.T, x *strike) {
	resume := x.hold(t)
	x.kill(t, x.brokers[0])
	run.Must(t, os.RemoveAll(x.brokerStore(0)), "wipe the store")
	resume() // publishes wait
	run.Pause(t, x.moment(0, 2*time.Second))
	x.start(t, x.brokers[0])
	x.recovered = x.allReady(t)
}

// deletedStreams are the streams that are deleted, in turns.
func deletedStreams() []string {
	return []string{topology.StreamEvents, topology.StreamDeliveries, topology.StreamRanges, topology.StreamAttempts}
}

// deleteStream deletes a stream while the services run and nothing is in it that
// would be lost with it.
func deleteStream(t run.T, x *strike) {
	name := deletedStreams()[x.number%len(deletedStreams())]
	x.note = name
	resume := x.hold(t)
	run.Must(t, x.Streams.DeleteStream(t.Context(), name), "delete stream %s", name)
	x.ended = time.Now()
	resume()
	x.recovered = x.allReady(t)
}

// allReady watches the dispatcher from now on. What it returns is nil when the
// dispatcher is ready, after it was not, and the api has all that it needs.
func (x *strike) allReady(t run.T) func(context.Context) error {
	seen := make(chan struct{})
	watching, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		// It ends with the strike, and then there is nothing to say.
		_ = run.Poll(watching, func(ctx context.Context) error {
			if x.dispatchers[0].Ready(ctx) == nil {
				return errors.New("still ready")
			}
			close(seen)
			return nil
		})
	}()
	return func(ctx context.Context) error {
		select {
		case <-seen:
		default:
			return errors.New("the dispatcher has not said that it is not ready")
		}
		return errors.Join(x.dispatchers[0].Ready(ctx), x.api.Ready(ctx))
	}
}

// fillStore fills JetStream's storage while the receivers go on answering. No
// attempt may be made that could not be recorded, and nothing may be sent again.
func fillStore(t run.T, x *strike) {
	_, err := x.Streams.CreateStream(t.Context(), jetstream.StreamConfig{Name: filler, Subjects: []string{"filler"}})
	run.Must(t, err, "make what fills the storage")
	run.Until(t, x.plan.patience, "the storage is full", func(ctx context.Context) error {
		for {
			_, err := x.Streams.Publish(ctx, "filler", make([]byte, fillerBytes))
			refused := &jetstream.APIError{}
			if errors.As(err, &refused) && refused.ErrorCode == errorInsufficientStorage {
				return nil
			}
			if err != nil {
				return fmt.Errorf("fill the storage: %w", err)
			}
		}
	})
	run.Pause(t, underWayFor)
	before := x.book.Sums().Posts
	run.Pause(t, x.length(fullFor))
	if after := x.book.Sums().Posts; after > before {
		t.Errorf("strike %d: %d attempts were made although nothing could be recorded", x.number+1, after-before)
	}
	x.ended = time.Now()
	run.Must(t, x.Streams.DeleteStream(t.Context(), filler), "empty the storage")
}

// losePassword has the nats-server ask for another password for a while.
func losePassword(t run.T, x *strike) {
	x.reload(t, "another one")
	run.Pause(t, x.length(withoutPassword))
	x.ended = time.Now()
	x.reload(t, brokerPassword)
	x.recovered = x.dispatchers[0].Ready
}

func (x *strike) reload(t run.T, password string) {
	x.writeBroker(t, 0, password)
	run.Must(t, x.brokers[0].Signal(syscall.SIGHUP), "have the nats-server read its settings again")
}
