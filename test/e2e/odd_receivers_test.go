package e2e_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/bson"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/event"
)

// rawReceiver does with its connections whatever it likes; arrived reads a request
// and reports whether there was one.
func rawReceiver(t *testing.T, talk func(conn net.Conn, r *bufio.Reader, arrived func() bool)) (url string, deliveries func() (distinct, posts int)) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		conns []net.Conn
		seen  = map[string]int{}
		posts int
	)
	arrived := func(r *bufio.Reader) bool {
		request, err := http.ReadRequest(r)
		if err != nil {
			return false
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			return false
		}
		assert.Equal(t, "*/*", request.Header.Get("Accept"))
		mu.Lock()
		defer mu.Unlock()
		seen[request.Header.Get("X-Dembrane-Delivery")]++
		posts++
		return true
	}
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				r := bufio.NewReader(conn)
				talk(conn, r, func() bool { return arrived(r) })
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return "http://" + listener.Addr().String() + "/hook", func() (distinct, all int) {
		mu.Lock()
		defer mu.Unlock()
		return len(seen), posts
	}
}

// Each of these once cost failed attempts, open breakers, second POSTs and minutes.
func TestOddReceiversGetEverythingOnceAndSoon(t *testing.T) {
	const (
		ok     = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
		events = 300
	)
	say := func(conn net.Conn, text string) { _, _ = io.WriteString(conn, text) }
	receivers := []struct {
		name string
		talk func(conn net.Conn, r *bufio.Reader, arrived func() bool)
	}{
		{"well-behaved", func(conn net.Conn, _ *bufio.Reader, arrived func() bool) {
			for arrived() {
				say(conn, ok)
			}
		}},
		{"closes 1 ms after the response", func(conn net.Conn, _ *bufio.Reader, arrived func() bool) {
			if arrived() {
				say(conn, ok)
				<-time.After(time.Millisecond)
			}
		}},
		{"closes when the next request comes", func(conn net.Conn, r *bufio.Reader, arrived func() bool) {
			if arrived() {
				say(conn, ok)
				_, _ = r.ReadByte()
			}
		}},
		{"sends the body of a 204 by itself", func(conn net.Conn, _ *bufio.Reader, arrived func() bool) {
			for arrived() {
				say(conn, "HTTP/1.1 204 No Content\r\n\r\n")
				<-time.After(time.Millisecond)
				say(conn, "ok")
			}
		}},
		{"sends headers that are none", func(conn net.Conn, _ *bufio.Reader, arrived func() bool) {
			for arrived() {
				say(conn, "HTTP/1.1 200 OK\r\nthis is no header\r\nContent-Length: -1\r\n\r\n")
			}
		}},
	}
	var usual time.Duration
	for _, odd := range receivers {
		t.Run(odd.name, func(t *testing.T) {
			s := start(t, nil)
			url, deliveries := rawReceiver(t, odd.talk)
			s.registerWith(t, fields{"url": url, "events": event.Types()})

			began := time.Now()
			publishing, ctx := errgroup.WithContext(t.Context())
			publishing.SetLimit(64)
			for range events {
				publishing.Go(func() error { return s.Publisher.Publish(ctx, started()) })
			}
			require.NoError(t, publishing.Wait())
			eventually(t, "everything has arrived", func() bool {
				distinct, _ := deliveries()
				return distinct == events
			})
			took := time.Since(began)
			if usual == 0 {
				usual = took
			}
			assert.Less(t, took, 3*usual+2*time.Second)
			s.wantLogged(t, events)
			failed, err := s.Attempts.CountDocuments(t.Context(), bson.M{"project_id": project, "outcome": bson.M{"$ne": delivered}})
			require.NoError(t, err)
			assert.Zero(t, failed)
			_, posts := deliveries()
			t.Logf("%v, %d POSTs", took, posts)
			assert.Equal(t, events, posts)
		})
	}
}
