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
	"slices"
	"strconv"
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
	return f.headers(stream, hpack.HeaderField{Name: ":status", Value: "200"})
}

func (f frames) headers(stream uint32, fields ...hpack.HeaderField) error {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range fields {
		if err := encoder.WriteField(field); err != nil {
			return err
		}
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

func TestB3_HTTP11Required(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(frames, uint32) error{
		"the stream is reset": func(f frames, stream uint32) error { return f.WriteRSTStream(stream, http2.ErrCodeHTTP11Required) },
		"the connection is going away": func(f frames, _ uint32) error {
			return errors.Join(f.WriteGoAway(0, http2.ErrCodeHTTP11Required, nil))
		},
		"it does not speak HTTP/2 at all": func(f frames, _ uint32) error { return f.WriteRawFrame(http2.FrameSettings, 0, 7, []byte("HTTP/1")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca := newAuthority(t)
			var over1, over2 atomic.Int32
			config := &tls.Config{Certificates: []tls.Certificate{ca.sign(t, nil)}, NextProtos: []string{"h2", "http/1.1"}}
			plain := rawServer(t, func(_ int, conn net.Conn) {
				secured := tls.Server(conn, config)
				if secured.HandshakeContext(t.Context()) != nil {
					return
				}
				if secured.ConnectionState().NegotiatedProtocol == "h2" {
					talkHTTP2(secured, func(f frames, stream uint32) error {
						over2.Add(1)
						return refuse(f, stream)
					})
					return
				}
				for r := bufio.NewReader(secured); readRequest(r); {
					over1.Add(1)
					_, _ = io.WriteString(secured, ok)
				}
			})
			client := newClient(t, Options{RootCAs: ca.pool()})
			target := strings.Replace(plain, "http:", "https:", 1)
			first := post(t, client, target)
			if name != "it does not speak HTTP/2 at all" {
				wantStatus(t, http.StatusOK, first)
				assert.True(t, first.Resent)
				assert.Len(t, first.Notes, 1)
			} else {
				wantStatus(t, http.StatusOK, post(t, client, target)) // the next attempt
			}
			seen := over2.Load()
			for range 3 {
				wantStatus(t, http.StatusOK, post(t, client, target))
			}
			assert.Equal(t, seen, over2.Load(), "HTTP/2 is not tried any more")
			assert.LessOrEqual(t, seen, int32(2))
		})
	}
}

func TestHTTP1WhereHTTP2WasAgreed(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	plain := rawServer(t, func(_ int, conn net.Conn) {
		secured := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{ca.sign(t, nil)}, NextProtos: []string{"h2", "http/1.1"}})
		if secured.HandshakeContext(t.Context()) == nil && secured.ConnectionState().NegotiatedProtocol == "h2" {
			_, _ = secured.Read(make([]byte, 1))
			_, _ = io.WriteString(secured, "HTTP/1.1 400 Bad Request\r\n\r\n")
			untilClosed(secured)
			return
		}
		answer(secured, ok)
	})
	target := strings.Replace(plain, "http:", "https:", 1)
	client := newClient(t, Options{RootCAs: ca.pool()})
	wantReason(t, webhooksv1.Reason_REASON_PROTOCOL, post(t, client, target))
	wantStatus(t, http.StatusOK, post(t, client, target))
}

func TestReceiverThatWantedHTTP1AndNowHasOnlyHTTP2(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	var requests atomic.Int32
	config := &tls.Config{Certificates: []tls.Certificate{ca.sign(t, nil)}, NextProtos: []string{"h2"}}
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if !slices.Contains(hello.SupportedProtos, "h2") {
			return nil, errors.New("HTTP/2 only")
		}
		return config, nil
	}
	plain := rawServer(t, func(_ int, conn net.Conn) {
		talkHTTP2(tls.Server(conn, config), func(f frames, stream uint32) error {
			if requests.Add(1) == 1 {
				return f.WriteRSTStream(stream, http2.ErrCodeHTTP11Required)
			}
			return f.respond(stream)
		})
	})
	target := strings.Replace(plain, "http:", "https:", 1)
	client := newClient(t, Options{RootCAs: ca.pool()})
	wantReason(t, webhooksv1.Reason_REASON_TLS, post(t, client, target))
	wantStatus(t, http.StatusOK, post(t, client, target))
}

func TestCase17_KeptHTTP2ConnectionEndsAsTheRequestArrives(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	var dials atomic.Int32
	target := http2Server(t, ca, func(f frames, stream uint32, n int32) error {
		if n == 2 {
			return io.EOF
		}
		return f.respond(stream)
	})
	client := newClient(t, Options{RootCAs: ca.pool()})
	connect := client.dialer.connect
	client.dialer.connect = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return connect(ctx, network, address)
	}
	wantStatus(t, http.StatusOK, post(t, client, target))
	result := post(t, client, target)
	wantStatus(t, http.StatusOK, result)
	assert.True(t, result.Resent)
	for n := range int32(3) { // from now on no connection is kept
		wantStatus(t, http.StatusOK, post(t, client, target))
		assert.Equal(t, 3+n, dials.Load())
	}
	assert.Eventually(t, func() bool {
		_, hosts := pooled(client)
		return hosts == 0
	}, long, time.Millisecond)
}

func TestA15_IdleHTTP2ConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	client := newClient(t, Options{RootCAs: ca.pool(), MaxIdleConns: 3})
	ended := make(chan int, 100)
	config := &tls.Config{Certificates: []tls.Certificate{ca.sign(t, nil)}, NextProtos: []string{"h2"}}
	const receivers = 10
	for i := range receivers {
		plain := rawServer(t, func(_ int, conn net.Conn) {
			talkHTTP2(tls.Server(conn, config), func(f frames, stream uint32) error { return f.respond(stream) })
			ended <- i
		})
		wantStatus(t, http.StatusOK, post(t, client, strings.Replace(plain, "http:", "https:", 1)))
	}
	for range receivers - 3 {
		<-ended
	}
	idle, hosts := pooled(client)
	assert.Equal(t, 3, idle)
	assert.Equal(t, 3, hosts)
	assert.Empty(t, ended)
	client.Close()
	for range 3 {
		<-ended
	}
	idle, hosts = pooled(client)
	assert.Zero(t, idle+hosts)
}

// pooled counts the idle HTTP/2 connections, and the hosts to which there are any.
func pooled(client *Client) (idle, hosts int) {
	client.http2.mu.Lock()
	defer client.http2.mu.Unlock()
	return len(client.http2.idle), len(client.http2.hosts)
}

func TestHTTP2ConnectionsThatTheReceiverEndedAreForgotten(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	client := newClient(t, Options{RootCAs: ca.pool()})
	for range 3 {
		target := http2Server(t, ca, func(f frames, stream uint32, _ int32) error { return errors.Join(f.respond(stream), io.EOF) })
		wantStatus(t, http.StatusOK, post(t, client, target))
	}
	assert.Eventually(t, func() bool {
		idle, hosts := pooled(client)
		return idle+hosts == 0
	}, long, time.Millisecond)
}

func TestHabitsAreBoundedAndForgotten(t *testing.T) {
	t.Parallel()
	var s habits
	for i := range maxHabits + 10 {
		s.learn(host{"https", strconv.Itoa(i)}, speaksHTTP2)
	}
	assert.LessOrEqual(t, len(s.known), maxHabits)

	var h habit
	assert.False(t, h.unkept() || h.onlyHTTP1())
	want := unkeptFor
	for range 10 {
		endsKeptConnections(&h)
		endsKeptConnections(&h) // under way at the same time
		assert.True(t, h.unkept())
		assert.Equal(t, want, h.unkeptFor)
		assert.WithinDuration(t, time.Now().Add(want), h.unkeptUntil, time.Second)
		want = min(2*want, maxUnkeptFor)
		h.unkeptUntil = time.Now()
		assert.False(t, h.unkept())
	}
	asksForHTTP1(&h)
	assert.True(t, h.onlyHTTP1())
	assert.WithinDuration(t, time.Now().Add(onlyHTTP1For), h.onlyHTTP1Until, time.Second)
}
