package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

const (
	// writeBuffer is what is gathered before anything is written, in bytes: a
	// request that fits leaves in one piece.
	writeBuffer = 16 << 10
	// inlineBody is the largest body that is written before the response is waited
	// for, in bytes: it fits the write buffer together with its headers. A receiver
	// may answer a larger one before it has read it all.
	inlineBody = writeBuffer - (4 << 10)
	// readBuffer is what is read at once, in bytes.
	readBuffer = 4 << 10
	// lastWords is how long an answer is waited for on a connection that cannot be
	// written to any more.
	lastWords = 100 * time.Millisecond
	// lateWrite is how long a request is waited for whose response is complete,
	// before its connection is given up.
	lateWrite = 50 * time.Millisecond
)

// errHeaderTooLarge says that a response's headers are larger than [MaxHeader].
var errHeaderTooLarge = errors.New("response headers are too large")

// http1Conn is a connection that speaks HTTP/1. One exchange uses it at a time, in
// the goroutine that makes the attempt; while it is idle it has no goroutine and
// no buffer.
type http1Conn struct {
	net.Conn
	host  host
	raw   syscall.RawConn // the socket; nil when there is none to look at
	abort func()          // ends at once what is being read or written
	kept  keptMark
}

// newHTTP1Conn returns the connection over a socket, which is conn itself or what
// its TLS is spoken over.
func newHTTP1Conn(h host, conn, socket net.Conn) *http1Conn {
	c := &http1Conn{Conn: conn, host: h}
	c.abort = func() { _ = conn.SetDeadline(past()) }
	if tcp, ok := socket.(syscall.Conn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	return c
}

// ready sets the deadline of the next exchange and reports whether there can be
// one. What a receiver sends while it is not asked for anything can only be its
// end, a complaint or nonsense: the connection is of no use any more, and a request
// on it would be lost.
func (c *http1Conn) ready(deadline time.Time) bool {
	if _, ok := c.Conn.(*tls.Conn); ok && !c.drained() {
		return false
	}
	return c.SetDeadline(deadline) == nil && c.quiet()
}

// drained reports whether nothing is left of what TLS has already read from the
// socket.
func (c *http1Conn) drained() bool {
	if c.SetReadDeadline(past()) != nil {
		return false
	}
	var one [1]byte
	n, err := c.Read(one[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// past is a deadline that has passed: nothing is waited for.
func past() time.Time { return time.Unix(1, 0) }

// http1Exchange is one request and its response on an HTTP/1 connection. net/http
// writes the one and reads the other; when that happens, and what becomes of the
// connection, is decided here. Its buffers serve other exchanges afterwards.
type http1Exchange struct {
	request http.Request
	body    bytes.Reader
	out     http1Output
	writer  *bufio.Writer // to out
	in      http1Input
	reader  *bufio.Reader // from in
	sent    chan struct{} // closed when a request is written that is written meanwhile; else nil
	sending error         // what became of that
}

func newHTTP1Exchange() *http1Exchange {
	x := &http1Exchange{}
	x.writer = bufio.NewWriterSize(&x.out, writeBuffer)
	x.reader = bufio.NewReaderSize(&x.in, readBuffer)
	return x
}

// overHTTP1 makes the request on a connection, which is kept or closed afterwards.
func (c *Client) overHTTP1(ctx context.Context, conn *http1Conn, call Call) (result Result, failed *broken) {
	x, ok := c.exchanges.Get().(*http1Exchange)
	if !ok {
		x = newHTTP1Exchange()
	}
	x.begin(conn, call)
	reusable := false
	unhindered := context.AfterFunc(ctx, conn.abort)
	defer func() {
		if unhindered() && reusable {
			c.idle.put(conn)
		} else {
			_ = conn.Close()
		}
		x.end()
		c.exchanges.Put(x)
	}()

	response, err := x.roundTrip(conn) //nolint:bodyclose // closing would read an endless body to its end; the connection is closed instead
	if err != nil {
		_ = conn.Close()
		return Result{}, x.broken(conn, err)
	}
	result, whole := c.read(response)
	reusable = whole && !response.Close && x.reader.Buffered() == 0 && x.complete()
	return result, nil
}

func (x *http1Exchange) begin(conn *http1Conn, call Call) {
	x.out = http1Output{conn: conn}
	x.writer.Reset(&x.out)
	x.in = http1Input{conn: conn, left: MaxHeader}
	x.reader.Reset(&x.in)
	x.request = http.Request{
		Method: http.MethodPost,
		URL:    call.URL,
		Host:   call.URL.Host,
		Header: call.Header,
		Body:   http.NoBody,
	}
	if len(call.Body) > 0 {
		x.body.Reset(call.Body)
		x.request.Body = io.NopCloser(&x.body)
		x.request.ContentLength = int64(len(call.Body))
	}
}

// end lets go of everything that belongs to the attempt, when nothing is written
// any more.
func (x *http1Exchange) end() {
	x.stopped()
	x.request = http.Request{}
	x.body.Reset(nil)
	x.out = http1Output{}
	x.in = http1Input{}
}

// roundTrip sends the request and returns when the response's headers have
// arrived. A large request may then still be on its way.
func (x *http1Exchange) roundTrip(conn *http1Conn) (*http.Response, error) {
	if x.request.ContentLength > inlineBody {
		x.sent = make(chan struct{})
		go func() {
			defer close(x.sent)
			x.sending = x.send()
		}()
		return x.receive()
	}
	failed := x.send()
	if failed == nil {
		return x.receive()
	}
	if x.out.written == 0 || !disconnected(failed) {
		return nil, failed
	}
	// Whoever hangs up in the middle of a request may have said why.
	_ = conn.SetReadDeadline(time.Now().Add(lastWords))
	response, err := x.receive()
	if err != nil {
		return nil, failed
	}
	response.Close = true
	return response, nil
}

// complete reports whether the whole request has been written, for which it waits
// a little.
func (x *http1Exchange) complete() bool {
	if x.sent == nil {
		return true
	}
	timer := time.NewTimer(lateWrite)
	defer timer.Stop()
	select {
	case <-x.sent:
		return x.sending == nil
	case <-timer.C:
		return false
	}
}

// stopped returns when nothing is written any more. The request has been written,
// or the connection has been closed.
func (x *http1Exchange) stopped() {
	if x.sent != nil {
		<-x.sent
		x.sent, x.sending = nil, nil
	}
}

func (x *http1Exchange) send() error {
	if err := x.request.Write(x.writer); err != nil {
		return err
	}
	return x.writer.Flush()
}

// receive reads the headers of the final response.
func (x *http1Exchange) receive() (*http.Response, error) {
	for {
		response, err := http.ReadResponse(x.reader, &x.request)
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= http.StatusOK || response.StatusCode == http.StatusSwitchingProtocols {
			x.in.left = unlimited
			return response, nil
		}
	}
}

// broken is how the exchange ended without a response. The connection has been
// closed.
func (x *http1Exchange) broken(conn *http1Conn, err error) *broken {
	x.stopped()
	if x.in.cutShort() {
		err = io.ErrUnexpectedEOF
	}
	return &broken{
		err: err,
		// What fails without the connection's doing could not be written at all.
		connected: x.out.failed || x.out.written > 0,
		status:    x.in.line.status,
		unseen:    conn.kept.before && x.out.written == 0 && disconnected(err),
	}
}

// http1Output remembers whether anything was written, which says whether the
// receiver can have seen the request.
type http1Output struct {
	conn    net.Conn
	written int
	failed  bool
}

func (o *http1Output) Write(p []byte) (int, error) {
	n, err := o.conn.Write(p)
	o.written += n
	o.failed = err != nil
	return n, err
}

// unlimited is how much of a body is read from a connection: what is enough is
// decided elsewhere.
const unlimited = -1

// http1Input remembers what net/http does not tell about a response: which final
// status line has arrived, which is the outcome even when the headers never end.
type http1Input struct {
	conn  net.Conn
	left  int // bytes of headers that are still read
	line  statusLine
	last  byte // the last byte that was read
	ended bool // reading has failed, so nothing more will come
}

func (i *http1Input) Read(p []byte) (int, error) {
	if i.left == 0 {
		return 0, errHeaderTooLarge
	}
	if i.left != unlimited {
		p = p[:min(len(p), i.left)]
	}
	n, err := i.conn.Read(p)
	if n > 0 {
		i.line.feed(p[:n])
		i.last = p[n-1]
		if i.left != unlimited {
			i.left -= n
		}
	}
	i.ended = err != nil
	return n, err
}

// cutShort reports whether the connection ended in the middle of a line of what
// looked like HTTP. net/http takes such a line for a whole one and calls it
// malformed.
func (i *http1Input) cutShort() bool {
	return i.ended && i.last != '\n' && i.line.plausible()
}
