package egress

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short is the deadline of attempts that are expected to run into it, long of
// those that are not.
const (
	short = 400 * time.Millisecond
	long  = 20 * time.Second
)

// loopbackOnly opens the one address that test servers listen on.
func loopbackOnly() *Policy {
	return NewPolicy([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")})
}

func newClient(tb testing.TB, options Options) *Client {
	tb.Helper()
	if options.Policy == nil {
		options.Policy = loopbackOnly()
	}
	if options.AttemptTimeout == 0 {
		options.AttemptTimeout = long
	}
	client := New(options)
	tb.Cleanup(client.Close)
	return client
}

func parse(tb testing.TB, text string) *url.URL {
	tb.Helper()
	u, err := url.Parse(text)
	require.NoError(tb, err)
	return u
}

func post(tb testing.TB, client *Client, target string) Result {
	tb.Helper()
	return client.Post(tb.Context(), Call{
		URL:    parse(tb, target),
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   []byte(`{"event":"webhook.test"}`),
	})
}

// befriend lets the client find that a receiver says nothing after its answers, so that from then on connections are
// used again at once.
func befriend(tb testing.TB, client *Client, target string) {
	tb.Helper()
	for range 2 {
		wantStatus(tb, http.StatusOK, post(tb, client, target))
		<-time.After(60 * time.Millisecond)
	}
}

func wantReason(tb testing.TB, want webhooksv1.Reason, got Result) {
	tb.Helper()
	assert.Equal(tb, want.Label(), got.Reason.Label(), got.Detail)
	assert.Zero(tb, got.StatusCode)
	assert.False(tb, got.Canceled)
	assert.Regexp(tb, `^[A-Z][^\n]*\.$`, got.Detail, "a sentence")
	assert.NotRegexp(tb, `127\.0\.0\.1|::|secret|lookup|dial`, got.Detail)
}

func wantStatus(tb testing.TB, want int, got Result) {
	tb.Helper()
	assert.Equal(tb, want, got.StatusCode, got.Detail)
	assert.Equal(tb, "none", got.Reason.Label())
	assert.Empty(tb, got.Detail)
	assert.False(tb, got.Canceled || got.Ours)
}

func serve(tb testing.TB, handler http.HandlerFunc) *httptest.Server {
	tb.Helper()
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	return server
}

// rawServer is a receiver that does with its connections whatever it likes. The
// number it is given counts them from 1.
func rawServer(tb testing.TB, talk func(n int, conn net.Conn)) string {
	tb.Helper()
	listener := listen(tb, "tcp4", "127.0.0.1:0")
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		conns []net.Conn
	)
	wg.Go(func() {
		for n := 1; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				talk(n, conn)
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
	return "http://" + listener.Addr().String()
}

// readRequest reads one whole request and reports whether there was one.
func readRequest(r *bufio.Reader) bool {
	request, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, request.Body)
	return err == nil
}

// answer reads one request and writes the bytes.
func answer(conn net.Conn, response string) bool {
	if !readRequest(bufio.NewReader(conn)) {
		return false
	}
	_, err := io.WriteString(conn, response)
	return err == nil
}

// untilClosed returns when the client has closed the connection.
func untilClosed(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// dribble writes the bytes again and again, a little at a time, until the client
// has closed the connection.
func dribble(conn net.Conn, data string) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for range ticker.C {
		if _, err := io.WriteString(conn, data); err != nil {
			return
		}
	}
}

// reset ends the connection with a RST instead of a FIN.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// nameServer answers look-ups of addresses with what addresses returns for the
// n-th query of that name, counted from 1. Nothing is answered with NXDOMAIN.
func nameServer(tb testing.TB, addresses func(name string, n int) []string) *net.Resolver {
	tb.Helper()
	socket := listenPacket(tb)
	var wg sync.WaitGroup
	wg.Go(func() {
		queries := map[string]int{}
		buffer := make([]byte, 1500)
		for {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			reply, err := resolve(buffer[:n], queries, addresses)
			if err == nil {
				_, _ = socket.WriteTo(reply, from)
			}
		}
	})
	tb.Cleanup(func() {
		_ = socket.Close()
		wg.Wait()
	})
	return &net.Resolver{PreferGo: true, Dial: dialTo(tb, socket.LocalAddr().String())}
}

func resolve(query []byte, queries map[string]int, addresses func(string, int) []string) ([]byte, error) {
	var message dnsmessage.Message
	if err := message.Unpack(query); err != nil {
		return nil, err
	}
	question := message.Questions[0]
	name := question.Name.String()
	key := question.Type.String() + name
	queries[key]++
	known := addresses(name, queries[key])
	message.Response = true
	message.Additionals = nil
	if len(known) == 0 {
		message.RCode = dnsmessage.RCodeNameError
	}
	header := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET}
	for _, text := range known {
		addr := netip.MustParseAddr(text)
		var body dnsmessage.ResourceBody
		switch {
		case addr.Is4() && question.Type == dnsmessage.TypeA:
			body = &dnsmessage.AResource{A: addr.As4()}
		case addr.Is6() && question.Type == dnsmessage.TypeAAAA:
			body = &dnsmessage.AAAAResource{AAAA: addr.As16()}
		default:
			continue
		}
		message.Answers = append(message.Answers, dnsmessage.Resource{Header: header, Body: body})
	}
	return message.Pack()
}

// dialTo sends a resolver's queries to one address. Go's resolver goes on waiting
// for an answer after its caller has gone; the end of the test ends that.
func dialTo(tb testing.TB, address string) func(context.Context, string, string) (net.Conn, error) {
	tb.Helper()
	var (
		mu    sync.Mutex
		over  bool
		conns []net.Conn
	)
	tb.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		for _, conn := range conns {
			_ = conn.Close()
		}
	})
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return nil, net.ErrClosed
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, "udp4", address)
		if err == nil {
			conns = append(conns, conn)
		}
		return conn, err
	}
}

// listen opens a TCP socket that ends with the test.
func listen(tb testing.TB, network, address string) net.Listener {
	tb.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(tb.Context(), network, address)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = listener.Close() })
	return listener
}

// listenPacket opens a UDP socket on loopback that ends with the test.
func listenPacket(tb testing.TB) net.PacketConn {
	tb.Helper()
	var config net.ListenConfig
	socket, err := config.ListenPacket(tb.Context(), "udp4", "127.0.0.1:0")
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = socket.Close() })
	return socket
}
