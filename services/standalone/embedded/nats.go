// Package embedded starts the servers that standalone brings along: the real
// nats-server and a database that speaks MongoDB's protocol. Both listen on
// sockets, so that everything else reaches them as it would in production.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/topology"
)

const (
	// startTimeout is how long a broker may take to recover its streams.
	startTimeout = 5 * time.Minute
	// checkEvery is how often the broker's store is looked at.
	checkEvery = 2 * time.Second
)

// NATS is a nats-server with JetStream. Whoever starts it stops it.
type NATS struct {
	server *server.Server
	url    string
}

// NATSStore is where and how a server stores.
type NATSStore struct {
	Dir string
	// Sync is what an acknowledgement is worth when the power fails.
	Sync SyncInterval
}

// StartNATS starts a server on addr, and returns when it takes connections.
func StartNATS(ctx context.Context, addr string, store NATSStore, log *zap.Logger) (*NATS, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("read NATS_ADDR: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("read NATS_ADDR: %w", err)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	if host == "" {
		host = "0.0.0.0"
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "standalone",
		Host:       host,
		Port:       port,
		JetStream:  true,
		StoreDir:   store.Dir,
		MaxPayload: topology.MaxEventBytes + topology.HeaderAllowance,
		NoSigs:     true, // the process has a handler of its own

		SyncAlways:   store.Sync.always(),
		SyncInterval: store.Sync.every(),
	})
	if err != nil {
		return nil, fmt.Errorf("set up the nats-server: %w", err)
	}
	lines := &natsLog{log: log.Named("nats")}
	s.SetLogger(lines, false, false)
	s.Start()
	if err := awaitReady(ctx, s, lines); err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fmt.Errorf("start the nats-server on %s: %w", addr, err)
	}
	return &NATS{server: s, url: "nats://" + reachable(s.Addr())}, nil
}

func awaitReady(ctx context.Context, s *server.Server, lines *natsLog) error {
	deadline := time.Now().Add(startTimeout)
	for !s.ReadyForConnections(100 * time.Millisecond) {
		switch fault := lines.lastFatal(); {
		case fault != "":
			return errors.New(fault)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !s.Running(), time.Now().After(deadline):
			return errors.New("it is not ready for connections")
		}
	}
	if !s.JetStreamEnabled() {
		return errors.New("its store cannot be used: " + lines.lastFault())
	}
	return nil
}

// URL is where clients on this machine connect.
func (n *NATS) URL() string { return n.url }

// Watch returns nil when ctx is done, and an error as soon as the server can no
// longer store.
func (n *NATS) Watch(ctx context.Context) error {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if !n.server.Running() || !n.server.JetStreamEnabled() {
				return errors.New("the nats-server died, or switched its store off; its last lines in the log say why")
			}
		}
	}
}

// Stop ends the server; what it stored stays.
func (n *NATS) Stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// reachable replaces an address that stands for every interface.
func reachable(addr net.Addr) string {
	text := addr.String()
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return text
	}
	if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return text
}
