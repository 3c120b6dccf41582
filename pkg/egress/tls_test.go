package egress

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
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
		cause       webhooksv1.Cause
	}{
		"valid":         {ca.sign(t, nil), "", 0},
		"expired":       {ca.sign(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), "expired", webhooksv1.Cause_CAUSE_CERTIFICATE_EXPIRED},
		"not yet valid": {ca.sign(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), "not valid yet", webhooksv1.Cause_CAUSE_CERTIFICATE_EARLY},
		"another host": {ca.sign(t, func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{"receiver.example"}
		}), "another host name", webhooksv1.Cause_CAUSE_CERTIFICATE_HOST},
		"another address":   {ca.sign(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)} }), "another host name", webhooksv1.Cause_CAUSE_CERTIFICATE_HOST},
		"another authority": {newAuthority(t).sign(t, nil), "not signed by a known authority", webhooksv1.Cause_CAUSE_CERTIFICATE_AUTHORITY},
		"not for servers": {ca.sign(t, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), "not meant for servers", webhooksv1.Cause_CAUSE_CERTIFICATE_USAGE},
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
			assert.Equal(t, test.cause.Label(), result.Cause.Label())
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
		assert.Equal(t, webhooksv1.Cause_CAUSE_TLS_NONE, result.Cause)
	})
	t.Run("is reset", func(t *testing.T) {
		t.Parallel()
		server := rawServer(t, func(_ int, conn net.Conn) {
			_, _ = io.ReadFull(conn, make([]byte, 10)) // the handshake has begun
			reset(conn)
		})
		wantReason(t, webhooksv1.Reason_REASON_TLS, post(t, newClient(t, Options{}), https(server)))
	})
	t.Run("is TLS 1.2", func(t *testing.T) {
		t.Parallel()
		server := secureServer(t, &tls.Config{Certificates: []tls.Certificate{ca.sign(t, nil)}, MaxVersion: tls.VersionTLS12})
		wantStatus(t, http.StatusOK, post(t, newClient(t, Options{RootCAs: ca.pool()}), server))
	})
}

func TestTLSFailuresSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for name, test := range map[string]struct {
		config *tls.Config
		want   string
	}{
		"version":                     {&tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, tooOldDetail},
		"cipher":                      {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}, cipherDetail},
		"client certificate, TLS 1.2": {&tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, certWantDetail},
		"client certificate, TLS 1.3": {&tls.Config{ClientAuth: tls.RequireAnyClientCert}, certWantDetail},
		"client certificate, HTTP/2":  {&tls.Config{ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"h2"}}, certWantDetail},
		"protocol":                    {&tls.Config{NextProtos: []string{"smtp"}}, "HTTP/1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.config.Certificates = []tls.Certificate{ca.sign(t, nil)}
			result := post(t, newClient(t, Options{RootCAs: ca.pool()}), secureServer(t, test.config))
			wantReason(t, webhooksv1.Reason_REASON_TLS, result)
			assert.Contains(t, result.Detail, test.want)
		})
	}
	for alert, want := range map[uint8]string{
		20: "ended the TLS connection", alertHandshakeFailure: cipherDetail, alertInsufficientSecurity: cipherDetail, alertBadCertificate: certWantDetail,
		43: certWantDetail, 45: certWantDetail, alertCertificateUnknown: certWantDetail, alertUnknownCA: certWantDetail, alertCertificateRequired: certWantDetail,
		alertProtocolVersion: tooOldDetail, alertInternalError: "fault of its own", alertUnrecognizedName: "does not serve the host name", alertNoProtocol: "HTTP/1.1",
	} {
		result, ok := explainAlert(&net.OpError{Op: "remote error", Err: tls.AlertError(alert)}, false)
		assert.True(t, ok)
		assert.Contains(t, result.Detail, want, alert)
		assert.Equal(t, alert != 20, result.Cause != webhooksv1.Cause_CAUSE_UNSPECIFIED, alert)
	}
	_, ok := explainAlert(&net.OpError{Op: "read", Err: tls.AlertError(40)}, false)
	assert.False(t, ok)
}

// A receiver that never heard of TLS 1.2 answers with the version that it has.
func TestB4_ReceiverThatChoosesAnOldVersion(t *testing.T) {
	t.Parallel()
	for version := range byte(3) { // SSL 3.0, TLS 1.0 and TLS 1.1
		hello := append([]byte{22, 3, version, 0, 42, 2, 0, 0, 38, 3, version}, make([]byte, 32)...)
		hello = append(hello, 0, 0xc0, 0x13, 0)
		plain := rawServer(t, func(_ int, conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1<<10))
			_, _ = conn.Write(hello)
			untilClosed(conn)
		})
		result := post(t, newClient(t, Options{}), strings.Replace(plain, "http:", "https:", 1))
		wantReason(t, webhooksv1.Reason_REASON_TLS, result)
		assert.Equal(t, webhooksv1.Cause_CAUSE_TLS_TOO_OLD, result.Cause, result.Detail)
	}
}

// recorded keeps what a server writes, and the secrets of its key log.
type recorded struct {
	net.Conn

	written, secrets bytes.Buffer
}

func (r *recorded) Write(p []byte) (int, error) {
	r.written.Write(p)
	return r.Conn.Write(p)
}

// expand is the pseudo-random function of TLS 1.2 (RFC 5246, 5).
func expand(secret []byte, label string, seed []byte, n int) []byte {
	mac := func(data []byte) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write(data)
		return h.Sum(nil)
	}
	seed = append([]byte(label), seed...)
	var out []byte
	for a := mac(seed); len(out) < n; a = mac(a) {
		out = append(out, mac(append(slices.Clone(a), seed...))...)
	}
	return out[:n]
}

// helloRequest is the record with which a server asks for renegotiation after its first one in the cipher
// TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256.
func helloRequest(t *testing.T, r *recorded) []byte {
	t.Helper()
	fields := strings.Fields(r.secrets.String()) // CLIENT_RANDOM <random> <master secret>
	clientRandom, err := hex.DecodeString(fields[1])
	require.NoError(t, err)
	master, err := hex.DecodeString(fields[2])
	require.NoError(t, err)
	serverRandom := r.written.Bytes()[11:43] // of the ServerHello
	keys := expand(master, "key expansion", append(slices.Clone(serverRandom), clientRandom...), 40)
	block, err := aes.NewCipher(keys[16:32])
	require.NoError(t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(t, err)
	sequence := []byte{0, 0, 0, 0, 0, 0, 0, 1}
	nonce := append(slices.Clone(keys[36:40]), sequence...)
	sealed := aead.Seal(nil, nonce, []byte{0, 0, 0, 0}, append(slices.Clone(sequence), 22, 3, 3, 0, 4))
	return append(append([]byte{22, 3, 3, 0, byte(8 + len(sealed))}, sequence...), sealed...)
}

func TestB4_RenegotiationIsNotTheReceiversEnd(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	plain := rawServer(t, func(_ int, conn net.Conn) {
		r := &recorded{Conn: conn}
		secured := tls.Server(r, &tls.Config{
			Certificates: []tls.Certificate{ca.sign(t, nil)}, MaxVersion: tls.VersionTLS12, KeyLogWriter: &r.secrets,
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		})
		if readRequest(bufio.NewReader(secured)) {
			_, _ = conn.Write(helloRequest(t, r))
		}
		untilClosed(conn)
	})
	result := post(t, newClient(t, Options{RootCAs: ca.pool()}), strings.Replace(plain, "http:", "https:", 1))
	wantReason(t, webhooksv1.Reason_REASON_TLS, result)
	assert.Contains(t, result.Detail, "renegotiation")
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
