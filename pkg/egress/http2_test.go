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
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// frames is a receiver's side of an HTTP/2 connection, frame by frame.
type frames struct {
	*http2.Framer
}

// respond answers a stream with 200 and nothing else.
func (f frames) respond(stream uint32) error {
	var block bytes.Buffer
	if err := hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"}); err != nil {
		return err
	}
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
}

// http2Server calls request for every request that has arrived whole, with its
// number over all connections, counted from 1.
func http2Server(tb testing.TB, ca *authority, request func(f frames, stream uint32, n int32) error) string {
	tb.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{ca.sign(tb, nil)}, NextProtos: []string{"h2"}}
	var requests atomic.Int32
	plain := rawServer(tb, func(_ int, conn net.Conn) {
		secured := tls.Server(conn, config)
		defer func() { _ = secured.Close() }()
		talkHTTP2(secured, func(f frames, stream uint32) error { return request(f, stream, requests.Add(1)) })
	})
	return strings.Replace(plain, "http:", "https:", 1)
}

// talkHTTP2 calls request for every request that has arrived whole on one
// connection, until that returns an error.
func talkHTTP2(secured *tls.Conn, request func(f frames, stream uint32) error) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(secured, preface); err != nil {
		return
	}
	f := frames{http2.NewFramer(secured, secured)}
	if f.WriteSettings() != nil {
		return
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			err = f.WritePing(true, frame.Data)
		case *http2.DataFrame:
			if frame.StreamEnded() {
				err = request(f, frame.StreamID)
			}
		}
		if err != nil {
			return
		}
	}
}

func TestCase16_HTTP2Refusals(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	reset := func(code http2.ErrCode) func(frames, uint32, int32) error {
		return func(f frames, stream uint32, _ int32) error { return f.WriteRSTStream(stream, code) }
	}
	firstly := func(refuse func(frames, uint32, int32) error) func(frames, uint32, int32) error {
		return func(f frames, stream uint32, n int32) error {
			if n == 1 {
				return refuse(f, stream, n)
			}
			return f.respond(stream)
		}
	}
	goAway := func(covered uint32) func(frames, uint32, int32) error {
		return func(f frames, _ uint32, _ int32) error { return f.WriteGoAway(covered, http2.ErrCodeNo, nil) }
	}
	tests := map[string]struct {
		request func(frames, uint32, int32) error
		reason  webhooksv1.Reason
		seen    int32
	}{
		"answered":                {firstly(frames.respondTo), 0, 1},
		"refused once":            {firstly(reset(http2.ErrCodeRefusedStream)), 0, 2},
		"refused always":          {reset(http2.ErrCodeRefusedStream), webhooksv1.Reason_REASON_CONNECTION_CLOSED, 2},
		"going away without it":   {firstly(goAway(0)), 0, 2},
		"an error of theirs":      {firstly(reset(http2.ErrCodeInternal)), webhooksv1.Reason_REASON_CONNECTION_CLOSED, 1},
		"canceled by them":        {firstly(reset(http2.ErrCodeCancel)), webhooksv1.Reason_REASON_CONNECTION_CLOSED, 1},
		"told to slow down":       {firstly(reset(http2.ErrCodeEnhanceYourCalm)), webhooksv1.Reason_REASON_CONNECTION_CLOSED, 1},
		"a protocol error":        {firstly(reset(http2.ErrCodeProtocol)), webhooksv1.Reason_REASON_CONNECTION_CLOSED, 1},
		"the connection is ended": {firstly(func(frames, uint32, int32) error { return io.EOF }), webhooksv1.Reason_REASON_CONNECTION_CLOSED, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen atomic.Int32
			server := http2Server(t, ca, func(f frames, stream uint32, n int32) error {
				seen.Store(n)
				return test.request(f, stream, n)
			})
			result := post(t, newClient(t, Options{RootCAs: ca.pool()}), server)
			if test.reason == 0 {
				wantStatus(t, http.StatusOK, result)
			} else {
				wantReason(t, test.reason, result)
			}
			assert.Equal(t, test.seen, seen.Load(), "how often the POST was sent")
		})
	}
}

// respondTo is respond with the signature of a refusal.
func (f frames) respondTo(stream uint32, _ int32) error { return f.respond(stream) }

func TestCase16_GoAwayThatCoversTheRequest(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	server := http2Server(t, ca, func(f frames, stream uint32, _ int32) error {
		if err := f.WriteGoAway(stream, http2.ErrCodeNo, nil); err != nil {
			return err
		}
		return f.respond(stream)
	})
	client := newClient(t, Options{RootCAs: ca.pool()})
	for range 3 {
		wantStatus(t, http.StatusOK, post(t, client, server))
	}
}

func TestHTTP2ConnectionIsShared(t *testing.T) {
	t.Parallel()
	server, pool := serveTLS(t, "HTTP/2.0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	client := newClient(t, Options{RootCAs: pool})
	var dials atomic.Int32
	dial := client.dialer.connect
	client.dialer.connect = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return dial(ctx, network, address)
	}
	wantStatus(t, http.StatusOK, post(t, client, server.URL))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			result := post(t, client, server.URL)
			wantStatus(t, http.StatusOK, result)
			assert.JSONEq(t, `{"event":"webhook.test"}`, string(result.Body))
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1, dials.Load())
}

func TestHTTP2FirstRequestsAllAtOnce(t *testing.T) {
	t.Parallel()
	server, pool := serveTLS(t, "HTTP/2.0", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	client := newClient(t, Options{RootCAs: pool})
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() { wantStatus(t, http.StatusOK, post(t, client, server.URL)) })
	}
	wg.Wait()
}

func TestReceiverThatGivesUpHTTP2(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	closed := make(chan struct{}, 1)
	plain := rawServer(t, func(n int, conn net.Conn) {
		config := &tls.Config{Certificates: []tls.Certificate{ca.sign(t, nil)}, NextProtos: []string{"http/1.1"}}
		if n != 1 {
			secured := tls.Server(conn, config)
			for r := bufio.NewReader(secured); readRequest(r); {
				_, _ = io.WriteString(secured, ok)
			}
			return
		}
		config.NextProtos = []string{"h2"}
		secured := tls.Server(conn, config)
		talkHTTP2(secured, func(f frames, stream uint32) error { return errors.Join(f.respond(stream), io.EOF) })
		_ = secured.Close()
		closed <- struct{}{}
	})
	client := newClient(t, Options{RootCAs: ca.pool()})
	target := strings.Replace(plain, "http:", "https:", 1)
	wantStatus(t, http.StatusOK, post(t, client, target))
	<-closed
	assert.Eventually(t, func() bool { // one may still meet the connection that was closed
		return post(t, client, target).StatusCode == http.StatusOK
	}, long, time.Millisecond)
	wantStatus(t, http.StatusOK, post(t, client, target))
	assert.False(t, client.habits.of(hostOf(parse(t, target))).http2)
}
