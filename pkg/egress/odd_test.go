package egress

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/zap"
	"golang.org/x/net/http2"
)

// oddReceiver is one that public bug reports of other senders tell of.
type oddReceiver struct {
	name   string
	status int
	// resent says that the first requests may arrive twice: until it is known that its connections cannot be kept.
	resent bool
	serve  func(t *testing.T, ca *authority, arrived *atomic.Int32) string
}

// work is how long a receiver takes for a request.
const work = 2 * time.Millisecond

func oddReceivers() []oddReceiver {
	plain := func(talk func(conn net.Conn, r *bufio.Reader, arrived func() bool)) func(*testing.T, *authority, *atomic.Int32) string {
		return func(t *testing.T, _ *authority, arrived *atomic.Int32) string {
			t.Helper()
			return rawServer(t, func(_ int, conn net.Conn) {
				r := bufio.NewReader(conn)
				talk(conn, r, func() bool {
					if !readRequest(r) {
						return false
					}
					arrived.Add(1)
					<-time.After(work)
					return true
				})
			})
		}
	}
	say := func(conn net.Conn, text string) { _, _ = io.WriteString(conn, text) }
	return []oddReceiver{
		{"well-behaved", 200, false, plain(func(conn net.Conn, _ *bufio.Reader, arrived func() bool) {
			for arrived() {
				say(conn, ok)
			}
		})},
		{"closes 1 ms after the response", 200, true, plain(func(conn net.Conn, _ *bufio.Reader, arrived func() bool) {
			if arrived() {
				say(conn, ok)
				<-time.After(time.Millisecond)
			}
		})},
		{"closes when the next request comes", 200, true, plain(func(conn net.Conn, r *bufio.Reader, arrived func() bool) {
			if arrived() {
				say(conn, ok)
				_, _ = r.ReadByte()
			}
		})},
		{"resets when the next request comes", 200, true, plain(func(conn net.Conn, r *bufio.Reader, arrived func() bool) {
			if arrived() {
				say(conn, ok)
				_, _ = r.ReadByte()
				reset(conn)
			}
		})},
		{"sends the body of a 204 by itself", 204, true, plain(func(conn net.Conn, _ *bufio.Reader, arrived func() bool) {
			for arrived() {
				say(conn, "HTTP/1.1 204 No Content\r\n\r\n")
				<-time.After(time.Millisecond)
				say(conn, "ok")
			}
		})},
		{"answers a second time", 500, true, plain(func(conn net.Conn, _ *bufio.Reader, arrived func() bool) {
			for arrived() {
				say(conn, "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
				<-time.After(time.Millisecond)
				say(conn, ok)
			}
		})},
		{"answers HTTP/1.0", 200, false, plain(func(conn net.Conn, _ *bufio.Reader, arrived func() bool) {
			if arrived() {
				say(conn, "HTTP/1.0 200 OK\r\n\r\nok")
			}
		})},
		{"takes one HTTP/2 stream at a time", 200, false, oneStream},
		{"asks for HTTP/1.1", 200, false, asksForHTTP11},
		{"ends HTTP/2 connections after a response", 200, true, func(t *testing.T, ca *authority, arrived *atomic.Int32) string {
			t.Helper()
			return http2Server(t, ca, func(f frames, stream uint32, _ int32) error {
				arrived.Add(1)
				<-time.After(work)
				return errors.Join(f.respond(stream), io.EOF)
			})
		}},
	}
}

// oneStream is an HTTP/2 receiver that refuses a second stream while it is at work.
func oneStream(t *testing.T, ca *authority, arrived *atomic.Int32) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, 2, r.ProtoMajor)
		_, _ = io.Copy(io.Discard, r.Body)
		arrived.Add(1)
		<-time.After(work)
		_, _ = io.WriteString(w, "ok")
	}))
	server.EnableHTTP2 = true
	server.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1}
	server.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.sign(t, nil)}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// asksForHTTP11 is a receiver that speaks HTTP/2 only to say that it does not like to.
func asksForHTTP11(t *testing.T, ca *authority, arrived *atomic.Int32) string {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{ca.sign(t, nil)}, NextProtos: []string{"h2", "http/1.1"}}
	plain := rawServer(t, func(_ int, conn net.Conn) {
		secured := tls.Server(conn, config)
		if secured.HandshakeContext(t.Context()) != nil {
			return
		}
		if secured.ConnectionState().NegotiatedProtocol == "h2" {
			talkHTTP2(secured, func(f frames, stream uint32) error { return f.WriteRSTStream(stream, http2.ErrCodeHTTP11Required) })
			return
		}
		for r := bufio.NewReader(secured); readRequest(r); {
			arrived.Add(1)
			<-time.After(work)
			_, _ = io.WriteString(secured, ok)
		}
	})
	return strings.Replace(plain, "http:", "https:", 1)
}

// TestB2OddReceivers makes 300 attempts, 32 at once, to each of the odd receivers, and again when it is known how it
// likes to be talked to. None fails, none gets the answer to another, hardly any is sent twice, and all take at most
// three times as long as with a receiver that behaves well.
func TestB2OddReceivers(t *testing.T) {
	const attempts, atOnce = 300, 32
	wave := func(client *Client, target string, want int) (took time.Duration, resent int32) {
		u := parse(t, target)
		var left, again atomic.Int32
		left.Store(attempts)
		started := time.Now()
		var wg sync.WaitGroup
		for range atOnce {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					result := client.Post(t.Context(), Call{URL: u, Body: []byte("{}")})
					assert.Equal(t, want, result.StatusCode, result.Detail)
					if result.Resent {
						again.Add(1)
					}
				}
			})
		}
		wg.Wait()
		return time.Since(started), again.Load()
	}
	const waves, mostWaves = 3, 12 // the machine may be busy with something else
	var usual time.Duration
	for _, odd := range oddReceivers() {
		t.Run(odd.name, func(t *testing.T) {
			ca := newAuthority(t)
			client := newClient(t, Options{RootCAs: ca.pool()})
			var arrived atomic.Int32
			target := odd.serve(t, ca, &arrived)
			best, limit := time.Hour, 2*time.Hour
			if usual > 0 && strings.HasPrefix(target, "http:") { // with TLS, most of the time is the handshakes' on both sides
				limit = 3*usual + 200*time.Millisecond
			}
			for n := 0; n < waves || (n < mostWaves && best >= limit); n++ {
				arrived.Store(0)
				took, resent := wave(client, target, odd.status)
				best = min(best, took)
				t.Logf("wave %d: %v, %d sent again, %d arrived", n+1, took, resent, arrived.Load())
				assert.LessOrEqual(t, arrived.Load(), attempts+resent, "POSTs that no result tells of")
				if odd.resent {
					assert.LessOrEqual(t, resent, int32(atOnce), "not more than were under way when it was learned")
				} else {
					assert.Equal(t, int32(attempts), arrived.Load())
				}
			}
			assert.Less(t, best, limit)
			if usual == 0 {
				usual = best
			}
		})
	}
}
