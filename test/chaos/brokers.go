package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dembrane/webhooks/pkg/natstest"
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

// brokerUser is who comes in where brokers ask for a password.
const brokerUser, brokerPassword = "chaos", "let me in"

func (s *stack) brokerURL(i int) string {
	at := url.URL{Scheme: "nats", Host: "127.0.0.1:" + strconv.Itoa(s.brokerAt[i].client)}
	return s.withPassword(at)
}

// withPassword adds what brokers ask for, if they do.
func (s *stack) withPassword(at url.URL) string {
	if s.scene.password {
		at.User = url.UserPassword(brokerUser, brokerPassword)
	}
	return at.String()
}

func brokerName(i int) string { return "nats-" + strconv.Itoa(i+1) }

func (s *stack) brokerURLs() string {
	urls := make([]string, len(s.brokerAt))
	for i := range s.brokerAt {
		urls[i] = s.brokerURL(i)
	}
	return strings.Join(urls, ",")
}

// routes lists the other members of a broker's cluster, as a nats-server reads
// them.
func (s *stack) routes(of int) string {
	var urls []string
	for i, at := range s.brokerAt {
		if i == of {
			continue
		}
		route := fmt.Sprintf("nats-route://127.0.0.1:%d", at.routes)
		if s.scene.proxied {
			route = strings.Replace(s.links[link{of, i}].URL(), "nats:", "nats-route:", 1)
		}
		urls = append(urls, strconv.Quote(route))
	}
	return strings.Join(urls, ", ")
}

// link is the network from one broker to another.
type link struct{ from, to int }

// describeBrokers describes one server, or a cluster.
func (s *stack) describeBrokers(t run.T, ports []int) {
	for i := range s.scene.servers {
		s.brokerAt = append(s.brokerAt, brokerAddress{client: ports[3*i], routes: ports[3*i+1], monitor: ports[3*i+2]})
	}
	s.connectBrokers(t)
	for i, at := range s.brokerAt {
		name := brokerName(i)
		s.writeBroker(t, i, brokerPassword)
		s.brokers = append(s.brokers, &process.Process{
			Name: name, Program: s.programs.broker, Folder: s.folder, Args: []string{"-c", s.brokerFile(i)},
			Ready: answers(fmt.Sprintf("http://127.0.0.1:%d/healthz?js-server-only=true", at.monitor)),
		})
	}
}

// connectBrokers puts a network that can break between any two brokers and, where
// there is one, between it and the api.
func (s *stack) connectBrokers(t run.T) {
	if !s.scene.proxied {
		return
	}
	s.links = map[link]*natstest.Proxy{}
	for from := range s.brokerAt {
		for to, at := range s.brokerAt {
			if from != to {
				s.links[link{from, to}] = natstest.NewProxy(t, fmt.Sprintf("nats://127.0.0.1:%d", at.routes))
			}
		}
	}
	if len(s.brokerAt) == 1 {
		s.apiNATS = natstest.NewProxy(t, fmt.Sprintf("nats://127.0.0.1:%d", s.brokerAt[0].client))
	}
}

// apiBrokerURLs is where the api finds NATS.
func (s *stack) apiBrokerURLs(t run.T) string {
	if s.apiNATS == nil {
		return s.brokerURLs()
	}
	at, err := url.Parse(s.apiNATS.URL())
	run.Must(t, err, "read where the api's network is")
	return s.withPassword(*at)
}

func (s *stack) brokerFile(i int) string { return filepath.Join(s.folder, brokerName(i)+".conf") }

// brokerStore is the folder with all that a broker has stored.
func (s *stack) brokerStore(i int) string { return filepath.Join(s.folder, brokerName(i)) }

// writeBroker writes a broker's settings.
func (s *stack) writeBroker(t run.T, i int, password string) {
	at, name := s.brokerAt[i], brokerName(i)
	text := fmt.Sprintf("server_name: %s\nlisten: \"127.0.0.1:%d\"\nhttp: \"127.0.0.1:%d\"\nmax_payload: %d\n"+
		"jetstream { store_dir: %q, max_file_store: %s }\n",
		name, at.client, at.monitor, topology.MaxEventBytes+topology.HeaderAllowance, s.brokerStore(i), cmp.Or(s.scene.store, "8GB"))
	if s.scene.password {
		text += fmt.Sprintf("authorization { user: %q, password: %q }\n", brokerUser, password)
	}
	if len(s.brokerAt) > 1 {
		// Members tell each other where the others are. Nobody listens there, so that
		// they are connected by what can be cut, and by nothing else.
		text += fmt.Sprintf("cluster { name: chaos, listen: \"127.0.0.1:%d\", advertise: \"127.0.0.1:%d\", routes: [%s] }\n",
			at.routes, s.nowhere, s.routes(i))
	}
	run.Must(t, os.WriteFile(s.brokerFile(i), []byte(text), 0o600), "write the settings of %s", name)
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
	if s.plan.ackWait == 0 || s.scene.unhurried {
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
