package main

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/signature"
)

func newBook(t *testing.T) (*ledger, *book, *hook) {
	t.Helper()
	l := &ledger{hooks: map[string]*hook{}, books: map[string]*book{}}
	return l, l.open("test"), l.hook("a", steady)
}

func (l *ledger) takes(h *hook, event string, attempt int, body string) {
	p := post{event: event, delivery: "dlv_" + event, attempt: attempt, hash: sha256.Sum256([]byte(body)), at: time.Now()}
	b, status := l.note(h, p)
	if status == http.StatusOK {
		l.answered(b, h, p)
	}
}

func TestWhatIsAcknowledgedAndDoesNotArriveIsMissing(t *testing.T) {
	l, b, h := newBook(t)
	first, second, never := b.begin(), b.begin(), b.begin()
	l.takes(h, first, 1, "x") // it may arrive before its acknowledgement does
	b.owe(first, []*hook{h})
	b.owe(second, []*hook{h})
	assert.Equal(t, 1, b.missing())

	l.takes(h, second, 1, "y")

	assert.Zero(t, b.missing())
	l.takes(h, never, 1, "z")
	assert.Zero(t, b.missing(), "what nobody acknowledged is nobody's due")
	count, _ := l.wrongs()
	assert.Zero(t, count)
}

func TestADuplicateRepeatsAnAttemptOrFollowsSuccess(t *testing.T) {
	l, b, h := newBook(t)
	event := b.begin()
	b.owe(event, []*hook{h})
	l.takes(h, event, 1, "x")
	assert.Zero(t, b.duplicates)
	l.takes(h, event, 1, "x")
	assert.Equal(t, 1, b.duplicates, "the same attempt")
	l.takes(h, event, 2, "x")
	assert.Equal(t, 2, b.duplicates, "another one after success")
	assert.Equal(t, 1, b.owed)
	count, _ := l.wrongs()
	assert.Zero(t, count, "they are allowed")
}

func TestARetryIsNoDuplicate(t *testing.T) {
	l, b, _ := newBook(t)
	h := l.hook("flaky", flaky)
	body := refusedBody()
	event := b.begin()
	b.owe(event, []*hook{h})

	l.takes(h, event, 1, body)
	assert.Equal(t, 1, b.missing(), "it was answered with 500")
	l.takes(h, event, 2, body)

	assert.Zero(t, b.missing())
	assert.Zero(t, b.duplicates)
}

func TestThrottledAndBrokenHooksRefuseUntilTheyAreMended(t *testing.T) {
	l, b, _ := newBook(t)
	hooks := []*hook{l.hook("throttled", throttled), l.hook("broken", broken)}
	event := b.begin()
	b.owe(event, hooks)
	l.refuse(3 * time.Second)
	assert.Equal(t, 3, l.asks())
	for _, h := range hooks {
		l.takes(h, event, 1, "x")
	}
	assert.Equal(t, 2, b.missing())

	l.mend()
	for _, h := range hooks {
		l.takes(h, event, 2, "x")
	}

	assert.Zero(t, b.missing())
	assert.Zero(t, b.duplicates)
}

// refusedBody is one that a flaky hook refuses at first.
func refusedBody() string {
	for n := 0; ; n++ {
		body := strconv.Itoa(n)
		if hash := sha256.Sum256([]byte(body)); int(hash[0])%flakyShare == 0 {
			return body
		}
	}
}

func TestADuplicateThatDiffersIsWrong(t *testing.T) {
	l, b, h := newBook(t)
	event := b.begin()
	l.takes(h, event, 1, "x")

	l.takes(h, event, 1, "another body")
	l.note(h, post{event: event, delivery: "another delivery", attempt: 1, hash: sha256.Sum256([]byte("x"))})
	l.takes(h, "nobody-0000001", 1, "x")

	count, examples := l.wrongs()
	assert.Equal(t, 3, count)
	assert.Contains(t, strings.Join(examples, "\n"), "two different bodies")
}

func TestAWatchEndsWithWhatWasOwedAndTheFirstAfterIt(t *testing.T) {
	l, b, h := newBook(t)
	before, after, later := b.begin(), b.begin(), b.begin()
	b.owe(before, []*hook{h})
	w := b.since()
	l.takes(h, before, 1, "x")
	require.False(t, over(w), "nothing was acknowledged since")
	b.owe(after, []*hook{h})
	b.owe(later, []*hook{h})
	require.False(t, over(w))

	l.takes(h, after, 1, "x")

	assert.True(t, over(w), "what came later is not waited for")
	rest := b.rest()
	assert.False(t, over(rest))
	l.takes(h, later, 1, "x")
	assert.True(t, over(rest))
}

func over(w *watch) bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

func TestTheLedgerBelievesOnlyWhatIsSigned(t *testing.T) {
	l, b, h := newBook(t)
	event := b.begin()
	b.owe(event, []*hook{h})
	body := []byte(`{"id":"` + event + `"}`)
	send := func(path, secret string) int {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(string(body)))
		signature.Headers(request.Header, []signature.Key{signature.NewKey(secret)}, event, time.Now(), body)
		request.Header.Set("X-Dembrane-Delivery", "dlv_1")
		request.Header.Set("X-Dembrane-Attempt", "1")
		recorder := httptest.NewRecorder()
		l.ServeHTTP(recorder, request)
		return recorder.Code
	}

	assert.Equal(t, http.StatusBadRequest, send(h.path, "not the hook's"))
	assert.Equal(t, http.StatusBadRequest, send("/nowhere", h.secret))
	assert.Equal(t, 1, b.missing())
	assert.Equal(t, http.StatusOK, send(h.path, h.secret))

	assert.Zero(t, b.missing())
	count, _ := l.wrongs()
	assert.Equal(t, 2, count)
}

func TestARowLooksUpHowItEnded(t *testing.T) {
	l, b, h := newBook(t)
	delivered, exhausted, lost, unrecorded := b.begin(), b.begin(), b.begin(), b.begin()
	for _, event := range []string{delivered, exhausted, lost, unrecorded} {
		b.owe(event, []*hook{h})
	}
	l.takes(h, delivered, 1, "x")
	l.takes(h, unrecorded, 1, "x")
	l.note(h, post{event: exhausted, delivery: "dlv_" + exhausted, attempt: 1})
	r := &row{book: b}

	r.close()
	r.compare(map[string]string{"dlv_" + delivered: "delivered", "dlv_" + exhausted: "exhausted"})

	assert.Equal(t, []int{4, 2, 1, 1, 1}, []int{r.Owed, r.Delivered, r.Otherwise, r.Lost, r.Unrecorded})
	require.ErrorIs(t, report{Rows: []*row{r}}.verdict(), errBroken)
}
