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

func TestCase14_ConnectionEndsBeforeTheResponse(t *testing.T) {
	t.Parallel()
	endings := map[string]func(net.Conn){
		"reset":             reset,
		"closed":            func(conn net.Conn) { _ = conn.Close() },
		"in the first line": func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 20") },
		"reset in the first line": func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 O")
			reset(conn)
		},
		"after an informational response": func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n") },
	}
	for name, end := range endings {
		for _, kept := range []bool{false, true} {
			t.Run(map[bool]string{false: "fresh, ", true: "kept alive, "}[kept]+name, func(t *testing.T) {
				t.Parallel()
				var requests atomic.Int32
				server := rawServer(t, func(_ int, conn net.Conn) {
					r := bufio.NewReader(conn)
					if kept && readRequest(r) {
						_, _ = io.WriteString(conn, ok)
					}
					if readRequest(r) {
						requests.Add(1)
						end(conn)
					}
				})
				client := newClient(t, Options{})
				if kept {
					wantStatus(t, http.StatusOK, post(t, client, server))
				}
				wantReason(t, webhooksv1.Reason_REASON_CONNECTION_CLOSED, post(t, client, server))
				assert.EqualValues(t, 1, requests.Load(), "the POST was repeated")
			})
		}
	}
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

func TestCase17_KeptAliveConnectionClosedWhileIdle(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 1)
	var conns, requests atomic.Int32
	server := rawServer(t, func(_ int, conn net.Conn) {
		conns.Add(1)
		if answer(conn, ok) {
			requests.Add(1)
		}
		_ = conn.Close()
		closed <- struct{}{}
	})
	client := newClient(t, Options{})
	failures := 0
	const rounds = 50
	for range rounds {
		result := post(t, client, server)
		if result.StatusCode == 0 { // it met the connection that was just closed
			wantReason(t, webhooksv1.Reason_REASON_CONNECTION_CLOSED, result)
			failures++
			continue
		}
		<-closed
	}
	assert.LessOrEqual(t, conns.Load(), int32(rounds), "no storm of connections")
	assert.LessOrEqual(t, requests.Load(), int32(rounds), "no POST was repeated")
	assert.Less(t, failures, rounds)
}

// failingConn answers one request and then behaves like a connection that died
// while idle and has not noticed: writing fails before a byte has left.
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

func TestCase17_SentAgainOnlyWhenNothingWasWritten(t *testing.T) {
	t.Parallel()
	for _, partly := range []bool{false, true} {
		server := rawServer(t, func(_ int, conn net.Conn) {
			for r := bufio.NewReader(conn); readRequest(r); {
				_, _ = io.WriteString(conn, ok)
			}
		})
		client := newClient(t, Options{})
		var dials atomic.Int32
		dial := client.dialer.dial
		client.dialer.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil || dials.Add(1) > 1 {
				return conn, err
			}
			return &failingConn{Conn: conn, partly: partly}, nil
		}
		wantStatus(t, http.StatusOK, post(t, client, server))
		if partly {
			wantReason(t, webhooksv1.Reason_REASON_CONNECTION_CLOSED, post(t, client, server))
			continue
		}
		wantStatus(t, http.StatusOK, post(t, client, server))
		assert.EqualValues(t, 2, dials.Load())
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
			assert.Len(t, got, size)
			_, _ = io.WriteString(w, "thanks")
		})
		client := newClient(t, Options{})
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
		assert.LessOrEqual(t, conns.opened.Load(), int32(2*workers))
	}
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	client := newClient(t, Options{MaxIdleConns: 3, MaxIdleConnsPerHost: 1})
	var all connCounter
	for range 6 {
		server := all.serve(t, func(http.ResponseWriter, *http.Request) {})
		wantStatus(t, http.StatusOK, post(t, client, server.URL))
		wantStatus(t, http.StatusOK, post(t, client, server.URL))
	}
	assert.EqualValues(t, 6, all.opened.Load())
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
		assert.Equal(t, Result{Canceled: true}, result)
	})
	t.Run("while waiting", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		server := rawServer(t, func(_ int, conn net.Conn) {
			readRequest(bufio.NewReader(conn))
			cancel()
			untilClosed(conn)
		})
		assert.Equal(t, Result{Canceled: true}, client.Post(ctx, Call{URL: parse(t, server)}))
	})
	t.Run("by the caller's own deadline", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		server := rawServer(t, func(_ int, conn net.Conn) { untilClosed(conn) })
		assert.Equal(t, Result{Canceled: true}, client.Post(ctx, Call{URL: parse(t, server)}))
	})
	t.Run("not after the status line", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		server := rawServer(t, func(_ int, conn net.Conn) {
			answer(conn, "HTTP/1.1 200 OK\r\nX-Slow: ")
			untilClosed(conn)
		})
		assert.Equal(t, Result{StatusCode: 200, Truncated: true}, client.Post(ctx, Call{URL: parse(t, server)}))
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
