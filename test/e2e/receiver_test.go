package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// answer is what a receiver does with one delivery, before it says anything.
type answer func(w http.ResponseWriter, r *http.Request)

// arrival is a delivery as a receiver saw it.
type arrival struct {
	at     time.Time
	header http.Header
	body   []byte
}

func (a arrival) deliveryID() string { return a.header.Get("X-Dembrane-Delivery") }
func (a arrival) attempt() string    { return a.header.Get("X-Dembrane-Attempt") }

// eventID is what a receiver deduplicates on.
func (a arrival) eventID(t *testing.T) string {
	t.Helper()
	var body struct {
		ID string `json:"id"`
	}
	require.NoError(t, json.Unmarshal(a.body, &body))
	return body.ID
}

// receiver keeps what arrives and answers as it was told.
type receiver struct {
	url      string
	arrivals chan arrival

	mu      sync.Mutex
	answers []answer
	seen    int
}

// receiverAnswers starts a receiver that answers the first deliveries with these
// statuses, and 200 from then on.
func receiverAnswers(t *testing.T, codes ...int) *receiver {
	t.Helper()
	answers := make([]answer, len(codes))
	for i, code := range codes {
		answers[i] = status(code)
	}
	return receiverDoes(t, answers...)
}

// receiverDoes starts a receiver that does this with the first deliveries, and
// answers 200 from then on.
func receiverDoes(t *testing.T, answers ...answer) *receiver {
	t.Helper()
	r := &receiver{arrivals: make(chan arrival, 1000), answers: answers}
	server := httptest.NewServer(r)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	r.url = server.URL + "/hook"
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	next := status(http.StatusOK)
	if r.seen < len(r.answers) {
		next = r.answers[r.seen]
	}
	r.seen++
	r.mu.Unlock()
	r.arrivals <- arrival{at: time.Now(), header: request.Header.Clone(), body: body}
	next(w, request)
}

// next is the next delivery that arrives.
func (r *receiver) next(t *testing.T) arrival {
	t.Helper()
	select {
	case a := <-r.arrivals:
		return a
	case <-time.After(patience):
		require.Fail(t, "nothing arrived")
		return arrival{}
	}
}

// wantNothingMore is true once everything that could arrive has: say so only
// after the delivery log shows an end.
func (r *receiver) wantNothingMore(t *testing.T) {
	t.Helper()
	select {
	case a := <-r.arrivals:
		require.Fail(t, "something arrived that should not", "%s attempt %s", a.deliveryID(), a.attempt())
	default:
	}
}

func status(code int) answer {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// retryAfter answers 503 and asks for a pause.
func retryAfter(seconds string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", seconds)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// redirect answers 302.
func redirect(to string) answer {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

// silence says nothing until the sender gives up.
func silence(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// hold answers 200 as soon as released is closed.
func hold(released <-chan struct{}) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-released:
			w.WriteHeader(http.StatusOK)
		case <-r.Context().Done():
		}
	}
}

// thinks answers 200 after a while.
func thinks(pause time.Duration) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(pause):
			w.WriteHeader(http.StatusOK)
		case <-r.Context().Done():
		}
	}
}
