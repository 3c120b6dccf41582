package egress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// serveTLS starts a server that speaks only the given version of HTTP, and the
// roots that trust it.
func serveTLS(tb testing.TB, proto string, handler http.Handler) (*httptest.Server, *x509.CertPool) {
	tb.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(tb, proto, r.Proto)
		handler.ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = proto == "HTTP/2.0"
	server.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	server.StartTLS()
	tb.Cleanup(server.Close)
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return server, pool
}

// authority signs certificates for tests.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return &authority{key, cert}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// sign makes a certificate for 127.0.0.1, changed as the test likes.
func (a *authority) sign(tb testing.TB, change func(*x509.Certificate)) tls.Certificate {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if change != nil {
		change(template)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(tb, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// secureServer answers every request on TLS connections of the configuration.
func secureServer(tb testing.TB, config *tls.Config) string {
	tb.Helper()
	plain := rawServer(tb, func(_ int, conn net.Conn) {
		secured := tls.Server(conn, config)
		if !answer(secured, ok) {
			// Closing with something unread would send a reset, which may
			// overtake the alert.
			untilClosed(conn)
		}
		_ = secured.Close()
	})
	return strings.Replace(plain, "http:", "https:", 1)
}

func TestCase13_Certificates(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	tests := map[string]struct {
		certificate tls.Certificate
		detail      string
	}{
		"valid":         {ca.sign(t, nil), ""},
		"expired":       {ca.sign(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), "expired"},
		"not yet valid": {ca.sign(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), "not valid yet"},
		"another host": {ca.sign(t, func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{"receiver.example"}
		}), "another host name"},
		"another address":   {ca.sign(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)} }), "another host name"},
		"another authority": {newAuthority(t).sign(t, nil), "not signed by a known authority"},
		"not for servers": {ca.sign(t, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), "not meant for servers"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := secureServer(t, &tls.Config{Certificates: []tls.Certificate{test.certificate}})
			result := post(t, newClient(t, Options{RootCAs: ca.pool()}), server)
			if test.detail == "" {
				wantStatus(t, http.StatusOK, result)
				return
			}
			wantReason(t, webhooksv1.Reason_REASON_CERTIFICATE, result)
			assert.Contains(t, result.Detail, test.detail)
		})
	}
	t.Run("self-signed, with the system's roots", func(t *testing.T) {
		t.Parallel()
		server, _ := serveTLS(t, "HTTP/1.1", http.NotFoundHandler())
		wantReason(t, webhooksv1.Reason_REASON_CERTIFICATE, post(t, newClient(t, Options{}), server.URL))
	})
}

func TestCase13_Handshakes(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	https := func(plain string) string { return strings.Replace(plain, "http:", "https:", 1) }
	t.Run("stalls", func(t *testing.T) {
		t.Parallel()
		server := rawServer(t, func(_ int, conn net.Conn) { untilClosed(conn) })
		result := post(t, newClient(t, Options{TLSTimeout: short}), https(server))
		wantReason(t, webhooksv1.Reason_REASON_TLS, result)
		assert.Contains(t, result.Detail, short.String())
	})
	t.Run("stalls beyond the attempt's deadline", func(t *testing.T) {
		t.Parallel()
		server := rawServer(t, func(_ int, conn net.Conn) { untilClosed(conn) })
		wantReason(t, webhooksv1.Reason_REASON_TIMEOUT, post(t, newClient(t, Options{AttemptTimeout: short}), https(server)))
	})
	t.Run("is not TLS", func(t *testing.T) {
		t.Parallel()
		server := rawServer(t, func(_ int, conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			untilClosed(conn)
		})
		result := post(t, newClient(t, Options{}), https(server))
		wantReason(t, webhooksv1.Reason_REASON_TLS, result)
		assert.Contains(t, result.Detail, "http://")
	})
	t.Run("is reset", func(t *testing.T) {
		t.Parallel()
		server := rawServer(t, func(_ int, conn net.Conn) {
			_, _ = io.ReadFull(conn, make([]byte, 10)) // the handshake has begun
			reset(conn)
		})
		wantReason(t, webhooksv1.Reason_REASON_TLS, post(t, newClient(t, Options{}), https(server)))
	})
	t.Run("is too old", func(t *testing.T) {
		t.Parallel()
		server := secureServer(t, &tls.Config{Certificates: []tls.Certificate{ca.sign(t, nil)}, MaxVersion: tls.VersionTLS11})
		wantReason(t, webhooksv1.Reason_REASON_TLS, post(t, newClient(t, Options{RootCAs: ca.pool()}), server))
	})
	t.Run("is TLS 1.2", func(t *testing.T) {
		t.Parallel()
		server := secureServer(t, &tls.Config{Certificates: []tls.Certificate{ca.sign(t, nil)}, MaxVersion: tls.VersionTLS12})
		wantStatus(t, http.StatusOK, post(t, newClient(t, Options{RootCAs: ca.pool()}), server))
	})
	t.Run("wants a certificate from us", func(t *testing.T) {
		t.Parallel()
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			server := secureServer(t, &tls.Config{
				Certificates: []tls.Certificate{ca.sign(t, nil)}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: version,
			})
			wantReason(t, webhooksv1.Reason_REASON_TLS, post(t, newClient(t, Options{RootCAs: ca.pool()}), server))
		}
	})
}

func TestCase09_SlowLorisOverTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.sign(t, nil)}}
	server := rawServer(t, func(_ int, conn net.Conn) {
		secured := tls.Server(conn, config)
		answer(secured, "HTTP/1.1 200 OK\r\nX-Slow: ")
		untilClosed(secured)
	})
	client := newClient(t, Options{RootCAs: ca.pool(), AttemptTimeout: 2 * short})
	result := post(t, client, strings.Replace(server, "http:", "https:", 1))
	wantStatus(t, http.StatusOK, result)
	assert.True(t, result.Truncated)
}
