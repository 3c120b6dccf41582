package natstest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Cluster is three servers that keep streams in common. Its methods are called
// from the test's goroutine.
type Cluster struct {
	tb      testing.TB
	options [3]server.Options
	running [3]*server.Server
}

// StartCluster starts three servers inside the test, and waits until JetStream
// answers.
func StartCluster(tb testing.TB) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb}
	var routes []*url.URL
	for i := range c.options {
		clients, peers := freePort(tb), freePort(tb)
		c.options[i] = server.Options{
			ServerName: "natstest-" + strconv.Itoa(i), Host: "127.0.0.1", Port: clients,
			JetStream: true, JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 4 << 30, StoreDir: tb.TempDir(),
			Cluster: server.ClusterOpts{Name: "natstest", Host: "127.0.0.1", Port: peers},
			NoLog:   true, NoSigs: true,
		}
		routes = append(routes, &url.URL{Scheme: "nats", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(peers))})
	}
	tb.Cleanup(func() {
		for i := range c.running {
			c.Stop(i)
		}
	})
	for i := range c.options {
		c.options[i].Routes = routes
		c.Start(i)
	}
	c.wait()
	return c
}

// Connect opens a connection to whichever server is there.
func (c *Cluster) Connect(options ...nats.Option) *nats.Conn {
	c.tb.Helper()
	urls := make([]string, len(c.options))
	for i := range c.options {
		urls[i] = fmt.Sprintf("nats://127.0.0.1:%d", c.options[i].Port)
	}
	return (&Server{url: strings.Join(urls, ",")}).Connect(c.tb, options...)
}

// Stop ends one server; its store stays. Stopping twice is harmless.
func (c *Cluster) Stop(i int) {
	if c.running[i] == nil {
		return
	}
	c.running[i].Shutdown()
	c.running[i].WaitForShutdown()
	c.running[i] = nil
}

// Start starts one server again.
func (c *Cluster) Start(i int) {
	c.tb.Helper()
	options := c.options[i]
	running, err := server.NewServer(&options)
	if err != nil {
		c.tb.Fatalf("set up a nats-server of the test's cluster: %v", err)
	}
	running.Start()
	if !running.ReadyForConnections(patience) {
		running.Shutdown()
		c.tb.Fatalf("a nats-server of the test's cluster is not ready after %s", patience)
	}
	c.running[i] = running
}

// wait returns when a leader of the cluster answers.
func (c *Cluster) wait() {
	c.tb.Helper()
	js, err := jetstream.New(c.Connect())
	if err != nil {
		c.tb.Fatalf("open JetStream in the test's cluster: %v", err)
	}
	deadline := time.Now().Add(2 * patience)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "WAIT", Subjects: []string{"wait"}, Replicas: len(c.options)})
		cancel()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			c.tb.Fatalf("the test's cluster does not answer: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := js.DeleteStream(ctx, "WAIT"); err != nil {
		c.tb.Fatalf("the test's cluster does not answer: %v", err)
	}
}

func freePort(tb testing.TB) int {
	tb.Helper()
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("look for a free port: %v", err)
	}
	hostPort := listener.Addr().String()
	if err := listener.Close(); err != nil {
		tb.Fatalf("look for a free port: %v", err)
	}
	return port(tb, "nats://"+hostPort)
}
