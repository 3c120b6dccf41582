package http1

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// conn is a connection. One exchange uses it at a time, in the goroutine that asks for it; while it is idle it has no
// goroutine and no buffer.
type conn struct {
	net.Conn

	host  host
	raw   syscall.RawConn // the socket; nil when there is none to look at
	abort func()          // ends at once what is being read or written
	kept  keptMark
	peek  peek
}

// peek is a look at a socket. It is part of the connection, so that looking allocates nothing.
type peek struct {
	look   func(fd uintptr) bool
	buffer [1]byte
	n      int
	err    error
}

func newConn(h host, made net.Conn) *conn {
	c := &conn{Conn: made, host: h}
	c.abort = func() { _ = made.SetDeadline(past()) }
	if socket, ok := below(made).(syscall.Conn); ok {
		if raw, err := socket.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	return c
}

// below is the connection over which the others are spoken.
func below(c net.Conn) net.Conn {
	for {
		over, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = over.NetConn()
	}
}

// ready reports whether there can be another exchange. What a receiver sends while it is
// not asked for anything can only be its end, a complaint, a second copy of an answer or nonsense: the connection is
// of no use any more. A request on it would be lost, or answered by what belongs to another. Stray says that it was
// not the end.
func (c *conn) ready() (ready, stray bool) {
	if _, ok := c.Conn.(*tls.Conn); ok {
		if drained, stray := c.drained(); !drained {
			return false, stray
		}
	}
	return c.quiet()
}

// drained reports whether nothing is left of what TLS has already read from the socket, or else whether that is stray.
func (c *conn) drained() (drained, stray bool) {
	if c.SetReadDeadline(past()) != nil {
		return false, false
	}
	var one [1]byte
	n, err := c.Read(one[:])
	drained = n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
	return drained && c.SetReadDeadline(time.Time{}) == nil, n > 0
}

// past is a deadline that has passed: nothing is waited for.
func past() time.Time { return time.Unix(1, 0) }
