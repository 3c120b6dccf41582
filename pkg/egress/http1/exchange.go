package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// writeBuffer is what is gathered before anything is written, in bytes: a request that fits leaves in one piece.
	writeBuffer = 16 << 10
	// inlineBody is the largest body that is written before the response is waited for, in bytes: it fits the write
	// buffer together with its headers. A receiver may answer a larger one before it has read it all.
	inlineBody = writeBuffer - (4 << 10)
	// readBuffer is what is read at once, in bytes.
	readBuffer = 4 << 10
	// lastWords is how long an answer is waited for on a connection that cannot be written to any more.
	lastWords = 100 * time.Millisecond
	// lateWrite is how long a request is waited for whose response is complete, before its connection is given up.
	lateWrite = 50 * time.Millisecond
)

// errTooLarge ends the reading of headers without end.
var errTooLarge = errors.New("response headers are too large")

// exchange is one request and its response on a connection. net/http writes the one and reads the other; when that
// happens, and what becomes of the connection, is decided here. Its buffers serve other exchanges afterwards.
type exchange struct {
	transport *Transport
	conn      *conn
	request   *http.Request
	whole     bool        // the response was read to its end, and the connection may be used again
	detached  func() bool // the request's context no longer ends the connection; whether it had not
	out       output
	writer    *bufio.Writer // to out
	in        input
	reader    *bufio.Reader // from in
	sent      chan struct{} // closed when a request is written that is written meanwhile; else nil
	sendErr   error         // what became of the writing
}

func newExchange() *exchange {
	x := &exchange{}
	x.writer = bufio.NewWriterSize(&x.out, writeBuffer)
	x.reader = bufio.NewReaderSize(&x.in, readBuffer)
	return x
}

func (x *exchange) begin(t *Transport, c *conn, request *http.Request) {
	x.transport, x.conn, x.request = t, c, request
	x.out = output{conn: c}
	x.writer.Reset(&x.out)
	x.in.reset(c, int(t.MaxResponseHeaderBytes))
	x.reader.Reset(&x.in)
	x.sendErr, x.whole = nil, false
	x.detached = context.AfterFunc(request.Context(), c.abort)
}

// roundTrip returns the response, whose body then owns the exchange.
func (x *exchange) roundTrip() (*http.Response, error) {
	response, err := x.headers()
	if err == nil {
		x.in.headersEnded()
		return x.own(response), nil
	}
	_ = x.conn.Close()
	x.stopped() // from here on nobody else writes to x
	defer x.finish()
	cause := x.cause(err)
	if x.in.line.status != 0 {
		// The status line decides, whatever was wrong with what followed it.
		return &http.Response{
			StatusCode: x.in.line.status, Header: x.in.salvaged(), ContentLength: -1, Close: true,
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: x.request, Body: &lost{err: cause},
		}, nil
	}
	if x.conn.kept.before && x.in.any {
		x.transport.idle.learn(x.conn.host, false)
	}
	return nil, &Error{
		Err: cause, Kept: x.conn.kept.before, Sent: x.sendErr == nil, Answered: x.in.any, Broken: x.out.failed || x.out.written > 0,
	}
}

// own makes the response's body end the exchange. Without a body it ends here.
func (x *exchange) own(response *http.Response) *http.Response {
	response.Request = x.request
	if response.Body == http.NoBody {
		x.whole = !response.Close
		x.finish()
		return response
	}
	response.Body = &body{Reader: response.Body, exchange: x, reusable: !response.Close}
	return response
}

// finish keeps the connection or closes it, and lets go of the exchange.
func (x *exchange) finish() {
	t, c := x.transport, x.conn
	if x.whole && x.reader.Buffered() > 0 {
		t.idle.learn(c.host, false)
		x.whole = false
	}
	reusable := x.whole && !x.request.Close && x.complete()
	if x.detached() && reusable {
		x.stopped()
		t.idle.put(c, t)
	} else {
		_ = c.Close()
		x.stopped()
	}
	x.transport, x.conn, x.request, x.detached = nil, nil, nil, nil
	x.out = output{}
	x.in.reset(nil, 0)
	t.exchanges.Put(x)
}

// headers sends the request and returns when the response's headers have arrived. A large request may then still be
// on its way.
func (x *exchange) headers() (*http.Response, error) {
	if x.request.ContentLength > inlineBody {
		x.sent = make(chan struct{})
		go func() {
			defer close(x.sent)
			x.sendErr = x.send()
		}()
		return x.receive()
	}
	x.sendErr = x.send()
	if x.sendErr == nil {
		return x.receive()
	}
	if x.out.written == 0 || !x.out.failed {
		return nil, x.sendErr
	}
	// Whoever hangs up in the middle of a request may have said why.
	_ = x.conn.SetReadDeadline(time.Now().Add(lastWords))
	response, err := x.receive()
	if err != nil {
		return nil, errors.Join(err, x.sendErr)
	}
	response.Close = true
	return response, nil
}

// complete reports whether the whole request has been written, for which it waits a little.
func (x *exchange) complete() bool {
	if x.sent == nil {
		return x.sendErr == nil
	}
	timer := time.NewTimer(lateWrite)
	defer timer.Stop()
	select {
	case <-x.sent:
		return x.sendErr == nil
	case <-timer.C:
		return false
	}
}

// stopped returns when nothing is written any more. The request has been written, or the connection been closed.
func (x *exchange) stopped() {
	if x.sent != nil {
		<-x.sent
		x.sent = nil
	}
}

func (x *exchange) send() error {
	if err := x.request.Write(x.writer); err != nil {
		return err
	}
	return x.writer.Flush()
}

// receive reads the headers of the final response.
func (x *exchange) receive() (*http.Response, error) {
	for {
		response, err := http.ReadResponse(x.reader, x.request)
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= http.StatusOK || response.StatusCode == http.StatusSwitchingProtocols {
			return response, nil
		}
	}
}

// cause is why there is no response: the end of the connection, or what came over it.
func (x *exchange) cause(err error) error {
	switch {
	case x.in.cutShort(), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	case x.in.err != nil && errors.Is(err, x.in.err), x.sendErr != nil && errors.Is(err, x.sendErr):
		return err
	case x.in.any:
		return ErrMalformed
	default:
		return err
	}
}

// body is a response's body. Its end, or that of the interest in it, is the end of the exchange.
type body struct {
	io.Reader

	exchange *exchange
	reusable bool
	ended    error // why nothing more can be read
}

func (b *body) Read(p []byte) (n int, err error) {
	if b.ended == nil {
		n, err = b.Reader.Read(p)
		b.end(err)
	}
	return n, b.ended
}

// Close ends the exchange. What is left of the body is not read: it may be endless.
func (b *body) Close() error {
	b.end(http.ErrBodyReadAfterClose)
	return nil
}

func (b *body) end(err error) {
	if b.ended == nil && err != nil {
		b.ended = err
		b.exchange.whole = b.reusable && errors.Is(err, io.EOF)
		b.exchange.finish()
	}
}

// lost is the body of a response whose headers could not be read to their end.
type lost struct{ err error }

func (l *lost) Read([]byte) (int, error) { return 0, l.err }
func (l *lost) Close() error             { return nil }

// output remembers whether anything was written, which says whether the receiver can have seen the request.
type output struct {
	conn    net.Conn
	written int
	failed  bool
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.conn.Write(p)
	o.written += n
	o.failed = err != nil
	return n, err
}
