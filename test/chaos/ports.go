package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"
)

// Ports are taken from below the range from which systems give ports to clients:
// a port whose process is dead must still be free when it comes back.
const (
	lowestPort  = 12_000
	highestPort = 32_000
)

// ports gives every port to one process only.
type ports struct {
	mu    sync.Mutex
	taken map[int]bool
}

// take finds ports of the loopback interface that nobody listens on.
func (p *ports) take(ctx context.Context, count int) ([]int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []int
	const tries = 1000
	for range tries {
		if len(found) == count {
			return found, nil
		}
		port := lowestPort + rand.IntN(highestPort-lowestPort) //nolint:gosec // any will do
		if p.taken[port] {
			continue
		}
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			err = listener.Close()
		}
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			continue
		case err != nil:
			return nil, fmt.Errorf("find free ports: %w", err)
		}
		p.taken[port] = true
		found = append(found, port)
	}
	return nil, fmt.Errorf("find free ports: %d of %d between %d and %d", len(found), count, lowestPort, highestPort)
}

// dials reports whether anybody listens on the address.
func dials(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		return conn.Close()
	}
}
