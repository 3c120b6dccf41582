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

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/test/internal/inside"
	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// bucketStream is the stream behind the bucket of registrations.
	bucketStream = "KV_" + topology.BucketWebhooks
	// stateAge is how old the state of a consumer can be on a nats-server's disk.
	stateAge = 100 * time.Millisecond
	// hurryEvery is how often consumers are looked at.
	hurryEvery = 100 * time.Millisecond
)

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
func (s *stack) describeBrokers(t run.T, ports []int) {
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
		run.Must(t, os.WriteFile(file, []byte(text), 0o600), "write the settings of %s", name)
		s.brokers = append(s.brokers, &process.Process{
			Name: name, Program: s.programs.broker, Folder: s.folder, Args: []string{"-c", file},
			Ready: answers(fmt.Sprintf("http://127.0.0.1:%d/healthz?js-server-only=true", at.monitor)),
		})
	}
}

// healed returns when every broker has everything that it should have.
func (s *stack) healed(t run.T) {
	for i, at := range s.brokerAt {
		run.Until(t, s.plan.patience, brokerName(i)+" has caught up", answers(fmt.Sprintf("http://127.0.0.1:%d/healthz", at.monitor)))
	}
}

// leader is the process of the broker that leads the stream.
func (s *stack) leader(t run.T, stream string) (leading *process.Process) {
	run.Until(t, s.plan.patience, stream+" has a leader", func(ctx context.Context) error {
		info, err := s.Stream(ctx, stream)
		if err != nil {
			return err
		}
		for _, one := range s.brokers {
			if info.Cluster != nil && info.Cluster.Leader == one.Name {
				leading = one
				return nil
			}
		}
		return errors.New("it has none")
	})
	return leading
}

// inFlight is how many POSTs it would take to repeat everything that JetStream
// has given out and that has not been settled. A crash may repeat these, and
// nothing else.
func (s *stack) inFlight(ctx context.Context) (total int, _ error) {
	for _, c := range inside.Dispatching() {
		info, err := s.Consumer(ctx, c)
		if err != nil {
			return 0, err
		}
		posts := info.NumAckPending
		if c.Stream == topology.StreamEvents {
			posts *= postsPerEvent
		}
		total += posts
	}
	return total, nil
}

// hurry shortens the ack wait of every consumer, which the services set when they
// start, until t ends.
func (s *stack) hurry(t run.T) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(hurryEvery)
		defer ticker.Stop()
		for s.shortened() != 0 {
			for _, c := range append(inside.Dispatching(), inside.Recording()) {
				_ = s.SetAckWait(ctx, c, s.shortened()) // fails while there is no broker, and is repeated
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
}

// shortened is the ack wait to ask for; 0 leaves it as it is.
func (s *stack) shortened() time.Duration {
	if s.plan.ackWait == 0 {
		return 0
	}
	return max(s.plan.ackWait, s.scene.ackWait)
}

// ackWait is the one in force.
func (s *stack) ackWait(ctx context.Context) (time.Duration, error) {
	if wait := s.shortened(); wait != 0 {
		return wait, nil
	}
	info, err := s.Consumer(ctx, inside.Dispatching()[0])
	if err != nil {
		return 0, err
	}
	return info.Config.AckWait, nil
}
