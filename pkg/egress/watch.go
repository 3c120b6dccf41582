package egress

import (
	"io"
	"net"
	"sync"
)

// copyBuffer is the size of the buffers in which bodies are copied to connections.
const copyBuffer = 32 << 10

// watchedConn is an HTTP/1 connection that remembers what net/http does not tell
// about the request that uses it: whether anything has been written, which says
// whether it may be sent again; and which final status line has arrived, which is
// the outcome even when the headers never end.
type watchedConn struct {
	net.Conn
	dialer *dialer

	mu      sync.Mutex
	written bool
	line    statusLine
	last    byte // the last byte that was read
	ended   bool // reading has failed, so nothing more will come
}

func (d *dialer) watch(conn net.Conn) *watchedConn {
	return &watchedConn{Conn: conn, dialer: d}
}

// begin forgets what the previous request left.
func (c *watchedConn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written = false
	c.line = statusLine{}
}

func (c *watchedConn) hasWritten() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written
}

func (c *watchedConn) status() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.line.status
}

// cutShort reports whether the connection ended in the middle of a line of what
// looked like HTTP. net/http takes such a line for a whole one and calls it
// malformed.
func (c *watchedConn) cutShort() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended && c.last != '\n' && c.line.plausible()
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.line.feed(p[:n])
		c.last = p[n-1]
	}
	c.ended = err != nil
	return n, err
}

func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.mu.Lock()
		c.written = true
		c.mu.Unlock()
	}
	return n, err
}

// ReadFrom copies a body with a shared buffer; without it net/http would make a
// new one for every body of more than a few KiB.
func (c *watchedConn) ReadFrom(r io.Reader) (int64, error) {
	buffer, ok := c.dialer.buffers.Get().(*[copyBuffer]byte)
	if !ok {
		buffer = new([copyBuffer]byte)
	}
	defer c.dialer.buffers.Put(buffer)
	return io.CopyBuffer(writerOnly{c}, r, buffer[:])
}

// writerOnly hides ReadFrom, which would call itself.
type writerOnly struct{ io.Writer }

// statusLine finds the final status line in the bytes of one response, past any
// 1xx responses before it. Its zero value is ready.
type statusLine struct {
	status int // of the final response, once its whole line has arrived

	state lineState
	begun int      // bytes of the current line, without CR
	start [12]byte // the beginning of the current line: "HTTP/1.1 200"
}

type lineState int

const (
	inStatusLine lineState = iota
	inInformationalHeaders
	settled // found, or not HTTP/1
)

func (l *statusLine) feed(data []byte) {
	for _, b := range data {
		if l.state == settled {
			return
		}
		switch b {
		case '\r':
		case '\n':
			l.endLine()
		default:
			if l.begun < len(l.start) {
				l.start[l.begun] = b
			}
			l.begun++
		}
	}
}

func (l *statusLine) endLine() {
	length := l.begun
	l.begun = 0
	if l.state == inInformationalHeaders {
		if length == 0 {
			l.state = inStatusLine
		}
		return
	}
	code := l.code(length)
	switch {
	case code >= 200:
		l.status = code
		l.state = settled
	case code >= 100 && code != 101:
		l.state = inInformationalHeaders
	default:
		l.state = settled
	}
}

// plausible reports whether the bytes so far may be the beginning of a response.
func (l *statusLine) plausible() bool {
	const protocol = "HTTP/"
	n := min(l.begun, len(protocol))
	return l.status != 0 || l.state == inInformationalHeaders || (n > 0 && string(l.start[:n]) == protocol[:n])
}

// code reads the three digits of "HTTP/1.x NNN", or returns 0.
func (l *statusLine) code(length int) int {
	if length < len(l.start) || string(l.start[:7]) != "HTTP/1." || l.start[8] != ' ' {
		return 0
	}
	code := 0
	for _, digit := range l.start[9:] {
		if digit < '0' || digit > '9' {
			return 0
		}
		code = code*10 + int(digit-'0')
	}
	return code
}
