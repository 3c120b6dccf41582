package process

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

// Ports gives every port of the loopback interface to one process only.
type Ports map[int]bool

// Take finds ports that nobody listens on.
func (p Ports) Take(ctx context.Context, count int) ([]int, error) {
	var found []int
	const tries = 1000
	for range tries {
		if len(found) == count {
			return found, nil
		}
		port := lowestPort + rand.IntN(highestPort-lowestPort) //nolint:gosec // any will do
		if p[port] {
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
		p[port] = true
		found = append(found, port)
	}
	return nil, fmt.Errorf("find free ports: %d of %d between %d and %d", len(found), count, lowestPort, highestPort)
}

// Dials reports whether anybody listens on the address.
func Dials(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		return conn.Close()
	}
}
