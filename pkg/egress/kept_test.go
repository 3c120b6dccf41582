package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// overBoth runs a test with receivers that are talked to in the clear and over TLS.
func overBoth(t *testing.T, test func(t *testing.T, client *Client, serve func(talk func(n int, conn net.Conn)) string)) {
	t.Helper()
	t.Run("http", func(t *testing.T) {
		t.Parallel()
		test(t, newClient(t, Options{}), func(talk func(int, net.Conn)) string { return rawServer(t, talk) })
	})
	t.Run("https", func(t *testing.T) {
		t.Parallel()
		ca := newAuthority(t)
		config := &tls.Config{Certificates: []tls.Certificate{ca.sign(t, nil)}}
		test(t, newClient(t, Options{RootCAs: ca.pool()}), func(talk func(int, net.Conn)) string {
			plain := rawServer(t, func(n int, conn net.Conn) { talk(n, tls.Server(conn, config)) })
			return strings.Replace(plain, "http:", "https:", 1)
		})
	})
}

func TestCase17_ConnectionThatTheReceiverHasClosedIsNotUsed(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, client *Client, serve func(func(int, net.Conn)) string) {
		t.Helper()
		closed := make(chan struct{}, 1)
		server := serve(func(_ int, conn net.Conn) {
			answer(conn, ok)
			_ = conn.Close()
			closed <- struct{}{}
		})
		for range 20 {
			wantStatus(t, http.StatusOK, post(t, client, server))
			<-closed
		}
	})
}

func TestAConnectionIsUsedAgainAndAgain(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, client *Client, serve func(func(int, net.Conn)) string) {
		t.Helper()
		var conns atomic.Int32
		server := serve(func(_ int, conn net.Conn) {
			conns.Add(1)
			for r := bufio.NewReader(conn); readRequest(r); {
				_, _ = io.WriteString(conn, ok)
			}
		})
		befriend(t, client, server)
		target := parse(t, server)
		for _, size := range []int{0, 10, 12 << 10, 12<<10 + 1, 1 << 20, 10} {
			wantStatus(t, http.StatusOK, client.Post(t.Context(), Call{URL: target, Body: make([]byte, size)}))
		}
		assert.EqualValues(t, 2, conns.Load())
	})
}

func TestWhatWasNotAskedForEndsAConnection(t *testing.T) {
	t.Parallel()
	const unasked = "HTTP/1.1 500 Not Asked For\r\nContent-Length: 0\r\n\r\n"
	for name, pause := range map[string]time.Duration{"at once": 0, "later": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, func(t *testing.T, client *Client, serve func(func(int, net.Conn)) string) {
				t.Helper()
				said := make(chan struct{}, 1)
				var conns atomic.Int32
				server := serve(func(n int, conn net.Conn) {
					conns.Store(int32(n))
					r := bufio.NewReader(conn)
					for readRequest(r) {
						_, _ = io.WriteString(conn, ok)
						<-time.After(pause)
						_, _ = io.WriteString(conn, unasked)
						said <- struct{}{}
					}
				})
				for n := range int32(5) {
					wantStatus(t, http.StatusOK, post(t, client, server))
					assert.Equal(t, n+1, conns.Load())
					<-said
				}
			})
		})
	}
}

func TestReceiverThatAnswersALargeRequestEarly(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, client *Client, serve func(func(int, net.Conn)) string) {
		t.Helper()
		over := make(chan struct{})
		server := serve(func(_ int, conn net.Conn) {
			defer close(over)
			_, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
			_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
			<-time.After(short) // longer than the rest of a request is waited for
			untilClosed(conn)
		})
		result := client.Post(t.Context(), Call{URL: parse(t, server), Body: make([]byte, 64<<20)})
		wantStatus(t, http.StatusRequestEntityTooLarge, result)
		assert.Equal(t, "large", string(result.Body))
		<-over // the connection was closed in the middle of the request
	})
}

// brokenConn cannot be written to beyond its first bytes.
type brokenConn struct{ net.Conn }

func (c brokenConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p[:10])
	return n, errors.Join(err, syscall.EPIPE)
}

func TestLastWordsAreHeard(t *testing.T) {
	t.Parallel()
	for name, words := range map[string]string{"some": "HTTP/1.1 408 Too Slow\r\nContent-Length: 0\r\n\r\n", "none": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := rawServer(t, func(_ int, conn net.Conn) {
				_, _ = io.WriteString(conn, words)
				untilClosed(conn)
			})
			client := newClient(t, Options{})
			dial := client.dialer.connect
			client.dialer.connect = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				return brokenConn{conn}, err
			}
			result := post(t, client, server)
			if words == "" {
				wantReason(t, webhooksv1.Reason_REASON_CONNECTION_CLOSED, result)
				return
			}
			wantStatus(t, http.StatusRequestTimeout, result)
		})
	}
}

// closings is a receiver that says when one of its connections has ended.
func closings(tb testing.TB) (server string, closed chan int) {
	tb.Helper()
	closed = make(chan int, 16)
	return rawServer(tb, func(n int, conn net.Conn) {
		for r := bufio.NewReader(conn); readRequest(r); {
			_, _ = io.WriteString(conn, ok)
		}
		closed <- n
	}), closed
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	t.Run("after a while", func(t *testing.T) {
		t.Parallel()
		client := newClient(t, Options{IdleTimeout: 50 * time.Millisecond})
		server, closed := closings(t)
		for n := range 3 {
			wantStatus(t, http.StatusOK, post(t, client, server))
			assert.Equal(t, n+1, <-closed)
		}
	})
	t.Run("the oldest for another host's", func(t *testing.T) {
		t.Parallel()
		client := newClient(t, Options{MaxIdleConns: 2})
		first, closed := closings(t)
		second, _ := closings(t)
		third, _ := closings(t)
		for _, server := range []string{second, first, second, third} {
			wantStatus(t, http.StatusOK, post(t, client, server))
		}
		assert.Equal(t, 1, <-closed)
	})
	t.Run("the oldest for another to the same host", func(t *testing.T) {
		t.Parallel()
		client := newClient(t, Options{MaxIdleConnsPerHost: 1})
		arrived, proceed := make(chan struct{}), make(chan struct{})
		closed := make(chan struct{}, 2)
		server := rawServer(t, func(_ int, conn net.Conn) {
			r := bufio.NewReader(conn)
			readRequest(r)
			arrived <- struct{}{}
			<-proceed
			_, _ = io.WriteString(conn, ok)
			untilClosed(conn)
			closed <- struct{}{}
		})
		target := parse(t, server)
		results := make(chan Result)
		for range 2 {
			go func() { results <- client.Post(t.Context(), Call{URL: target}) }()
		}
		<-arrived
		<-arrived
		close(proceed)
		wantStatus(t, http.StatusOK, <-results)
		wantStatus(t, http.StatusOK, <-results)
		<-closed
		assert.Empty(t, closed, "one is kept")
	})
	t.Run("when the client is", func(t *testing.T) {
		t.Parallel()
		client := newClient(t, Options{})
		server, closed := closings(t)
		wantStatus(t, http.StatusOK, post(t, client, server))
		client.Close()
		assert.Equal(t, 1, <-closed)
	})
	t.Run("when the client was, meanwhile", func(t *testing.T) {
		t.Parallel()
		client := newClient(t, Options{})
		closed := make(chan struct{})
		server := rawServer(t, func(_ int, conn net.Conn) {
			readRequest(bufio.NewReader(conn))
			client.Close()
			_, _ = io.WriteString(conn, ok)
			untilClosed(conn)
			close(closed)
		})
		wantStatus(t, http.StatusOK, post(t, client, server))
		<-closed
	})
}
