package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// Ports are taken from below the range from which systems give ports to clients:
// a port whose process is dead must still be free when it comes back.
const (
	lowestPort  = 12_000
	highestPort = 32_000
)

// freePorts finds ports of the loopback interface that nobody listens on.
func freePorts(ctx context.Context, count int) (ports []int, err error) {
	var held []net.Listener
	defer func() {
		for _, listener := range held {
			err = errors.Join(err, listener.Close())
		}
	}()
	const tries = 1000
	for range tries {
		if len(ports) == count {
			return ports, nil
		}
		port := lowestPort + rand.IntN(highestPort-lowestPort) //nolint:gosec // any will do
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			continue
		case err != nil:
			return nil, fmt.Errorf("find free ports: %w", err)
		}
		held, ports = append(held, listener), append(ports, port)
	}
	return nil, fmt.Errorf("find free ports: %d of %d between %d and %d", len(ports), count, lowestPort, highestPort)
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
