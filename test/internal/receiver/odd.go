package receiver

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/dembrane/webhooks/test/internal/run"
)

// Odd is a way of talking HTTP. Each of [Odds] but the first two once cost failed
// attempts, open breakers, second POSTs or minutes: public bug reports of other
// senders tell of receivers like these.
type Odd struct {
	Name string
	// Secure says that it speaks TLS.
	Secure bool

	talk func(talk)
	// streams is how many HTTP/2 streams it takes at a time, if net/http does the talking.
	streams int
}

// talk is one connection to an odd receiver.
type talk struct {
	net.Conn

	r *bufio.Reader
	// process is called with the headers of every request, before it is answered.
	process func(http.Header)
}

const (
	twoHundred = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	// work is how long each takes for a request: as long as a quick one is away.
	work = 5 * time.Millisecond
	// moment is how much later something comes that should come at once, or not at all.
	moment = time.Millisecond
)

// Odds returns the odd receivers, after a well-behaved one in the clear and one
// that speaks TLS and HTTP/2.
func Odds() []Odd {
	return slices.Concat([]Odd{
		{Name: "well-behaved", talk: talk.wellBehaved},
		{Name: "well-behaved, HTTP/2", Secure: true, streams: 250},
	}, oddConnections(), oddAnswers(), oddOverTLS())
}

func oddConnections() []Odd {
	return []Odd{
		{Name: "closes 1 ms after the response", talk: func(c talk) {
			if c.arrived() {
				c.say(twoHundred)
				<-time.After(moment)
			}
		}},
		{Name: "closes when the next request comes", talk: func(c talk) {
			if c.arrived() {
				c.say(twoHundred)
				_, _ = c.r.ReadByte()
			}
		}},
		{Name: "says that it closes", talk: func(c talk) {
			if c.arrived() {
				c.say("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok")
			}
		}},
		{Name: "answers HTTP/1.0", talk: func(c talk) {
			if c.arrived() {
				c.say("HTTP/1.0 200 OK\r\n\r\nok")
			}
		}},
	}
}

func oddAnswers() []Odd {
	return []Odd{
		{Name: "answers in chunks, one by one", talk: func(c talk) {
			for c.arrived() {
				c.slowly("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\no\r\n", "1\r\nk\r\n", "0\r\n\r\n")
			}
		}},
		{Name: "sends its headers one by one", talk: func(c talk) {
			for c.arrived() {
				c.slowly("HTTP/1.1 200 OK\r\n", "Content-Length: 0\r\n", "\r\n")
			}
		}},
		{Name: "sends the body of a 204 by itself", talk: func(c talk) {
			for c.arrived() {
				c.slowly("HTTP/1.1 204 No Content\r\n\r\n", "ok")
			}
		}},
		{Name: "sends headers that are none", talk: func(c talk) {
			for c.arrived() {
				c.say("HTTP/1.1 200 OK\r\nthis is no header\r\nContent-Length: -1\r\n\r\n")
			}
		}},
	}
}

func oddOverTLS() []Odd {
	return []Odd{
		{Name: "takes one HTTP/2 stream at a time", Secure: true, streams: 1},
		{Name: "asks for HTTP/1.1", Secure: true, talk: func(c talk) {
			if c.overHTTP2() {
				c.frames(func(f *http2.Framer, stream uint32, _ http.Header) error {
					return f.WriteRSTStream(stream, http2.ErrCodeHTTP11Required)
				})
				return
			}
			c.wellBehaved()
		}},
		{Name: "ends HTTP/2 connections after a response", Secure: true, talk: func(c talk) {
			c.frames(func(f *http2.Framer, stream uint32, header http.Header) error {
				c.process(header)
				return errors.Join(ok(f, stream), io.EOF)
			})
		}},
	}
}

func (c talk) wellBehaved() {
	for c.arrived() {
		c.say(twoHundred)
	}
}

// arrived reads a request and reports whether there was one.
func (c talk) arrived() bool {
	request, err := http.ReadRequest(c.r)
	if err != nil {
		return false
	}
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		return false
	}
	c.process(request.Header)
	return true
}

// say does not care whether anybody listens any more.
func (c talk) say(text string) { _, _ = io.WriteString(c, text) }

// slowly says one thing after the other.
func (c talk) slowly(texts ...string) {
	for i, text := range texts {
		if i > 0 {
			<-time.After(moment)
		}
		c.say(text)
	}
}

func (c talk) overHTTP2() bool {
	secured, ok := c.Conn.(*tls.Conn)
	return ok && secured.ConnectionState().NegotiatedProtocol == http2.NextProtoTLS
}

// frames calls request with every HTTP/2 request that has arrived whole, until that
// returns an error.
func (c talk) frames(request func(f *http2.Framer, stream uint32, header http.Header) error) {
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4<<10, nil)
	headers := map[uint32]http.Header{}
	err := f.WriteSettings()
	for err == nil {
		var frame http2.Frame
		if frame, err = f.ReadFrame(); err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			err = f.WritePing(true, frame.Data)
		case *http2.MetaHeadersFrame:
			header := http.Header{}
			for _, field := range frame.RegularFields() {
				header.Add(field.Name, field.Value)
			}
			headers[frame.StreamID] = header
		case *http2.DataFrame:
			if frame.StreamEnded() {
				err = request(f, frame.StreamID, headers[frame.StreamID])
				delete(headers, frame.StreamID)
			}
		}
	}
}

// ok answers a stream with 200 and nothing else.
func ok(f *http2.Framer, stream uint32) error {
	var block bytes.Buffer
	if err := hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"}); err != nil {
		return err
	}
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
}

// OddReceiver is a running one.
type OddReceiver struct {
	// URL is where it listens.
	URL string

	mu    sync.Mutex
	first map[string]time.Time // when each delivery first arrived
	posts int
	conns map[net.Conn]struct{}
}

// Start starts it on a free port, until t ends. Config has the certificate of one
// that speaks TLS.
func (o Odd) Start(t run.T, config *tls.Config) *OddReceiver {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	run.Must(t, err, "listen for deliveries")
	r := &OddReceiver{URL: "http://" + listener.Addr().String() + "/hook", first: map[string]time.Time{}, conns: map[net.Conn]struct{}{}}
	if o.Secure {
		config = config.Clone()
		config.NextProtos = []string{http2.NextProtoTLS, "http/1.1"}
		listener, r.URL = tls.NewListener(listener, config), "https://"+listener.Addr().String()+"/hook"
	}
	if o.streams > 0 {
		r.serveHTTP2(t, listener, o.streams)
	} else {
		r.serveOdd(t, listener, o.talk)
	}
	return r
}

func (r *OddReceiver) serveHTTP2(t run.T, listener net.Listener, streams int) {
	server := &http.Server{
		ReadHeaderTimeout: time.Minute, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: streams},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			if _, err := io.Copy(io.Discard, request.Body); err == nil {
				r.process(request.Header)
				_, _ = io.WriteString(w, "ok")
			}
		}),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-ended); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("receive deliveries: %v", err)
		}
	})
}

func (r *OddReceiver) serveOdd(t run.T, listener net.Listener, do func(talk)) {
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { r.serve(conn, do) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // nobody is left to tell
		r.mu.Lock()
		for conn := range r.conns {
			_ = conn.Close()
		}
		r.conns = nil
		r.mu.Unlock()
		serving.Wait()
	})
}

func (r *OddReceiver) serve(conn net.Conn, do func(talk)) {
	defer func() { _ = conn.Close() }()
	r.mu.Lock()
	stopped := r.conns == nil
	if !stopped {
		r.conns[conn] = struct{}{}
	}
	r.mu.Unlock()
	if secured, ok := conn.(*tls.Conn); stopped || (ok && secured.Handshake() != nil) { //nolint:noctx // ends when the connection is closed
		return
	}
	do(talk{Conn: conn, r: bufio.NewReader(conn), process: r.process})
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, conn)
}

// process takes a request's time, after it has been noted.
func (r *OddReceiver) process(header http.Header) {
	r.note(header.Get("X-Dembrane-Delivery"))
	<-time.After(work)
}

func (r *OddReceiver) note(delivery string) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.posts++
	if r.first[delivery].IsZero() {
		r.first[delivery] = now
	}
}

// Arrived is how many deliveries have arrived, in how many POSTs, and when the last
// of them first did.
func (r *OddReceiver) Arrived() (deliveries, posts int, last time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.first {
		if at.After(last) {
			last = at
		}
	}
	return len(r.first), r.posts, last
}
