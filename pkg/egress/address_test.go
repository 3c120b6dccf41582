package egress

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// withHost is a test server's URL with another host in front of its port.
func withHost(tb testing.TB, server, host string) string {
	tb.Helper()
	return "http://" + net.JoinHostPort(host, parse(tb, server).Port()) + "/"
}

func TestCase03_Rebinding(t *testing.T) {
	t.Parallel()
	for _, rebound := range []string{"169.254.169.254", "10.0.0.1", "127.0.0.2", "::1", "fd00:ec2::254"} {
		t.Run(rebound, func(t *testing.T) {
			t.Parallel()
			var hits atomic.Int32
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				hits.Add(1)
				w.Header().Set("Connection", "close") // so that every attempt looks the name up
			})
			client := newClient(t, Options{Resolver: nameServer(t, func(_ string, n int) []string {
				if n == 1 {
					return []string{"127.0.0.1"}
				}
				return []string{rebound}
			})})
			target := withHost(t, server.URL, "receiver.example.")
			wantStatus(t, http.StatusOK, post(t, client, target))
			wantReason(t, webhooksv1.Reason_REASON_ADDRESS_FORBIDDEN, post(t, client, target))
			assert.EqualValues(t, 1, hits.Load())
		})
	}
}

func TestCase04_OnlyTheAllowedAddressOfSeveralIsDialled(t *testing.T) {
	t.Parallel()
	for _, addresses := range [][]string{
		{"127.0.0.1", "127.0.0.2"},
		{"127.0.0.2", "127.0.0.1"},
		{"10.0.0.1", "::1", "fd00::1", "127.0.0.1"},
	} {
		t.Run(strings.Join(addresses, " "), func(t *testing.T) {
			t.Parallel()
			var wrong atomic.Int32
			// Listens on every loopback address, so a wrong dial would get through.
			listener := listen(t, "tcp", ":0")
			server := &http.Server{ReadHeaderTimeout: long, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
				if !ok || netip.MustParseAddrPort(local.String()).Addr().Unmap().String() != "127.0.0.1" {
					wrong.Add(1)
				}
			})}
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = server.Serve(listener)
			}()
			t.Cleanup(func() {
				_ = server.Close()
				<-done
			})
			client := newClient(t, Options{Resolver: nameServer(t, func(string, int) []string { return addresses })})
			_, port, err := net.SplitHostPort(listener.Addr().String())
			require.NoError(t, err)
			wantStatus(t, http.StatusOK, post(t, client, "http://mixed.example.:"+port+"/"))
			assert.Zero(t, wrong.Load())
		})
	}
}

func TestCase05_ForbiddenLiteralsAreNotDialled(t *testing.T) {
	t.Parallel()
	client := newClient(t, Options{Policy: NewPolicy(nil)})
	for _, host := range []string{
		"127.0.0.1", "[::1]", "[::]", "[::ffff:10.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::a00:1]", "[64:ff9b:1::a00:1]",
		"[2002:a00:1::]", "[2001:0:a00:1::]", "[::127.0.0.1]", "0.0.0.0", "100.64.0.1", "198.18.0.1", "192.0.0.1", "240.0.0.1",
		"255.255.255.255", "192.0.2.1", "198.51.100.1", "203.0.113.1", "[2001:db8::1]", "[fec0::1]", "[fe80::1%25lo]",
		"[2606:4700:4700::1111%25lo]", "169.254.169.254", "[fd00:ec2::254]", "10.0.0.1",
	} {
		for _, scheme := range []string{"http", "https"} {
			result := post(t, client, scheme+"://"+host+"/hook?token=secret")
			wantReason(t, webhooksv1.Reason_REASON_ADDRESS_FORBIDDEN, result)
		}
	}
}

func TestCase06_SpellingsOfLoopback(t *testing.T) {
	t.Parallel()
	server := serve(t, func(http.ResponseWriter, *http.Request) { assert.Fail(t, "a connection was made") })
	// Even a name server that plays along changes nothing.
	client := newClient(t, Options{Policy: NewPolicy(nil), Resolver: nameServer(t, func(string, int) []string { return []string{"127.0.0.1"} })})
	for _, host := range []string{
		"2130706433", "0x7f.1", "0x7f000001", "127.1", "127.0.1", "0177.0.0.1", "localhost", "localhost.", "LOCALHOST", "%31%32%37.0.0.1",
		"127.0.0.1.", "①②⑦.⓪.⓪.①", "loopback.example",
	} {
		result := client.Post(t.Context(), Call{URL: &url.URL{Scheme: "http", Host: host + ":" + parse(t, server.URL).Port(), Path: "/"}})
		assert.Contains(t, []webhooksv1.Reason{
			webhooksv1.Reason_REASON_ADDRESS_FORBIDDEN, webhooksv1.Reason_REASON_DNS,
		}, result.Reason, host)
	}
}

func TestCase07_UnusableURLs(t *testing.T) {
	t.Parallel()
	client := newClient(t, Options{})
	for _, target := range []string{
		"", "/hook", "ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "http:///hook", "http://:80/", "http:127.0.0.1",
		"http://user:secret@127.0.0.1/", "https://user@127.0.0.1/", "http://127.0.0.1:0/", "http://127.0.0.1:65536/", "http://127.0.0.1:99999/",
	} {
		wantReason(t, webhooksv1.Reason_REASON_REGISTRATION, post(t, client, target))
	}
	wantReason(t, webhooksv1.Reason_REASON_REGISTRATION, client.Post(t.Context(), Call{}))
}

func TestCase41_ForbiddenReadsTheSame(t *testing.T) {
	t.Parallel()
	open := serve(t, func(http.ResponseWriter, *http.Request) {})
	closed := listen(t, "tcp4", "127.0.0.1:0")
	require.NoError(t, closed.Close())
	client := newClient(t, Options{Policy: NewPolicy(nil), Resolver: nameServer(t, func(string, int) []string {
		return []string{"10.0.0.1", "127.0.0.1"}
	})})
	results := []Result{
		post(t, client, open.URL),
		post(t, client, "http://"+closed.Addr().String()),
		post(t, client, strings.Replace(open.URL, "http:", "https:", 1)),
		post(t, client, "http://10.255.255.1:9/"),
		post(t, client, "http://[fd00::1]/"),
		post(t, client, "http://inside.example./"),
	}
	for _, result := range results {
		assert.Equal(t, results[0], result)
	}
}

func TestNameThatDoesNotExist(t *testing.T) {
	t.Parallel()
	client := newClient(t, Options{Resolver: nameServer(t, func(string, int) []string { return nil })})
	result := post(t, client, "http://gone.example./")
	wantReason(t, webhooksv1.Reason_REASON_DNS, result)
	assert.Contains(t, result.Detail, "does not exist")
}

func TestNameServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	socket := listenPacket(t)
	silent := nameServer(t, func(string, int) []string { return nil })
	silent.Dial = dialTo(t, socket.LocalAddr().String())

	client := newClient(t, Options{Resolver: silent, ConnectTimeout: short})
	result := post(t, client, "http://receiver.example./")
	wantReason(t, webhooksv1.Reason_REASON_DNS, result)
	assert.Contains(t, result.Detail, "could not be looked up")

	impatient := newClient(t, Options{Resolver: silent, AttemptTimeout: short})
	wantReason(t, webhooksv1.Reason_REASON_TIMEOUT, post(t, impatient, "http://receiver.example./"))
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	closed := listen(t, "tcp4", "127.0.0.1:0")
	require.NoError(t, closed.Close())
	result := post(t, newClient(t, Options{}), "http://"+closed.Addr().String())
	wantReason(t, webhooksv1.Reason_REASON_CONNECT, result)
	assert.Contains(t, result.Detail, "refused")
}

func TestConnectThatTakesTooLong(t *testing.T) {
	t.Parallel()
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	result := post(t, newClient(t, Options{ConnectTimeout: time.Nanosecond}), server.URL)
	wantReason(t, webhooksv1.Reason_REASON_CONNECT, result)
	assert.Contains(t, result.Detail, "within 1ns")
}
