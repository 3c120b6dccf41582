package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ok        = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	maxHeader = 64 << 10
)

// newTransport is one with the limits that egress gives it. It counts its dials.
func newTransport(tb testing.TB) (*Transport, *atomic.Int32) {
	tb.Helper()
	dials := &atomic.Int32{}
	t := &Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		MaxIdleConns: 100, MaxIdleConnsPerHost: 50, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxHeader,
	}
	tb.Cleanup(t.CloseIdleConnections)
	return t, dials
}

// receiver serves connections as the test likes.
func receiver(tb testing.TB, talk func(conn net.Conn, r *bufio.Reader)) string {
	tb.Helper()
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp4", "127.0.0.1:0")
	require.NoError(tb, err)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		conns []net.Conn
	)
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
				talk(conn, bufio.NewReader(conn))
			})
		}
	})
	tb.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return "http://" + listener.Addr().String() + "/hook?a=b%2Fc"
}

// polite answers every request.
func polite(conn net.Conn, r *bufio.Reader) {
	for readRequest(r) {
		_, _ = io.WriteString(conn, ok)
	}
}

func readRequest(r *bufio.Reader) bool {
	request, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, request.Body)
	return err == nil
}

func newRequest(tb require.TestingT, target, body string) *http.Request {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, target, strings.NewReader(body))
	require.NoError(tb, err)
	request.Header.Set("User-Agent", "test")
	return request
}

// exchanged makes a request and reads the response to its end.
func exchanged(tb testing.TB, t http.RoundTripper, target string) string {
	tb.Helper()
	response, err := t.RoundTrip(newRequest(tb, target, "{}"))
	require.NoError(tb, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(tb, err)
	require.NoError(tb, response.Body.Close())
	return string(body)
}

func pause(d time.Duration) { <-time.After(d) }

// response draws what a receiver may send, in order and out of it.
func response(t *rapid.T) string {
	body := strings.Repeat("b", rapid.SampledFrom([]int{0, 1, 100, readBuffer - 1, readBuffer, 3 * readBuffer}).Draw(t, "length of the body"))
	text := strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n", rapid.IntRange(0, 2).Draw(t, "informational responses"))
	text += rapid.SampledFrom([]string{"HTTP/1.1 ", "HTTP/1.0 "}).Draw(t, "protocol")
	text += rapid.SampledFrom([]string{"200 OK", "204 No Content", "304", "410 Gone", "503 Service Unavailable", "999 Odd", "20"}).Draw(t, "status") + "\r\n"
	text += rapid.SampledFrom([]string{"", "Connection: close\r\n", "Connection: keep-alive\r\n", "connection: Close, x\r\n"}).Draw(t, "connection")
	text += rapid.SampledFrom([]string{"", "Retry-After: 3\r\nretry-after: 4\r\n", "X-Folded: a\r\n b\r\n", " bad: header\r\n", "X: \xff\r\n"}).Draw(t, "header")
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n", len(body), body)
	switch rapid.SampledFrom([]string{"none", "length", "too short", "too long", "chunked", "trailers", "bad chunk", "both"}).Draw(t, "framing") {
	case "length":
		return text + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	case "too short":
		return text + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body)/2, body)
	case "too long":
		return text + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body)+7, body)
	case "chunked":
		return text + "Transfer-Encoding: chunked\r\n\r\n" + chunked + "\r\n"
	case "trailers":
		return text + "Transfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n" + chunked + "X-Late: yes\r\n\r\n"
	case "bad chunk":
		return text + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + chunked
	case "both":
		return text + fmt.Sprintf("Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n", len(body)) + chunked + "\r\n"
	default:
		return text + "\r\n" + body
	}
}

// TestHeldAgainstNetHTTP sends the same requests through both, to receivers that answer the same. Requests must be the
// same to the byte. Responses must be the same where net/http has one; where it has none, ours has nothing but a
// status and what could be read of the headers.
func TestHeldAgainstNetHTTP(t *testing.T) {
	t.Parallel()
	var script atomic.Value
	requests := make(chan []byte, 1)
	target := receiver(t, func(conn net.Conn, _ *bufio.Reader) {
		var seen bytes.Buffer
		readRequest(bufio.NewReader(io.TeeReader(conn, &seen)))
		text, _ := script.Load().(string)
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
		requests <- seen.Bytes()
	})
	ours, _ := newTransport(t)
	theirs := &http.Transport{DisableCompression: true, MaxIdleConns: 100, MaxResponseHeaderBytes: maxHeader}
	t.Cleanup(theirs.CloseIdleConnections)
	rapid.Check(t, func(t *rapid.T) {
		script.Store(response(t))
		sent := strings.Repeat("r", rapid.SampledFrom([]int{0, 2, inlineBody, inlineBody + 1}).Draw(t, "length of the request"))
		exchange := func(transport http.RoundTripper) (*http.Response, []byte, error) {
			request := newRequest(t, target, sent)
			request.Close = true // or net/http logs what comes after the answer
			response, err := transport.RoundTrip(request)
			if err != nil {
				return nil, nil, err
			}
			body, err := io.ReadAll(response.Body)
			require.NoError(t, response.Body.Close())
			return response, body, err
		}
		got, gotBody, gotErr := exchange(ours) //nolint:bodyclose // it is closed
		gotRequest := <-requests
		want, wantBody, wantErr := exchange(theirs) //nolint:bodyclose // it is closed
		wantRequest := <-requests
		assert.Equal(t, string(wantRequest), string(gotRequest))
		if want == nil {
			assert.True(t, got == nil || gotErr != nil, "net/http says %v, this %+v", wantErr, got)
			return
		}
		require.NotNil(t, got, "%v", gotErr)
		assert.Equal(t, want.StatusCode, got.StatusCode)
		assert.Equal(t, want.Header, got.Header)
		assert.Equal(t, want.Trailer, got.Trailer)
		assert.Equal(t, want.Close, got.Close)
		assert.Equal(t, want.ContentLength, got.ContentLength)
		assert.Equal(t, string(wantBody), string(gotBody))
		assert.Equal(t, wantErr == nil, gotErr == nil, "net/http says %v, this %v", wantErr, gotErr)
	})
}

// Both keep a connection that can be used again, and both let go of one that cannot.
func TestBothKeepConnections(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]struct {
		text string
		kept bool
	}{
		"with a length":        {ok, true},
		"without a body":       {"HTTP/1.1 204 No Content\r\n\r\n", true},
		"in chunks":            {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
		"after an early hint":  {"HTTP/1.1 103 Early Hints\r\n\r\n" + ok, true},
		"HTTP/1.0, kept alive": {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", true},
		"HTTP/1.0":             {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		"closing":              {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, dials := newTransport(t)
			theirs := &http.Transport{DialContext: ours.DialContext, DisableCompression: true}
			t.Cleanup(theirs.CloseIdleConnections)
			var seen [2]recorder
			var which atomic.Int32
			target := receiver(t, func(conn net.Conn, _ *bufio.Reader) {
				for r := bufio.NewReader(io.TeeReader(conn, &seen[which.Load()])); readRequest(r); {
					_, _ = io.WriteString(conn, answer.text)
				}
			})
			for i, transport := range []http.RoundTripper{ours, theirs} {
				which.Store(int32(i))
				for range trustAfter { // which is nothing to net/http
					exchanged(t, transport, target)
					pause(settle + 10*time.Millisecond)
				}
				dials.Store(0)
				for range 3 {
					exchanged(t, transport, target)
					pause(time.Millisecond) // until an end of the connection has arrived
				}
				assert.Equal(t, answer.kept, dials.Load() == 0, "%T made %d connections", transport, dials.Load())
			}
			assert.Equal(t, seen[1].text(), seen[0].text())
		})
	}
}

// recorder keeps what is written to it.
type recorder struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes.Write(p)
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes.String()
}

func TestErrorsSayWhatHappened(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		talk func(net.Conn, *bufio.Reader)
		want Error
	}{
		"closed": {
			func(_ net.Conn, r *bufio.Reader) { readRequest(r) },
			Error{Err: io.ErrUnexpectedEOF, Sent: true, Broken: true},
		},
		"closed in the status line": {
			func(conn net.Conn, r *bufio.Reader) {
				readRequest(r)
				_, _ = io.WriteString(conn, "HTTP/1.1 20")
			},
			Error{Err: io.ErrUnexpectedEOF, Sent: true, Broken: true, Answered: true},
		},
		"not HTTP": {
			func(conn net.Conn, r *bufio.Reader) {
				readRequest(r)
				_, _ = io.WriteString(conn, "220 mail.example ESMTP\r\n")
			},
			Error{Err: ErrMalformed, Sent: true, Broken: true, Answered: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport, _ := newTransport(t)
			_, err := transport.RoundTrip(newRequest(t, receiver(t, test.talk), "{}")) //nolint:bodyclose // there is none
			failed, ok := errors.AsType[*Error](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, test.want, *failed)
		})
	}
}

func TestRequestBodyIsClosedWhenNothingIsSent(t *testing.T) {
	t.Parallel()
	transport, _ := newTransport(t)
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrClosedPipe }
	closed := false
	request := newRequest(t, "http://127.0.0.1:1/", "{}")
	request.Body = closing{&closed}
	_, err := transport.RoundTrip(request) //nolint:bodyclose // there is none
	require.ErrorIs(t, err, io.ErrClosedPipe, "as the dial function said it")
	assert.True(t, closed)
}

type closing struct{ closed *bool }

func (closing) Read([]byte) (int, error) { return 0, io.EOF }

func (c closing) Close() error {
	*c.closed = true
	return nil
}

func TestABodyThatIsClosedEarlyCostsTheConnection(t *testing.T) {
	t.Parallel()
	transport, dials := newTransport(t)
	target := receiver(t, polite)
	for n := range int32(2) {
		response, err := transport.RoundTrip(newRequest(t, target, "{}"))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.NoError(t, response.Body.Close())
		_, err = response.Body.Read(make([]byte, 1))
		require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
		pause(settle + 10*time.Millisecond)
		assert.Equal(t, n+1, dials.Load())
	}
}
