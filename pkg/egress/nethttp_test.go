package egress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// TestNetHTTPCanTakeThePlaceOfHTTP1 puts net/http's transport in the place of package http1's, as the comment in New
// says, and holds the two against each other: what is said of a receiver is the same.
func TestNetHTTPCanTakeThePlaceOfHTTP1(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	both := func(t *testing.T, options Options) map[string]*Client {
		t.Helper()
		options.RootCAs = ca.pool()
		ours, theirs := newClient(t, options), newClient(t, options)
		theirs.http1 = &http.Transport{
			DisableCompression: true, DialContext: theirs.dialer.dial, DialTLSContext: theirs.dialer.dialHTTP1,
			MaxIdleConns: 100, MaxIdleConnsPerHost: 10, MaxResponseHeaderBytes: maxHeader,
		}
		return map[string]*Client{"http1": ours, "net/http": theirs}
	}
	usual := both(t, Options{})
	hasty := both(t, Options{AttemptTimeout: short})
	statuses := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.JSONEq(t, `{"event":"webhook.test"}`, string(body))
		assert.Equal(t, []string{"application/json"}, r.Header["Content-Type"])
		assert.Empty(t, r.Header["Accept-Encoding"])
		code, err := strconv.Atoi(r.URL.Path[1:])
		assert.NoError(t, err)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
	})
	http1, _ := serveTLS(t, "HTTP/1.1", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	http2Target := http2Server(t, ca, func(f frames, stream uint32, _ int32) error { return f.respond(stream) })
	closedPort := listen(t, "tcp4", "127.0.0.1:0")
	require.NoError(t, closedPort.Close())
	raw := func(response string) string {
		return rawServer(t, func(_ int, conn net.Conn) {
			answer(conn, response)
			if response == "" {
				untilClosed(conn)
			}
		})
	}
	silent, cut, garbage := raw(""), raw("HTTP/1.1 20"), raw("SSH-2.0-OpenSSH_9.9\r\n")

	for name, client := range usual {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, code := range []int{200, 204, 301, 302, 404, 410, 429, 500, 503} {
				result := post(t, client, fmt.Sprintf("%s/%d", statuses.URL, code))
				wantStatus(t, code, result)
				assert.Equal(t, "/elsewhere", result.Header.Get("Location"))
			}
			for range 3 {
				wantStatus(t, http.StatusOK, post(t, client, http2Target))
			}
			for target, want := range map[string]webhooksv1.Reason{
				http1.URL:                              webhooksv1.Reason_REASON_CERTIFICATE,
				"http://" + closedPort.Addr().String(): webhooksv1.Reason_REASON_CONNECT,
				"http://10.0.0.1/":                     webhooksv1.Reason_REASON_ADDRESS_FORBIDDEN,
			} {
				wantReason(t, want, post(t, client, target))
			}
			wantReason(t, webhooksv1.Reason_REASON_TIMEOUT, post(t, hasty[name], silent))
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			assert.True(t, client.Post(ctx, Call{URL: parse(t, silent)}).Canceled)
			// net/http does not tell the one from the other.
			for _, target := range []string{cut, garbage} {
				result := post(t, client, target)
				assert.Zero(t, result.StatusCode)
				assert.NotEqual(t, "none", result.Reason.Label())
			}
		})
	}
}
