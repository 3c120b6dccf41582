package ledger_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/test/internal/ledger"
)

func newBook() (*ledger.Ledger, *ledger.Book) {
	l := ledger.New()
	return l, l.Open("test", 3)
}

// takes is a receiver that answers with success.
func takes(l *ledger.Ledger, event string, attempt int) {
	p := post(event, attempt)
	l.Note(p)
	l.Answered(p)
}

func post(event string, attempt int) ledger.Post {
	return ledger.Post{Event: event, Delivery: "dlv_" + event, Attempt: attempt, Size: 10, At: time.Unix(1, 0)}
}

func wrongs(l *ledger.Ledger) int {
	count, _ := l.Wrongs()
	return count
}

func TestWhatIsAcknowledgedAndDoesNotArriveIsMissing(t *testing.T) {
	l, b := newBook()
	first, second, never := b.Begin(), b.Begin(), b.Begin()
	takes(l, first, 1) // it may arrive before its acknowledgement does
	b.Owe(first, 0)
	b.Owe(second, 0)
	assert.Equal(t, 1, b.Missing())

	takes(l, second, 1)

	assert.Zero(t, b.Missing())
	takes(l, never, 1)
	assert.Zero(t, b.Missing(), "what nobody acknowledged is nobody's due")
	assert.Zero(t, wrongs(l))
}

func TestADuplicateRepeatsAnAttemptOrFollowsSuccess(t *testing.T) {
	l, b := newBook()
	event := b.Begin()
	b.Owe(event, 0)
	takes(l, event, 1)
	assert.Zero(t, b.Sums().Duplicates)
	takes(l, event, 1)
	assert.Equal(t, 1, b.Sums().Duplicates, "the same attempt")
	takes(l, event, 2)
	assert.Equal(t, 2, b.Sums().Duplicates, "another one after success")
	assert.Equal(t, 1, b.Sums().Owed)
	assert.Zero(t, wrongs(l), "they are allowed")
}

func TestARetryIsNoDuplicate(t *testing.T) {
	l, b := newBook()
	event := b.Begin()
	b.Owe(event, 0)

	assert.True(t, l.Note(post(event, 1)))
	assert.Equal(t, 1, b.Missing(), "it was refused")
	takes(l, event, 2)

	assert.Zero(t, b.Missing())
	assert.Zero(t, b.Sums().Duplicates)
	assert.Equal(t, uint64(1<<1|1<<2), b.Lines()[0].Attempts)
}

func TestADuplicateThatDiffersIsWrong(t *testing.T) {
	l, b := newBook()
	event := b.Begin()
	takes(l, event, 1)

	body, delivery := post(event, 1), post(event, 1)
	body.Hash, delivery.Delivery = 1, "another delivery"
	l.Note(body)
	l.Note(delivery)
	assert.False(t, l.Note(post("nobody-00000001", 1)))

	count, examples := l.Wrongs()
	assert.Equal(t, 3, count)
	assert.Contains(t, strings.Join(examples, "\n"), "two different bodies")
}

func TestAWatchEndsWithWhatWasOwedAndTheFirstAfterIt(t *testing.T) {
	l, b := newBook()
	before, after, later := b.Begin(), b.Begin(), b.Begin()
	b.Owe(before, 0)
	w := b.Since()
	takes(l, before, 1)
	require.False(t, over(w), "nothing was acknowledged since")
	b.Owe(after, 0)
	b.Owe(later, 0)
	require.False(t, over(w))

	takes(l, after, 1)

	assert.True(t, over(w), "what came later is not waited for")
	rest := b.Rest()
	assert.False(t, over(rest))
	takes(l, later, 1)
	assert.True(t, over(rest))
	assert.True(t, over(b.Rest()), "nothing is owed")
}

func over(w *ledger.Watch) bool {
	select {
	case <-w.Done:
		return true
	default:
		return false
	}
}

func TestTheLogSaysHowItEnded(t *testing.T) {
	l, b := newBook()
	delivered, exhausted, lost, unrecorded := b.Begin(), b.Begin(), b.Begin(), b.Begin()
	for _, event := range []string{delivered, exhausted, lost, unrecorded} {
		b.Owe(event, 0)
	}
	takes(l, delivered, 1)
	takes(l, unrecorded, 1)
	l.Note(post(exhausted, 1))

	ends := b.Compare(map[string]string{"dlv_" + delivered: "delivered", "dlv_" + exhausted: "exhausted"})

	assert.Equal(t, ledger.Ends{Lost: 1, Unrecorded: 1, Otherwise: map[string]int{"exhausted": 1}}, ends)
	assert.Equal(t, 2, b.Missing())
}

func TestManySendersAtOnceAreCounted(t *testing.T) {
	const events = 1000
	l := ledger.New()
	l.Note(post(ledger.EventID("p0001", 0), 0)) // nothing has begun
	b := l.Open("p0001", 1)
	b.Expect(events)
	var senders sync.WaitGroup
	for range 2 {
		senders.Go(func() {
			for i := range events {
				takes(l, ledger.EventID("p0001", i), 0)
			}
		})
	}
	senders.Wait()
	for _, stray := range []string{ledger.EventID("p0000", 1), ledger.EventID("p0001", events), "p0001-x", "nonsense", ""} {
		assert.False(t, l.Note(post(stray, 0)))
	}

	sums := b.Sums()
	before := sums.Repeated
	assert.LessOrEqual(t, before, events, "both may have come before either was answered")
	sums.Repeated = 0
	assert.Equal(t, ledger.Sums{Posts: 2 * events, Distinct: events, Duplicates: events}, sums)
	bytes, first := b.Arrived()
	assert.Equal(t, int64(20*events), bytes)
	assert.Equal(t, time.Unix(1, 0).UnixNano(), first[events-1])
	assert.Equal(t, 6, wrongs(l))

	takes(l, ledger.EventID("p0001", 0), 0)
	assert.Equal(t, before+1, b.Sums().Repeated, "this one comes after an answer")
}

// An event that goes to several webhooks is expected at each of them.
func TestWebhooksAreToldApart(t *testing.T) {
	l, b := newBook()
	b.Expect(2)
	event := ledger.EventID("test", 1)
	for _, hook := range []int{0, 2, 2, 1, 3, -1} {
		p := post(event, 0)
		p.Hook = hook
		l.Note(p)
		l.Answered(p)
	}

	assert.Equal(t, 3, b.Sums().Distinct)
	assert.Equal(t, 1, b.Sums().Duplicates)
	assert.Equal(t, 2, wrongs(l))
	at := time.Unix(1, 0).UnixNano()
	_, first := b.Arrived()
	assert.Equal(t, []int64{0, 0, 0, at, at, at}, first)
}

func TestTheSlowestIsFound(t *testing.T) {
	l, b := newBook()
	event := b.Begin()
	_, all := b.Slowest(0)
	assert.False(t, all)

	p := post(event, 1)
	p.At = time.Now().Add(time.Hour)
	l.Note(p)

	longest, all := b.Slowest(0)
	assert.True(t, all)
	assert.Greater(t, longest, 59*time.Minute)
}

func TestBooksAreForgotten(t *testing.T) {
	l, b := newBook()
	event := b.Begin()
	assert.Same(t, b, l.Open("test", 3))
	l.Forget()
	assert.Nil(t, l.Find("test"))
	assert.False(t, l.Note(post(event, 1)))
}

func TestEventIDsAreEquallyLong(t *testing.T) {
	assert.Equal(t, "p0007-00000042", ledger.EventID("p0007", 42))
	assert.Len(t, ledger.EventID("p0007", 99_999_999), len(ledger.EventID("p0007", 0)))
}
