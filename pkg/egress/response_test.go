package egress

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func TestCase01_RedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Int32
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed.Add(1)
			return
		}
		code, err := strconv.Atoi(r.URL.Path[1:])
		assert.NoError(t, err)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
	})
	client := newClient(t, Options{})
	for _, code := range []int{301, 302, 303, 307, 308} {
		result := post(t, client, fmt.Sprintf("%s/%d", server.URL, code))
		wantStatus(t, code, result)
		assert.Equal(t, "/elsewhere", result.Header.Get("Location"))
	}
	assert.Zero(t, followed.Load())
}

func TestCase02_InformationalResponses(t *testing.T) {
	t.Parallel()
	const early = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
	client := newClient(t, Options{})
	t.Run("some before the final one", func(t *testing.T) {
		t.Parallel()
		server := rawServer(t, func(_ int, conn net.Conn) {
			answer(conn, strings.Repeat(early, 20)+"HTTP/1.1 204 No Content\r\n\r\n")
			untilClosed(conn)
		})
		wantStatus(t, http.StatusNoContent, post(t, client, server))
	})
	t.Run("without end", func(t *testing.T) {
		t.Parallel()
		server := rawServer(t, func(_ int, conn net.Conn) {
			for answer(conn, early) {
				if _, err := io.WriteString(conn, strings.Repeat(early, 5000)); err != nil {
					return
				}
			}
		})
		wantReason(t, webhooksv1.Reason_REASON_PROTOCOL, post(t, client, server))
	})
	t.Run("slowly without end", func(t *testing.T) {
		t.Parallel()
		server := rawServer(t, func(_ int, conn net.Conn) {
			answer(conn, early)
			dribble(conn, early)
		})
		wantReason(t, webhooksv1.Reason_REASON_TIMEOUT, post(t, newClient(t, Options{AttemptTimeout: short}), server))
	})
	t.Run("101", func(t *testing.T) {
		t.Parallel()
		server := rawServer(t, func(_ int, conn net.Conn) {
			answer(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
			untilClosed(conn)
		})
		result := post(t, client, server)
		wantReason(t, webhooksv1.Reason_REASON_PROTOCOL, result)
		assert.Contains(t, result.Detail, "101")
	})
}

func TestCase09_SlowLoris(t *testing.T) {
	t.Parallel()
	client := newClient(t, Options{AttemptTimeout: short})
	tests := map[string]struct {
		first, then string
		status      int
		body        string
	}{
		"nothing at all":                         {},
		"a status line that does not end":        {first: "HTTP/1.1 200 O", then: "K"},
		"headers after a status line":            {first: "HTTP/1.1 200 OK\r\n", then: "X-Slow: yes\r\n", status: 200},
		"headers after a failing status line":    {first: "HTTP/1.1 500 Oh\r\n", then: "X-Slow: yes\r\n", status: 500},
		"a bare status line, ended by LF":        {first: "HTTP/1.0 202\n", then: "X-Slow: yes\n", status: 202},
		"headers after an informational one":     {first: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n", then: "a: b\r\n", status: 201},
		"informational headers that do not end":  {first: "HTTP/1.1 103 Early\r\n", then: "Link: HTTP/1.1 200 OK\r\n"},
		"headers after a switch of protocols":    {first: "HTTP/1.1 101 Switching\r\n", then: "a: b\r\n"},
		"a body that stalls":                     {first: "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun", status: 200, body: "begun"},
		"a body that dribbles":                   {first: "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", then: "x", status: 200, body: "x"},
		"a chunked body that stalls in its size": {first: "HTTP/1.1 410 Gone\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngone\r\n", then: "0", status: 410, body: "gone"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := rawServer(t, func(_ int, conn net.Conn) {
				if answer(conn, test.first) && test.then != "" {
					dribble(conn, test.then)
				}
				untilClosed(conn)
			})
			result := post(t, client, server)
			if test.status == 0 {
				wantReason(t, webhooksv1.Reason_REASON_TIMEOUT, result)
				assert.Contains(t, result.Detail, short.String())
				return
			}
			wantStatus(t, test.status, result)
			assert.True(t, result.Truncated)
			assert.True(t, strings.HasPrefix(string(result.Body), test.body), "%q", result.Body)
		})
	}
}

func TestCase09_ReceiverThatDoesNotReadTheRequest(t *testing.T) {
	t.Parallel()
	server := rawServer(t, func(_ int, conn net.Conn) {
		_, _ = bufio.NewReaderSize(conn, 16).Peek(16)
		<-t.Context().Done()
	})
	client := newClient(t, Options{AttemptTimeout: short})
	result := client.Post(t.Context(), Call{URL: parse(t, server), Body: make([]byte, 32<<20)})
	wantReason(t, webhooksv1.Reason_REASON_TIMEOUT, result)
}

func TestCase10_EndlessBodies(t *testing.T) {
	t.Parallel()
	endless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		chunk := bytes.Repeat([]byte("x"), 64<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				return // the client closed the connection or the stream
			}
		}
	})
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			server, pool := serveTLS(t, proto, endless)
			client := newClient(t, Options{RootCAs: pool})
			var wg sync.WaitGroup
			for range 30 {
				wg.Go(func() {
					result := post(t, client, server.URL)
					wantStatus(t, http.StatusOK, result)
					assert.True(t, result.Truncated)
					assert.Len(t, result.Body, maxBody)
					assert.LessOrEqual(t, cap(result.Body), maxBody+maxBody/4)
				})
			}
			wg.Wait()
		})
	}
}

func TestCase10_BodiesAroundTheLimit(t *testing.T) {
	t.Parallel()
	var conns connCounter
	server := conns.serve(t, func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.Atoi(r.URL.Query().Get("size"))
		assert.NoError(t, err)
		if r.URL.Query().Has("chunked") {
			w.WriteHeader(http.StatusOK)
			assert.NoError(t, http.NewResponseController(w).Flush())
		}
		_, _ = w.Write(bytes.Repeat([]byte("x"), size))
	})
	client := newClient(t, Options{})
	befriend(t, client, server.URL+"?size=0")
	for _, query := range []string{"?size=%d", "?chunked&size=%d"} {
		for _, size := range []int{0, 1, maxBody - 1, maxBody} {
			result := post(t, client, server.URL+fmt.Sprintf(query, size))
			wantStatus(t, http.StatusOK, result)
			assert.False(t, result.Truncated, size)
			assert.Len(t, result.Body, size)
		}
	}
	assert.EqualValues(t, 2, conns.opened.Load(), "a body read to its end leaves the connection usable")
	for _, query := range []string{"?size=%d", "?chunked&size=%d"} {
		result := post(t, client, server.URL+fmt.Sprintf(query, maxBody+1))
		wantStatus(t, http.StatusOK, result)
		assert.True(t, result.Truncated)
		assert.Len(t, result.Body, maxBody)
	}
}

func TestCase11_NothingIsDecompressed(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	_, err := zip.Write(make([]byte, 4<<20))
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Empty(t, r.Header.Values("Accept-Encoding"))
		w.Header().Set("Content-Encoding", "gzip")
		if r.URL.Path == "/bomb" {
			_, _ = w.Write(bomb.Bytes())
			return
		}
		_, _ = w.Write([]byte("this is not gzip"))
	})
	client := newClient(t, Options{})
	result := post(t, client, server.URL+"/bomb")
	wantStatus(t, http.StatusOK, result)
	assert.Equal(t, bomb.Bytes(), result.Body)
	assert.Equal(t, "gzip", result.Header.Get("Content-Encoding"))
	result = post(t, client, server.URL+"/lie")
	wantStatus(t, http.StatusOK, result)
	assert.Equal(t, "this is not gzip", string(result.Body))
}

func TestCase12_WhatIsNotHTTP(t *testing.T) {
	t.Parallel()
	client := newClient(t, Options{})
	for name, response := range map[string]string{
		"not HTTP":                  "SSH-2.0-OpenSSH_9.9\r\n",
		"a status of letters":       "HTTP/1.1 abc OK\r\n\r\n",
		"a status of two digits":    "HTTP/1.1 20 OK\r\n\r\n",
		"a status of one thousand":  "HTTP/1.1 1000 OK\r\n\r\n",
		"a status of two thousand":  "HTTP/1.1 2000 OK\r\n\r\n",
		"a status with more to it":  "HTTP/1.1 200OK\r\n\r\n",
		"no status":                 "HTTP/1.1 OK\r\n\r\n",
		"a version from the future": "HTTP/9.1 OK\r\n\r\n",
		"bytes":                     "\x00\x01\x02\x03\r\n\r\n",
		"a status line without end": "HTTP/1.1 200 " + strings.Repeat("x", 2*maxHeader),
		"a TLS record instead":      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"an HTTP/2 preface":         "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"only a bad early hint":     "HTTP/1.1 103 Early Hints\r\nno colon\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := rawServer(t, func(_ int, conn net.Conn) {
				answer(conn, response)
				untilClosed(conn)
			})
			wantReason(t, webhooksv1.Reason_REASON_PROTOCOL, post(t, client, server))
		})
	}
}

// badHeaders are what has been seen after status lines and what net/http refuses, each with a header that can be read.
func badHeaders() map[string]string {
	const wait = "Retry-After: 600\r\n"
	return map[string]string{
		"chunked twice":              wait + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunked, chunked":           wait + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
		"identity":                   wait + "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok",
		"an unknown encoding":        wait + "Transfer-Encoding: gibberish\r\n\r\n",
		"an empty length":            wait + "Content-Length:\r\n\r\n",
		"two lengths":                wait + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nok",
		"a length twice in one":      wait + "Content-Length: 2, 2\r\n\r\nok",
		"a negative length":          wait + "Content-Length: -1\r\n\r\n",
		"a length of words":          wait + "Content-Length: two\r\n\r\nok",
		"no colon":                   "this is no header\r\n" + wait + "\r\n",
		"a blank before a colon":     "X-Odd : yes\r\n" + wait + "\r\n",
		"NUL in a name":              "X\x00: y\r\n" + wait + "\r\n",
		"NUL in a value":             wait + "X-Odd: a\x00b\r\n\r\n",
		"NUL in a value, at first":   "X-Odd: a\x00b\r\n" + wait + "\r\n",
		"a continuation at the head": " folded\r\n" + wait + "\r\n",
		"an empty name":              ": x\r\n" + wait + "\r\n",
		"one huge header":            wait + "X-Huge: " + strings.Repeat("x", 70<<10) + "\r\n\r\n",
		"many headers":               wait + strings.Repeat("X-Many: x\r\n", maxHeader/8) + "\r\n",
		"an end of the connection":   wait + "X-Half: ",
	}
}

func TestCase12_AStatusLineDecidesWhateverFollows(t *testing.T) {
	t.Parallel()
	client := newClient(t, Options{})
	for name, headers := range badHeaders() {
		for _, status := range []int{200, 204, 410, 429, 500} {
			t.Run(fmt.Sprintf("%s, %d", name, status), func(t *testing.T) {
				t.Parallel()
				var requests atomic.Int32
				server := rawServer(t, func(_ int, conn net.Conn) {
					requests.Add(1)
					answer(conn, fmt.Sprintf("HTTP/1.1 %d Odd\r\n%s", status, headers))
				})
				result := post(t, client, server)
				wantStatus(t, status, result)
				assert.Equal(t, "600", result.Header.Get("Retry-After"))
				assert.EqualValues(t, 1, requests.Load())
			})
		}
	}
	t.Run("what was wrong is noted and the connection not used again", func(t *testing.T) {
		t.Parallel()
		var conns atomic.Int32
		server := rawServer(t, func(_ int, conn net.Conn) {
			conns.Add(1)
			answer(conn, "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n")
			untilClosed(conn)
		})
		for n := range int32(3) {
			result := post(t, client, server)
			wantStatus(t, http.StatusOK, result)
			assert.True(t, result.Truncated)
			assert.Len(t, result.Notes, 1)
			assert.Equal(t, n+1, conns.Load())
		}
	})
	t.Run("large but within the limit", func(t *testing.T) {
		t.Parallel()
		value := strings.Repeat("x", maxHeader/2)
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Large", value) })
		result := post(t, client, server.URL)
		wantStatus(t, http.StatusOK, result)
		assert.Equal(t, value, result.Header.Get("X-Large"))
		assert.Empty(t, result.Notes)
	})
}

func TestCase12_HugeHeadersOverHTTP2(t *testing.T) {
	t.Parallel()
	for size, reason := range map[int]webhooksv1.Reason{70 << 10: 0, 3 * maxHeader: webhooksv1.Reason_REASON_PROTOCOL} {
		server, pool := serveTLS(t, "HTTP/2.0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Huge", strings.Repeat("x", size))
		}))
		result := post(t, newClient(t, Options{RootCAs: pool}), server.URL)
		if reason == 0 {
			wantStatus(t, http.StatusOK, result)
		} else {
			wantReason(t, reason, result)
		}
	}
}

func TestCase18And19And20_TheStatusIsReportedAsItIs(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.URL.Path[1:])
		assert.NoError(t, err)
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(code)
		if code != http.StatusNoContent && code != http.StatusNotModified {
			_, _ = io.WriteString(w, "error: something")
		}
	})
	client := newClient(t, Options{})
	for code := 200; code < 600; code++ {
		result := post(t, client, fmt.Sprintf("%s/%d", server.URL, code))
		wantStatus(t, code, result)
		assert.Equal(t, "120", result.Header.Get("Retry-After"))
		assert.False(t, result.Truncated)
	}
}
