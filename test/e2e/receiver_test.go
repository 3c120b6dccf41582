package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/test/internal/ledger"
	"github.com/dembrane/webhooks/test/internal/receiver"
)

// story is a receiver of which a story follows every arrival.
type story struct {
	url      string
	arrivals chan receiver.Arrival
}

// receiverAnswers starts a receiver that answers the first deliveries with these
// statuses, and 200 from then on.
func receiverAnswers(t *testing.T, codes ...int) *story {
	t.Helper()
	answers := make([]receiver.Answer, len(codes))
	for i, code := range codes {
		answers[i] = receiver.Status(code)
	}
	return receiverDoes(t, answers...)
}

// receiverDoes starts a receiver that does this with the first deliveries, and
// answers 200 from then on.
func receiverDoes(t *testing.T, answers ...receiver.Answer) *story {
	t.Helper()
	s := &story{arrivals: make(chan receiver.Arrival, 1000)}
	s.url = receiver.Start(t, nil, receiver.Hook{
		Path: "/", Answer: receiver.InTurn(answers...), Seen: func(a receiver.Arrival) { s.arrivals <- a },
	}).URL + "/hook"
	return s
}

// next is the next delivery that arrives.
func (s *story) next(t *testing.T) receiver.Arrival {
	t.Helper()
	select {
	case a := <-s.arrivals:
		return a
	case <-time.After(patience):
		require.Fail(t, "nothing arrived")
		return receiver.Arrival{}
	}
}

// wantNothingMore is true once everything that could arrive has: say so only
// after the delivery log shows an end.
func (s *story) wantNothingMore(t *testing.T) {
	t.Helper()
	select {
	case a := <-s.arrivals:
		require.Fail(t, "something arrived that should not", "%s attempt %d", a.Delivery, a.Attempt)
	default:
	}
}

// crowd is a receiver for more than a story can follow one by one: a ledger
// remembers when each delivery first arrived.
type crowd struct {
	*receiver.Receiver

	ledger *ledger.Ledger
	books  []*ledger.Book
}

// crowdDoes starts one that does the same with every delivery.
func crowdDoes(t *testing.T, do receiver.Answer) *crowd {
	t.Helper()
	c := &crowd{ledger: ledger.New()}
	c.Receiver = receiver.Start(t, c.ledger, receiver.Hook{Path: "/", Answer: do})
	t.Cleanup(func() {
		_, wrongs := c.ledger.Wrongs()
		require.Empty(t, wrongs)
	})
	return c
}

// book begins the events of a project, each of which goes to as many webhooks.
func (c *crowd) book(project string, hooks int) book {
	b := book{c.ledger.Open(project, hooks), project}
	c.books = append(c.books, b.Book)
	return b
}

// book is the events of a project.
type book struct {
	*ledger.Book

	project string
}

// count is how many deliveries have arrived, however often, and posts how many POSTs.
func (c *crowd) count() int { return c.sum(func(s ledger.Sums) int { return s.Distinct }) }
func (c *crowd) posts() int { return c.sum(func(s ledger.Sums) int { return s.Posts }) }

func (c *crowd) sum(of func(ledger.Sums) int) (total int) {
	for _, b := range c.books {
		total += of(b.Sums())
	}
	return total
}

// slowest is the longest time from its publish that any event of the book took to
// arrive.
func (b book) slowest(t *testing.T) time.Duration {
	t.Helper()
	longest, all := b.Slowest(0)
	require.True(t, all, "an event of %s did not arrive", b.project)
	return longest
}
