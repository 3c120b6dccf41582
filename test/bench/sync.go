package main

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	pipeline "github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/standalone/embedded"
	"github.com/dembrane/webhooks/test/internal/run"
)

// syncSettings are what NATS_SYNC_INTERVAL may be set to: what an acknowledgement
// is worth, and so what it costs.
func syncSettings() []string { return []string{"always", "1s", "2m0s"} }

const (
	// syncEvents is how many events each measurement publishes.
	syncEvents = 2000
	// syncPublishers is how many publishes are under way at once where that matters.
	syncPublishers = 64
)

// syncs measures what it costs that what is acknowledged is on the disk. The
// temporary folder has to be on the disk that is asked about.
func (b *bench) syncs(t run.T) {
	settings := syncSettings()
	for i := range settings {
		setting := settings[(i+b.round)%len(settings)] // in another order every round
		var interval embedded.SyncInterval
		run.Must(t, interval.UnmarshalText([]byte(setting)), "read a setting")
		folder := filepath.Join(b.folder, fmt.Sprintf("sync-%s-%d", setting, b.round))
		run.Together(t, func(t run.T) { b.synced(t, setting, embedded.NATSStore{Dir: folder, Sync: interval}) })
	}
}

func (b *bench) synced(t run.T, setting string, store embedded.NATSStore) {
	broker, err := embedded.StartNATS(t.Context(), "127.0.0.1:0", store, zap.NewNop())
	run.Must(t, err, "start a broker")
	t.Cleanup(broker.Stop)
	nc, err := nats.Connect(broker.URL())
	run.Must(t, err, "connect")
	t.Cleanup(nc.Close)
	createEvents(t, nc)
	p, err := pipeline.New(nc)
	run.Must(t, err, "set up the publisher")
	alone := publishAll(t, p, "alone", 1)
	together := publishAll(t, p, "together", syncPublishers)

	section, key := "what an acknowledgement costs, NATS_SYNC_INTERVAL="+setting, "sync."+setting
	b.figures.add(section, key+".alone.p50", "publish to acknowledgement, one at a time, p50, ms", percentile(alone.latencies, 0.5))
	b.figures.add(section, key+".alone.p99", "the same, p99, ms", percentile(alone.latencies, 0.99))
	b.figures.add(section, key+".alone.rate", "acknowledged/s, one at a time", alone.rate)
	b.figures.add(section, key+".together.p50", fmt.Sprintf("publish to acknowledgement, %d at once, p50, ms", syncPublishers), percentile(together.latencies, 0.5))
	b.figures.add(section, key+".together.p99", "the same, p99, ms", percentile(together.latencies, 0.99))
	b.figures.add(section, key+".together.rate", fmt.Sprintf("acknowledged/s, %d at once", syncPublishers), together.rate)
	t.Logf("sync %s: %.0f/s one at a time, %.0f/s %d at once", setting, alone.rate, together.rate, syncPublishers)
}

// createEvents makes the stream that publishers wait for.
func createEvents(t run.T, nc *nats.Conn) {
	js, err := jetstream.New(nc)
	run.Must(t, err, "use JetStream")
	for _, config := range topology.Streams(topology.Settings{Replicas: 1, EventsMaxAge: time.Hour, DuplicateWindow: time.Minute, EventsMaxBytes: 1 << 30}) {
		if config.Name == topology.StreamEvents {
			_, err := js.CreateStream(t.Context(), config)
			run.Must(t, err, "create the stream")
		}
	}
}

// published is how long publishes took, in milliseconds, and how many there were a
// second.
type published struct {
	latencies []float64
	rate      float64
}

// publishAll publishes events of 1.2 KB, a number of them at once.
func publishAll(t run.T, p *pipeline.Publisher, name string, atOnce int) published {
	var next atomic.Int64
	var mu sync.Mutex
	var result published
	started := time.Now()
	workers, ctx := errgroup.WithContext(t.Context())
	for range atOnce {
		workers.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= syncEvents {
					return nil
				}
				e := payload.Sample(event.ConversationTranscribed, &webhooksv1.Project{Id: fmt.Sprintf("project-%d", i%10)},
					fmt.Sprintf("%s-%d", name, i), started)
				before := time.Now()
				if err := p.Publish(ctx, e); err != nil {
					return err
				}
				took := time.Since(before)
				mu.Lock()
				result.latencies = append(result.latencies, float64(took.Microseconds())/1000)
				mu.Unlock()
			}
		})
	}
	run.Must(t, workers.Wait(), "publish")
	result.rate = syncEvents / time.Since(started).Seconds()
	return result
}
