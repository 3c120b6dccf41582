// Package natstest starts a real nats-server with JetStream inside a test. It is
// for tests only.
//
// Every test gets a server of its own, on a free port of the loopback interface
// and with a store of its own. With NATS_URL set, the same tests run against the
// server it names instead. That server must be for tests only: [Start] refuses
// one that already holds this system's streams, and takes away what a test left.
// Tests of several packages then share it, so run them one by one (go test -p 1).
package natstest

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/topology"
)

// patience bounds everything that the helper waits for.
const patience = 20 * time.Second

// Option changes what [Start] starts.
type Option func(*Server)

// Embedded asks for a server inside the test even when NATS_URL is set. A test
// that calls [Server.Shutdown] or [Server.Restart] needs it.
func Embedded() Option {
	return func(s *Server) { s.embedded = true }
}

// WithMaxPayload sets the server's max_payload instead of the one this system
// asks for.
func WithMaxPayload(bytes int32) Option {
	return func(s *Server) { s.options.MaxPayload = bytes }
}

// WithoutJetStream starts a server that stores nothing.
func WithoutJetStream() Option {
	return func(s *Server) { s.options.JetStream = false }
}

// WithStore sets how many bytes JetStream may store.
func WithStore(bytes int64) Option {
	return func(s *Server) { s.options.JetStreamMaxStore = bytes }
}

// WithPassword lets in whoever is named "test" and has this password.
func WithPassword(password string) Option {
	return func(s *Server) { s.options.Username, s.options.Password = "test", password }
}

// WithUsers lets the users of a configuration in as well. Who shows no password may
// do everything. It reads the environment, as the configuration does.
func WithUsers(file string) Option {
	return func(s *Server) {
		configured, err := server.ProcessConfigFile(file)
		if err != nil {
			fail(s.tb, "read the users: %v", err)
		}
		s.options.NoAuthUser = "anybody"
		s.options.Users = append(configured.Users, &server.User{Username: s.options.NoAuthUser})
	}
}

// WithLimits limits the account that everybody is in.
func WithLimits(limits *server.JetStreamAccountLimits) Option {
	return func(s *Server) { s.limits = limits }
}

// Server is one server. Its methods are called from the test's goroutine.
type Server struct {
	tb       testing.TB
	embedded bool
	options  server.Options
	limits   *server.JetStreamAccountLimits
	running  *server.Server
	url      string
}

// Start starts a server that ends with the test.
func Start(tb testing.TB, options ...Option) *Server {
	tb.Helper()
	s := &Server{tb: tb, url: os.Getenv("NATS_URL"), options: server.Options{
		ServerName:         "natstest",
		Host:               "127.0.0.1",
		Port:               server.RANDOM_PORT,
		JetStream:          true,
		JetStreamMaxMemory: 256 << 20,
		JetStreamMaxStore:  64 << 30, // room for every default limit
		MaxPayload:         topology.MaxEventBytes + topology.HeaderAllowance,
		NoLog:              true,
		NoSigs:             true,
	}}
	s.embedded = s.url == ""
	for _, option := range options {
		option(s)
	}
	if !s.embedded {
		s.borrow()
		return s
	}
	s.options.StoreDir = tb.TempDir()
	s.run()
	tb.Cleanup(s.stop)
	return s
}

// URL is where clients connect. It stays the same over a restart.
func (s *Server) URL() string { return s.url }

// Connect opens a connection that ends with the test and reconnects quickly.
// Further options come after these and win over them.
func (s *Server) Connect(tb testing.TB, options ...nats.Option) *nats.Conn {
	tb.Helper()
	return connect(tb, s.url, options)
}

func connect(tb Test, at string, options []nats.Option) *nats.Conn {
	tb.Helper()
	quick := []nats.Option{
		nats.MaxReconnects(-1),
		nats.ReconnectWait(20 * time.Millisecond),
		nats.ReconnectJitter(0, 0),
		nats.ReconnectBufSize(-1),
	}
	nc, err := nats.Connect(at, append(quick, options...)...)
	if err != nil {
		fail(tb, "connect to the test's nats-server: %v", err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// Shutdown stops the server; its store stays. Stopping twice is harmless.
func (s *Server) Shutdown() {
	s.tb.Helper()
	s.mustBeEmbedded("Shutdown")
	s.stop()
}

// Restart starts the server again, on the same port and store, after stopping it
// if it still runs. Options change what it was started with.
func (s *Server) Restart(options ...Option) {
	s.tb.Helper()
	s.mustBeEmbedded("Restart")
	s.stop()
	for _, option := range options {
		option(s)
	}
	s.run()
}

// Wipe starts the server again with nothing in its store.
func (s *Server) Wipe() {
	s.tb.Helper()
	s.mustBeEmbedded("Wipe")
	s.stop()
	s.options.StoreDir = s.tb.TempDir()
	s.run()
}

func (s *Server) mustBeEmbedded(method string) {
	s.tb.Helper()
	if !s.embedded {
		s.tb.Fatalf("natstest: %s needs a server inside the test, not the one at NATS_URL: start it with natstest.Embedded()", method)
	}
}

func (s *Server) run() {
	s.tb.Helper()
	options := s.options
	running, err := server.NewServer(&options)
	if err != nil {
		s.tb.Fatalf("set up the test's nats-server: %v", err)
	}
	running.Start()
	if !running.ReadyForConnections(patience) {
		running.Shutdown()
		s.tb.Fatalf("the test's nats-server is not ready after %s", patience)
	}
	if s.limits != nil {
		limits := map[string]server.JetStreamAccountLimits{"": *s.limits}
		if err := running.GlobalAccount().UpdateJetStreamLimits(limits); err != nil {
			s.tb.Fatalf("limit the account of the test's nats-server: %v", err)
		}
	}
	s.running = running
	s.url = running.ClientURL()
	s.options.Port = port(s.tb, s.url)
}

func (s *Server) stop() {
	if s.running == nil {
		return
	}
	s.running.Shutdown()
	s.running.WaitForShutdown()
	s.running = nil
}

func port(tb testing.TB, serverURL string) int {
	tb.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		tb.Fatalf("parse the test's server URL: %v", err)
	}
	number, err := strconv.Atoi(u.Port())
	if err != nil {
		tb.Fatalf("parse the test's server port: %v", err)
	}
	return number
}

// borrow makes sure that the server at NATS_URL is nobody else's.
func (s *Server) borrow() {
	s.tb.Helper()
	nc, err := nats.Connect(s.url)
	if err != nil {
		s.tb.Fatalf("connect to the server at NATS_URL: %v", err)
	}
	s.tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		s.tb.Fatalf("open JetStream at NATS_URL: %v", err)
	}
	for _, name := range owned() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err := js.Stream(ctx, name)
		cancel()
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			s.tb.Fatalf("the server at NATS_URL holds stream %s or cannot tell (%v): tests need a server of their own", name, err)
		}
	}
	s.tb.Cleanup(func() { s.takeAway(js) })
}

func (s *Server) takeAway(js jetstream.JetStream) {
	for _, name := range owned() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := js.DeleteStream(ctx, name)
		cancel()
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			s.tb.Errorf("take stream %s away from the server at NATS_URL: %v", name, err)
		}
	}
}

// owned names every stream of the system; a bucket is a stream named KV_….
func owned() []string {
	return []string{
		topology.StreamEvents, topology.StreamDeliveries, topology.StreamRanges, topology.StreamAttempts,
		topology.StreamRejected, "KV_" + topology.BucketWebhooks,
		"KV_" + topology.BucketLimits, "KV_" + topology.BucketCheckpoints,
	}
}
