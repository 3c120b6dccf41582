package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.uber.org/zap"
)

// B9: a name is asked for as it is written, and not under a search domain. All others see the name without the dot
// that keeps it from that.
func TestB9_NamesAreLookedUpAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	certificate := ca.sign(t, func(c *x509.Certificate) {
		c.DNSNames = []string{"hooks.example.org", "receiver", "xn--gre-6ka8i.example"}
	})
	var mu sync.Mutex
	var sni, hosts []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		hosts = append(hosts, r.Host)
	}))
	server.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		sni = append(sni, hello.ServerName)
		return &certificate, nil
	}}
	server.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	server.StartTLS()
	t.Cleanup(server.Close)
	port := parse(t, server.URL).Port()

	for written, want := range map[string]string{
		"hooks.example.org":  "hooks.example.org",
		"hooks.example.org.": "hooks.example.org",
		"receiver":           "receiver",
		"größe.example":      "xn--gre-6ka8i.example",
	} {
		mu.Lock()
		sni, hosts = nil, nil
		mu.Unlock()
		var asked []string
		client := newClient(t, Options{RootCAs: ca.pool(), Resolver: nameServer(t, func(name string, _ int) []string {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, name)
			return []string{"127.0.0.1"}
		})})
		var dialled string
		connect := client.dialer.connect
		client.dialer.connect = func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled = address
			return connect(ctx, network, address)
		}
		wantStatus(t, http.StatusOK, post(t, client, "https://"+written+":"+port+"/"))
		assert.Equal(t, want+".:"+port, dialled, "absolute")
		mu.Lock()
		for _, name := range asked {
			assert.Equal(t, want+".", name)
		}
		assert.Equal(t, []string{want}, sni)
		assert.Equal(t, []string{want + ":" + port}, hosts)
		mu.Unlock()
	}
}

func TestB7_NoDefaultPortInHost(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://example.org/x":            "example.org",
		"http://example.org:80/x":         "example.org",
		"https://example.org:443/x":       "example.org",
		"http://example.org:443/x":        "example.org:443",
		"https://example.org:80/x":        "example.org:80",
		"http://example.org:8080/x":       "example.org:8080",
		"http://example.org:/x":           "example.org",
		"http://example.org./x":           "example.org",
		"https://example.org.:443/x":      "example.org",
		"https://example.org.:8443/x":     "example.org:8443",
		"http://[2606:4700::1111]/x":      "[2606:4700::1111]",
		"http://[2606:4700::1111]:80/x":   "[2606:4700::1111]",
		"http://[2606:4700::1111]:8080/x": "[2606:4700::1111]:8080",
		"http://192.0.2.1:80/x":           "192.0.2.1",
	} {
		assert.Equal(t, want, hostHeader(hostOf(parse(t, url))), url)
	}

	// On the wire, over both protocols.
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		server, pool := serveTLS(t, proto, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "127.0.0.1", r.Host)
		}))
		client := newClient(t, Options{RootCAs: pool})
		connect := client.dialer.connect
		client.dialer.connect = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return connect(ctx, network, server.Listener.Addr().String())
		}
		wantStatus(t, http.StatusOK, post(t, client, "https://127.0.0.1:443/"))
	}
}
