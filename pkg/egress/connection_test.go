package egress

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// connCounter counts the connections that a test server accepts.
type connCounter struct{ opened atomic.Int32 }

func (c *connCounter) serve(tb testing.TB, handler http.HandlerFunc) *httptest.Server {
	tb.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			c.opened.Add(1)
		}
	}
	server.Start()
	tb.Cleanup(server.Close)
	return server
}

// endings are how a connection may end after a request, and whether something of a response had come before.
func endings() map[string]struct {
	end      func(net.Conn)
	answered bool
} {
	type ending = struct {
		end      func(net.Conn)
		answered bool
	}
	return map[string]ending{
		"reset":             {reset, false},
		"closed":            {func(conn net.Conn) { _ = conn.Close() }, false},
		"in the first line": {func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 20") }, true},
		"after an informational response": {func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		}, true},
	}
}

func TestCase14_NewConnectionEndsBeforeTheResponse(t *testing.T) {
	t.Parallel()
	for name, ending := range endings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			server := rawServer(t, func(_ int, conn net.Conn) {
				if readRequest(bufio.NewReader(conn)) {
					requests.Add(1)
					ending.end(conn)
				}
			})
			result := post(t, newClient(t, Options{}), server)
			wantReason(t, webhooksv1.Reason_REASON_CONNECTION_CLOSED, result)
			assert.Equal(t, webhooksv1.Phase_PHASE_WAIT, result.Timing.Ended)
			assert.False(t, result.Resent)
			assert.EqualValues(t, 1, requests.Load(), "the POST was repeated")
		})
	}
}

func TestCase17_KeptConnectionEndsAsTheRequestArrives(t *testing.T) {
	t.Parallel()
	for name, ending := range endings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests, conns atomic.Int32
			server := rawServer(t, func(_ int, conn net.Conn) {
				conns.Add(1)
				r := bufio.NewReader(conn)
				if !readRequest(r) {
					return
				}
				requests.Add(1)
				_, _ = io.WriteString(conn, ok)
				if readRequest(r) {
					requests.Add(1)
					ending.end(conn)
				}
			})
			client := newClient(t, Options{})
			befriend(t, client, server)
			result := post(t, client, server)
			if ending.answered {
				wantReason(t, webhooksv1.Reason_REASON_CONNECTION_CLOSED, result)
				assert.False(t, result.Resent)
				assert.EqualValues(t, 3, requests.Load())
				return
			}
			wantStatus(t, http.StatusOK, result)
			assert.True(t, result.Resent)
			assert.Len(t, result.Notes, 1)
			assert.EqualValues(t, 4, requests.Load(), "once more, over a new connection")
			assert.EqualValues(t, 3, conns.Load())

			for n := range int32(3) { // from now on no connection is kept
				result = post(t, client, server)
				wantStatus(t, http.StatusOK, result)
				assert.False(t, result.Resent)
				assert.Equal(t, 4+n, conns.Load())
				<-time.After(60 * time.Millisecond)
			}
		})
	}
}

func TestCase17_WhatIsNotAnAnswerIsNoReasonToSendTwice(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	var astray atomic.Bool
	server := rawServer(t, func(_ int, conn net.Conn) {
		for r := bufio.NewReader(conn); readRequest(r); {
			requests.Add(1)
			if astray.Load() {
				_, _ = io.WriteString(conn, "this is not HTTP\r\n")
			}
			_, _ = io.WriteString(conn, ok)
		}
	})
	client := newClient(t, Options{})
	befriend(t, client, server)
	astray.Store(true)
	result := post(t, client, server)
	wantReason(t, webhooksv1.Reason_REASON_PROTOCOL, result)
	assert.False(t, result.Resent)
	assert.EqualValues(t, 3, requests.Load())
	assert.False(t, client.habits.of(hostOf(parse(t, server))).unkept())
}

func TestCase15_ConnectionEndsAfterTheStatusLine(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		response string
		body     string
	}{
		"in the headers":         {"HTTP/1.1 200 OK\r\nContent-Le", ""},
		"before the headers end": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", ""},
		"right after the line":   {"HTTP/1.1 200 OK\r\n", ""},
		"before the body":        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", ""},
		"in the body":            {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "half"},
		"in a chunk":             {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf", "half"},
		"before the last chunk":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "half"},
		"in a malformed chunk":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n", "half"},
	}
	for name, test := range tests {
		for how, end := range map[string]func(net.Conn){"closed": func(conn net.Conn) { _ = conn.Close() }, "reset": reset} {
			t.Run(how+" "+name, func(t *testing.T) {
				t.Parallel()
				server := rawServer(t, func(_ int, conn net.Conn) {
					answer(conn, test.response)
					end(conn)
				})
				result := post(t, newClient(t, Options{}), server)
				if how == "reset" && result.StatusCode == 0 {
					// A reset may overtake what was sent before it: then the client
					// has never seen the status line.
					wantReason(t, webhooksv1.Reason_REASON_CONNECTION_CLOSED, result)
					return
				}
				wantStatus(t, http.StatusOK, result)
				assert.True(t, result.Truncated)
				assert.True(t, strings.HasPrefix(test.body, string(result.Body)))
			})
		}
	}
}

func TestCase17_KeptConnectionClosedWhileIdle(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := rawServer(t, func(_ int, conn net.Conn) {
		if answer(conn, ok) {
			requests.Add(1)
		}
	})
	client := newClient(t, Options{})
	for range 10 {
		result := post(t, client, server)
		wantStatus(t, http.StatusOK, result)
		assert.False(t, result.Resent, "nothing was sent on a connection that is closed")
		<-time.After(55 * time.Millisecond)
	}
	assert.EqualValues(t, 10, requests.Load())
}

// failingConn answers one request and then behaves like a connection that died
// while idle and has not noticed.
type failingConn struct {
	net.Conn

	writes atomic.Int32
	partly bool
}

func (c *failingConn) Write(p []byte) (int, error) {
	if c.writes.Add(1) == 1 {
		return c.Conn.Write(p)
	}
	if c.partly {
		n, err := c.Conn.Write(p[:10])
		return n, errors.Join(err, syscall.EPIPE)
	}
	return 0, syscall.EPIPE
}

func TestCase17_KeptConnectionThatCannotBeWrittenTo(t *testing.T) {
	t.Parallel()
	for _, partly := range []bool{false, true} {
		server := rawServer(t, func(_ int, conn net.Conn) {
			for r := bufio.NewReader(conn); readRequest(r); {
				_, _ = io.WriteString(conn, ok)
			}
		})
		client := newClient(t, Options{})
		var dials atomic.Int32
		dial := client.dialer.connect
		client.dialer.connect = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil || dials.Add(1) > 2 {
				return conn, err
			}
			return &failingConn{Conn: conn, partly: partly}, nil
		}
		befriend(t, client, server)
		result := post(t, client, server)
		wantStatus(t, http.StatusOK, result)
		assert.True(t, result.Resent)
		assert.EqualValues(t, 3, dials.Load())
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 100 << 10} {
		const workers = 200
		var conns connCounter
		body := strings.Repeat("x", size)
		server := conns.serve(t, func(w http.ResponseWriter, r *http.Request) {
			got, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Len(t, got, int(r.ContentLength))
			_, _ = io.WriteString(w, "thanks")
		})
		client := newClient(t, Options{})
		befriend(t, client, server.URL)
		target := parse(t, server.URL)
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range 4 {
					wantStatus(t, http.StatusOK, client.Post(t.Context(), Call{URL: target, Body: []byte(body)}))
				}
			})
		}
		wg.Wait()
		// A request that starts a dial may be served by a connection that becomes
		// free meanwhile; the dialled one is then kept for the next.
		assert.LessOrEqual(t, conns.opened.Load(), int32(2*workers+2))
	}
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	client := newClient(t, Options{MaxIdleConns: 3, MaxIdleConnsPerHost: 1})
	var all connCounter
	for range 6 {
		server := all.serve(t, func(http.ResponseWriter, *http.Request) {})
		befriend(t, client, server.URL)
		wantStatus(t, http.StatusOK, post(t, client, server.URL))
	}
	assert.EqualValues(t, 12, all.opened.Load())
}

func TestCanceledAttemptsDoNotCount(t *testing.T) {
	t.Parallel()
	client := newClient(t, Options{})
	t.Run("before", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		server := serve(t, func(http.ResponseWriter, *http.Request) {})
		result := client.Post(ctx, Call{URL: parse(t, server.URL)})
		assert.True(t, result.Canceled)
		assert.Equal(t, "none", result.Reason.Label())
	})
	t.Run("while waiting", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		server := rawServer(t, func(_ int, conn net.Conn) {
			readRequest(bufio.NewReader(conn))
			cancel()
			untilClosed(conn)
		})
		assert.True(t, client.Post(ctx, Call{URL: parse(t, server)}).Canceled)
	})
	t.Run("by the caller's own deadline", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		server := rawServer(t, func(_ int, conn net.Conn) { untilClosed(conn) })
		assert.True(t, client.Post(ctx, Call{URL: parse(t, server)}).Canceled)
	})
	t.Run("not after the status line", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		server := rawServer(t, func(_ int, conn net.Conn) {
			answer(conn, "HTTP/1.1 200 OK\r\nX-Slow: ")
			untilClosed(conn)
		})
		result := client.Post(ctx, Call{URL: parse(t, server)})
		wantStatus(t, http.StatusOK, result)
		assert.True(t, result.Truncated)
	})
}

func TestInvalidHeaderIsOurFault(t *testing.T) {
	t.Parallel()
	server := serve(t, func(http.ResponseWriter, *http.Request) { assert.Fail(t, "a request was made") })
	result := newClient(t, Options{}).Post(t.Context(), Call{
		URL:    parse(t, server.URL),
		Header: http.Header{"X-Bad": {"a\r\nInjected: b"}},
	})
	wantReason(t, webhooksv1.Reason_REASON_INTERNAL, result)
}

func TestRequestIsSentAsGiven(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, "exactly this", string(body))
		assert.Equal(t, http.MethodPost, r.Method)
		assert.Equal(t, "/hook/a%2Fb?token=1", r.URL.RequestURI())
		assert.Equal(t, http.Header{"User-Agent": {"Dembrane-Webhook/1.0"}, "Content-Length": {"12"}}, r.Header)
		w.WriteHeader(http.StatusAccepted)
	})
	header := http.Header{"User-Agent": {"Dembrane-Webhook/1.0"}}
	result := newClient(t, Options{}).Post(t.Context(), Call{
		URL: parse(t, server.URL+"/hook/a%2Fb?token=1#fragment"), Header: header, Body: []byte("exactly this"),
	})
	wantStatus(t, http.StatusAccepted, result)
	assert.Equal(t, http.Header{"User-Agent": {"Dembrane-Webhook/1.0"}}, header)
}

func TestProxyFromTheEnvironmentIsIgnored(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.2:9")
	t.Setenv("http_proxy", "http://127.0.0.2:9")
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	wantStatus(t, http.StatusOK, post(t, newClient(t, Options{}), server.URL))
}

func TestCloseEndsDials(t *testing.T) {
	t.Parallel()
	socket := listenPacket(t)
	client := New(Options{
		Policy: loopbackOnly(), ConnectTimeout: time.Hour, AttemptTimeout: time.Hour,
		Resolver: &net.Resolver{PreferGo: true, Dial: dialTo(t, socket.LocalAddr().String())},
	})
	done := make(chan Result)
	u := parse(t, "http://receiver.example./")
	go func() { done <- client.Post(t.Context(), Call{URL: u}) }()
	_, _, err := socket.ReadFrom(make([]byte, 512)) // the dial is in progress
	require.NoError(t, err)
	client.Close()
	assert.NotEqual(t, "none", (<-done).Reason.Label())
}
