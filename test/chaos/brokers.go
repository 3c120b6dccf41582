package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/topology"
)

const (
	// bucketStream is the stream behind the bucket of registrations.
	bucketStream = "KV_" + topology.BucketWebhooks
	// askTimeout bounds one request to JetStream.
	askTimeout = 2 * time.Second
	// stateAge is how old the state of a consumer can be on a nats-server's disk.
	stateAge = 100 * time.Millisecond
	// hurryEvery is how often consumers are looked at.
	hurryEvery = 100 * time.Millisecond
)

// consumption is a consumer whose messages come again.
type consumption struct{ stream, consumer string }

// consumptions are those of the dispatchers.
func consumptions() []consumption {
	all := []consumption{{topology.StreamDeliveries, topology.ConsumerDue}, {topology.StreamRanges, topology.ConsumerRanges}}
	for _, part := range topology.Intake(topology.Consumption{}) {
		all = append(all, consumption{topology.StreamEvents, part.Durable})
	}
	return all
}

// brokerAddress is where a broker listens.
type brokerAddress struct{ client, routes, monitor int }

func (a brokerAddress) url() string { return "nats://127.0.0.1:" + strconv.Itoa(a.client) }

func brokerName(i int) string { return "nats-" + strconv.Itoa(i+1) }

func (s *stack) brokerURLs() string {
	urls := make([]string, len(s.brokerAt))
	for i, at := range s.brokerAt {
		urls[i] = at.url()
	}
	return strings.Join(urls, ",")
}

// routes lists the cluster's members, as a nats-server reads them.
func (s *stack) routes() string {
	urls := make([]string, len(s.brokerAt))
	for i, at := range s.brokerAt {
		urls[i] = fmt.Sprintf("\"nats-route://127.0.0.1:%d\"", at.routes)
	}
	return strings.Join(urls, ", ")
}

// describeBrokers writes the configuration of one server, or of a cluster.
func (s *stack) describeBrokers(ports []int) error {
	for i := range s.scene.servers {
		s.brokerAt = append(s.brokerAt, brokerAddress{client: ports[3*i], routes: ports[3*i+1], monitor: ports[3*i+2]})
	}
	for i, at := range s.brokerAt {
		name := brokerName(i)
		text := fmt.Sprintf("server_name: %s\nlisten: \"127.0.0.1:%d\"\nhttp: \"127.0.0.1:%d\"\nmax_payload: %d\n"+
			"jetstream { store_dir: %q, max_file_store: 8GB }\n",
			name, at.client, at.monitor, topology.MaxEventBytes+topology.HeaderAllowance, filepath.Join(s.folder, name))
		if len(s.brokerAt) > 1 {
			text += fmt.Sprintf("cluster { name: chaos, listen: \"127.0.0.1:%d\", routes: [%s] }\n", at.routes, s.routes())
		}
		file := filepath.Join(s.folder, name+".conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return fmt.Errorf("write the settings of %s: %w", name, err)
		}
		s.brokers = append(s.brokers, &process{
			name: name, program: s.programs.broker, folder: s.folder, args: []string{"-c", file},
			ready: s.answers(fmt.Sprintf("http://127.0.0.1:%d/healthz?js-server-only=true", at.monitor)),
		})
	}
	return nil
}

// healed returns when every broker has everything that it should have.
func (s *stack) healed(ctx context.Context) error {
	for i, at := range s.brokerAt {
		check := s.answers(fmt.Sprintf("http://127.0.0.1:%d/healthz", at.monitor))
		if err := until(ctx, func() error { return check(ctx) }); err != nil {
			return fmt.Errorf("wait for %s to catch up: %w", brokerName(i), err)
		}
	}
	return nil
}

// leader is the process of the broker that leads the stream.
func (s *stack) leader(ctx context.Context, stream string) (*process, error) {
	var leading *process
	err := until(ctx, func() error {
		info, err := s.stream(ctx, stream)
		if err != nil {
			return err
		}
		for _, one := range s.brokers {
			if info.Cluster != nil && info.Cluster.Leader == one.name {
				leading = one
				return nil
			}
		}
		return errors.New("it has none")
	})
	if err != nil {
		return nil, fmt.Errorf("find the leader of %s: %w", stream, err)
	}
	return leading, nil
}

func (s *stack) stream(ctx context.Context, name string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found, err := s.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", name, err)
	}
	return found.CachedInfo(), nil
}

func (s *stack) consumer(ctx context.Context, c consumption) (*jetstream.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found, err := s.js.Consumer(ctx, c.stream, c.consumer)
	if err != nil {
		return nil, fmt.Errorf("look at consumer %s: %w", c.consumer, err)
	}
	return found.CachedInfo(), nil
}

// inFlight is how many POSTs it would take to repeat everything that JetStream
// has given out and that has not been settled. A crash may repeat these, and
// nothing else.
func (s *stack) inFlight(ctx context.Context) (int, error) {
	total := 0
	for _, c := range consumptions() {
		info, err := s.consumer(ctx, c)
		if err != nil {
			return 0, err
		}
		if c.stream == topology.StreamEvents {
			total += info.NumAckPending * s.postsPerEvent()
		} else {
			total += info.NumAckPending
		}
	}
	return total, nil
}

// recording is the consumption of the api.
func recording() consumption { return consumption{topology.StreamAttempts, topology.ConsumerRecord} }

// hurry shortens the ack wait of a consumer, which the services set when they
// start: it is half a minute and more otherwise, longer than any attempt can last.
func (s *stack) hurry(ctx context.Context, c consumption) {
	ticker := time.NewTicker(hurryEvery)
	defer ticker.Stop()
	for s.shortened() != 0 {
		s.shorten(ctx, c)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// shortened is the ack wait to ask for; 0 leaves it as it is.
func (s *stack) shortened() time.Duration {
	if s.plan.ackWait == 0 {
		return 0
	}
	return max(s.plan.ackWait, s.scene.ackWait)
}

// shorten fails while there is no broker, and is repeated.
func (s *stack) shorten(ctx context.Context, c consumption) {
	info, err := s.consumer(ctx, c)
	if err != nil || info.Config.AckWait == s.shortened() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	info.Config.AckWait = s.shortened()
	_, _ = s.js.UpdateConsumer(ctx, c.stream, info.Config) // looked at again soon
}

// ackWait is the one in force.
func (s *stack) ackWait(ctx context.Context) (time.Duration, error) {
	if wait := s.shortened(); wait != 0 {
		return wait, nil
	}
	info, err := s.consumer(ctx, consumptions()[0])
	if err != nil {
		return 0, err
	}
	return info.Config.AckWait, nil
}
