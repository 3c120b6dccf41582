package app_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// does starts a receiver that answers in its way, and never repeats what it got.
func does(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

func status(code int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
	}
}

// repeated stands before the headers in what [repeats] answers.
const repeated = "you sent: "

// repeats answers with the headers that it was sent, wherever an answer has room for
// them.
func repeats(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key, authorization := r.Header.Get("X-Api-Key"), r.Header.Get("Authorization")
		w.Header().Set("X-You-Sent", key)
		w.Header().Set("Location", "/?key="+url.QueryEscape(authorization)+"#"+key)
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]string{repeated + key: authorization}) // the dispatcher sees what arrives
	}
}

// says writes these bytes instead of a response, and hangs up.
func says(raw string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		hijacker, _ := w.(http.Hijacker)
		connection, _, err := hijacker.Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(connection, raw) // the dispatcher sees what arrives
		_ = connection.Close()
	}
}

// hang answers nothing until the dispatcher gives up.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // a server notices that the client went away once it has read the body
	<-r.Context().Done()
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// untrusted is a receiver with a certificate of its own making.
func untrusted(t *testing.T) string {
	t.Helper()
	server := httptest.NewUnstartedServer(status(http.StatusOK))
	server.Config.ErrorLog = zap.NewStdLog(zap.NewNop()) // handshakes that are to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}
