package receiver_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/test/internal/ledger"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sender posts what the dispatcher would.
type sender struct {
	t  *testing.T
	to http.Handler
}

func (s sender) post(path, secret, event, attempt string) int {
	s.t.Helper()
	body := `{"id":"` + event + `"}`
	request := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, path, strings.NewReader(body))
	signature.Headers(request.Header, []signature.Key{signature.NewKey(secret)}, event, time.Now(), []byte(body))
	request.Header.Set("X-Dembrane-Delivery", "dlv_1")
	request.Header.Set("X-Dembrane-Attempt", attempt)
	recorder := httptest.NewRecorder()
	s.to.ServeHTTP(recorder, request)
	return recorder.Code
}

func TestOnlyWhatIsSignedIsBelieved(t *testing.T) {
	l := ledger.New()
	b := l.Open("test", 1)
	event := b.Begin()
	b.Owe(event, 0)
	s := sender{t, receiver.New(l, receiver.Hook{Path: "/hook/0", Secret: "the hook's"})}

	assert.Equal(t, http.StatusBadRequest, s.post("/hook/0", "not the hook's", event, "1"))
	assert.Equal(t, http.StatusBadRequest, s.post("/nowhere", "the hook's", event, "1"))
	assert.Equal(t, http.StatusBadRequest, s.post("/hook/0", "the hook's", event, "0"))
	assert.Equal(t, http.StatusBadRequest, s.post("/hook/0", "the hook's", "nobody-00000001", "1"))
	assert.Equal(t, 1, b.Missing())
	assert.Equal(t, http.StatusOK, s.post("/hook/0", "the hook's", event, "1"))

	assert.Zero(t, b.Missing())
	count, _ := l.Wrongs()
	assert.Equal(t, 4, count)
}

func TestThrottledAndBrokenHooksRefuseUntilTheyAreMended(t *testing.T) {
	l := ledger.New()
	b := l.Open("test", 2)
	event := b.Begin()
	b.Owe(event, 0, 1)
	var refusal receiver.Refusal
	s := sender{t, receiver.New(l, receiver.Hook{Path: "/0", Answer: refusal.Throttled}, receiver.Hook{Path: "/1", Answer: refusal.Broken})}

	refusal.Begin(3 * time.Second)
	assert.Equal(t, http.StatusServiceUnavailable, s.post("/0", "x", event, "1"))
	assert.Equal(t, http.StatusInternalServerError, s.post("/1", "x", event, "1"))
	assert.Equal(t, 2, b.Missing())
	refusal.End()
	assert.Equal(t, http.StatusOK, s.post("/0", "x", event, "2"))
	assert.Equal(t, http.StatusOK, s.post("/1", "x", event, "2"))

	assert.Zero(t, b.Missing())
	assert.Zero(t, b.Sums().Duplicates)
}

func TestAFlakyHookRefusesTheFirstAttemptOfSome(t *testing.T) {
	refused := receiver.Arrival{Post: ledger.Post{Attempt: 1, Hash: receiver.FlakyShare}}
	assert.Equal(t, http.StatusInternalServerError, receiver.Flaky(nil, nil, refused))
	refused.Attempt = 2
	assert.Equal(t, http.StatusOK, receiver.Flaky(nil, nil, refused))
	assert.Equal(t, http.StatusOK, receiver.Flaky(nil, nil, receiver.Arrival{Post: ledger.Post{Attempt: 1, Hash: 1}}))
}

func TestAnswersComeInTurn(t *testing.T) {
	in := receiver.InTurn(receiver.Status(http.StatusGone), receiver.RetryAfter(http.StatusTooManyRequests, "7"))
	header := http.Header{}
	for _, want := range []int{http.StatusGone, http.StatusTooManyRequests, http.StatusOK, http.StatusOK} {
		assert.Equal(t, want, in(header, nil, receiver.Arrival{}))
	}
	assert.Equal(t, "7", header.Get("Retry-After"))
}
