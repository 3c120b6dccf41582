package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/api/internal/httpapi"
)

// burst is what a caller of paced gets; nothing grows back while a test runs.
const burst = 3

func paced(t *testing.T, proxies ...string) *api {
	t.Helper()
	return newAPIWith(t, func(deps *httpapi.Deps) {
		deps.Rate = httpapi.Rate{PerSecond: 0.001, Burst: burst}
		for _, proxy := range proxies {
			deps.TrustedProxies = append(deps.TrustedProxies, netip.MustParsePrefix(proxy))
		}
	}, func(*http.Server) {})
}

// statuses makes n requests and returns what they were answered.
func (a *api) statuses(n int, headers ...string) []int {
	a.t.Helper()
	var got []int
	for range n {
		got = append(got, a.send("GET", base, "", headers...).status)
	}
	return got
}

func TestWhoAsksTooOftenIsToldWhenToAskAgain(t *testing.T) {
	a := paced(t)
	// The first request is the address's: nobody knows yet who that is.
	assert.Equal(t, []int{200, 200, 200, 200, 429, 429}, a.statuses(1+burst+2))
	r := a.send("POST", base, minimal, "Origin", origin)
	a.wantProblem(r, 429, "Too many requests. Try again in ")
	seconds, err := strconv.Atoi(r.header.Get("Retry-After"))
	require.NoError(t, err)
	assert.InDelta(t, 1000, seconds, 10)
	assert.Equal(t, origin, r.header.Get("Access-Control-Allow-Origin"), "the dashboard can read it")
	assert.Contains(t, r.header.Get("Access-Control-Expose-Headers"), "Retry-After")
	list, err := a.store.List(t.Context(), "p1")
	require.NoError(t, err)
	assert.Empty(t, list, "what is refused has no effect")

	for range 10 {
		assert.Equal(t, 200, a.send("GET", "/api/health", "", "Authorization", "").status)
		assert.Equal(t, 204, a.send("OPTIONS", base, "", "Origin", origin, "Access-Control-Request-Method", "GET").status)
	}
	assert.Equal(t, []int{200, 200}, a.statuses(2, "Authorization", "Bearer all"), "another caller has a bucket of their own")
	for _, line := range a.logs.All() {
		assert.NotContains(t, fmt.Sprint(line.ContextMap()), "127.0.0.1", "no addresses in the log")
	}
}

// Guessing tokens costs the same bucket, whatever is guessed.
func TestMadeUpTokensAreCountedByAddress(t *testing.T) {
	a := paced(t)
	require.Equal(t, 200, a.send("GET", base, "").status)
	var got []int
	for i := range 4 {
		got = append(got, a.send("GET", base, "", "Authorization", fmt.Sprint("Bearer made up ", i)).status)
	}
	assert.Equal(t, []int{401, 401, 429, 429}, got)
	assert.Equal(t, 429, a.send("GET", base, "", "Authorization", "").status)
	assert.Equal(t, 429, a.send("GET", "/nothing", "", "Authorization", "").status)
	assert.Equal(t, []int{200, 200, 200, 429}, a.statuses(burst+1), "who was let in is not touched by it")
}

func TestForwardedAddressesAreBelievedFromProxiesOnly(t *testing.T) {
	forwarded := func(a *api, address string) int {
		return a.send("GET", base, "", "Authorization", "", "X-Forwarded-For", address).status
	}
	behind := paced(t, "127.0.0.0/8")
	for range burst {
		assert.Equal(t, 401, forwarded(behind, "203.0.113.7"))
	}
	assert.Equal(t, 429, forwarded(behind, "203.0.113.7"))
	assert.Equal(t, 429, forwarded(behind, "198.51.100.1, 203.0.113.7"), "what the client made up comes first")
	assert.Equal(t, 401, forwarded(behind, "203.0.113.8"))
	for i := range burst {
		assert.Equal(t, 401, forwarded(behind, fmt.Sprintf("2001:db8:1:2::%d", i)))
	}
	assert.Equal(t, 429, forwarded(behind, "2001:db8:1:2:ffff::1"), "one network is one caller")
	assert.Equal(t, 401, forwarded(behind, "2001:db8:1:3::1"))

	direct := paced(t)
	for i := range burst {
		assert.Equal(t, 401, forwarded(direct, fmt.Sprintf("203.0.113.%d", i)))
	}
	assert.Equal(t, 429, forwarded(direct, "203.0.113.99"))
}

// withShortTimeouts is the API with its limits on time scaled down to a test's.
func withShortTimeouts(t *testing.T) *api {
	t.Helper()
	return newAPIWith(t, func(*httpapi.Deps) {}, func(server *http.Server) {
		assert.Equal(t, 5*time.Second, server.ReadHeaderTimeout)
		assert.Equal(t, 20*time.Second, server.ReadTimeout)
		assert.Equal(t, 16*time.Second, server.WriteTimeout, "longer than a test delivery")
		assert.Equal(t, 2*time.Minute, server.IdleTimeout)
		server.ReadHeaderTimeout, server.ReadTimeout, server.IdleTimeout = 150*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	})
}

// dial opens a connection that is cut after a while, so that a server without
// limits makes the test fail instead of hanging.
func (a *api) dial() net.Conn {
	a.t.Helper()
	conn, err := new(net.Dialer).DialContext(a.t.Context(), "tcp", strings.TrimPrefix(a.url, "http://"))
	require.NoError(a.t, err)
	a.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(a.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	return conn
}

func TestSlowClientsAreCutOff(t *testing.T) {
	a := withShortTimeouts(t)
	for name, sent := range map[string]string{
		"nothing at all":    "",
		"half a header":     "GET /api/health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"idle after a good": "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn := a.dial()
		_, err := io.WriteString(conn, sent)
		require.NoError(t, err)
		began := time.Now()
		_, err = io.Copy(io.Discard, conn)
		require.NoError(t, err, "%s: the server ends it", name)
		assert.Less(t, time.Since(began), 5*time.Second, name)
	}
}

func TestASlowBodyIsAnswered(t *testing.T) {
	a := withShortTimeouts(t)
	conn := a.dial()
	_, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n{", base, len(minimal))
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer response.Body.Close() //nolint:errcheck // it is read to its end
	assert.Equal(t, http.StatusRequestTimeout, response.StatusCode)
	raw, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Contains(t, string(raw), "The request body came too slowly.")
	assert.True(t, response.Close, "the rest of it is not waited for")
}
