package receiver

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The HMAC-SHA256 of body by secret, made with openssl.
const (
	secret   = "s3cret-s3cret"
	body     = `{"event":"conversation.started"}`
	signed   = "97b087394f847ae1cbf572445ecac2d91b83ef2521fd37e2c247eb1069af7a25"
	unsigned = ""
)

func TestTheSignatureDecides(t *testing.T) {
	tests := map[string]struct {
		secret, signature, body string
		want                    int
		problem                 string
	}{
		"right":                {secret, signed, body, 204, ""},
		"of another body":      {secret, signed, body + " ", 401, "does not match"},
		"by another secret":    {"another", signed, body, 401, "does not match"},
		"in upper case":        {secret, strings.ToUpper(signed), body, 401, "does not match"},
		"missing":              {secret, unsigned, body, 401, "missing"},
		"nothing to verify by": {"", unsigned, body, 204, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var seen []Delivery
			r := New(Options{Secret: test.secret, Seen: func(d Delivery) { seen = append(seen, d) }})
			request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(test.body))
			request.Header.Set("X-Dembrane-Signature", test.signature)
			answer := httptest.NewRecorder()

			r.ServeHTTP(answer, request)

			assert.Equal(t, test.want, answer.Code)
			require.Len(t, seen, 1)
			assert.Equal(t, test.want, seen[0].Answered)
			if test.problem == "" {
				assert.Empty(t, seen[0].Problem)
			} else {
				assert.Contains(t, seen[0].Problem, test.problem)
				assert.Contains(t, answer.Body.String(), test.problem)
			}
		})
	}
}

func TestAnswersComeInOrderAndTheLastOneStays(t *testing.T) {
	r := New(Options{Answers: []int{500, 410}, Seen: func(Delivery) {}})
	for _, want := range []int{500, 410, 410} {
		answer := httptest.NewRecorder()
		r.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body)))
		assert.Equal(t, want, answer.Code)
	}
}

func TestOnlyPostsAreDeliveries(t *testing.T) {
	r := New(Options{Seen: func(Delivery) { assert.Fail(t, "that was no delivery") }})
	answer := httptest.NewRecorder()
	r.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	assert.Equal(t, http.StatusMethodNotAllowed, answer.Code)
}

func TestItServesUntilItIsStopped(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- Serve(ctx, listener, New(Options{Seen: func(Delivery) {}})) }()

	response, err := http.Post("http://"+listener.Addr().String(), "application/json", strings.NewReader(body)) //nolint:noctx // on this machine
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusNoContent, response.StatusCode)
	http.DefaultClient.CloseIdleConnections()

	cancel()
	require.NoError(t, <-ended)
}
